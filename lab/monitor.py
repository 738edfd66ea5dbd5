"""The system at a glance in the terminal: services, queues, rates, SLOs."""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from lab import output, slo
from lab.errors import LabError
from lab.prometheus import Prometheus
from lab.settings import LabSettings
from lab.stack.base import Stack, Status

REFRESH_SECONDS = 2.0
COLOURS = {"running": "green", "stopped": "yellow", "failed": "red", "paused": "red"}

RATES = {
    "requests answered with success": 'sum(rate(load_requests_total{outcome="ok"}[30s]))',
    "messages confirmed": "sum(rate(messages_produced_total[30s]))",
    "messages processed": "sum(rate(messages_consumed_total[30s]))",
    "messages dead-lettered": "sum(queue:dead_letters:increase1m) / 60",
}


def watch(settings: LabSettings, stack: Stack, console: Console) -> None:
    """Show the picture until Ctrl-C; once, where the output is no terminal. Raises LabError when not up."""
    if not stack.is_up():
        raise LabError("the lab is not up: run `make up`")
    if not console.is_terminal:
        console.print(_picture(settings, stack))
        return
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(_picture(settings, stack), refresh=True)
            output.exit_without_reader()
            time.sleep(REFRESH_SECONDS)


def services_table(statuses: list[Status]) -> Table:
    table = Table("service", "state", "health", "pid", "up", "ports or problem", box=None)
    for status in statuses:
        colour = COLOURS.get(status.state, "default")
        health = {True: "healthy", False: "[red]unhealthy[/red]", None: ""}[status.healthy]
        uptime = f"{status.uptime_seconds:.0f} s" if status.uptime_seconds is not None else ""
        table.add_row(status.name, f"[{colour}]{status.state}[/{colour}]", health,
                      str(status.pid or ""), uptime, status.detail)
    return table


def slo_table(readings: list[slo.Reading]) -> Table:
    table = Table("SLO", "now", "objective", "", box=None)
    for reading in readings:
        table.add_row(reading.slo.title, reading.shown, reading.slo.target,
                      "[green]holds[/green]" if reading.holds else "[red]broken[/red]")
    return table


def _picture(settings: LabSettings, stack: Stack) -> RenderableType:
    prometheus = Prometheus(settings.prometheus_url)
    try:
        measured = [slo_table(slo.read(prometheus)), "", _queues(prometheus), "", _rates(prometheus)]
    except LabError as error:
        measured = [f"[red]{error}[/red]"]
    return Group(services_table(stack.status()), "", *measured)


def _queues(prometheus: Prometheus) -> Table:
    table = Table("queue", "messages", box=None)
    for labels, value in sorted(prometheus.vector("rabbitmq_detailed_queue_messages"), key=lambda one: str(one[0])):
        table.add_row(labels["queue"], f"{value:.0f}")
    return table


def _rates(prometheus: Prometheus) -> Table:
    table = Table("per second", "", box=None)
    for title, query in RATES.items():
        value = prometheus.value(query)
        table.add_row(title, "no data" if value is None else f"{value:.1f}")
    return table
