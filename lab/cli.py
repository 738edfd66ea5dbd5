"""The `lab` command. Every make target is one line that calls it."""

import functools
import sys

import click
from rich.console import Console
from rich.table import Table

from lab import settings as lab_settings
from lab import stack as stacks
from lab.errors import LabError

console = Console(highlight=False)


class LabGroup(click.Group):
    """Shows LabErrors as a message, never as a stack trace."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except LabError as error:
            click.secho("error: ", fg="red", bold=True, err=True, nl=False)
            click.echo(str(error), err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)


@click.group(cls=LabGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """sre-lab: break a real message system, and learn to mend it."""


def with_stack(command):
    """Gives the command the settings and the stack they ask for."""

    @functools.wraps(command)
    def wrapped(*arguments, **options):
        settings = lab_settings.load()
        return command(settings, stacks.current(settings), *arguments, **options)

    return wrapped


def progress(line: str) -> None:
    console.print(f"[dim]·[/dim] {line}")


# -- the stack ------------------------------------------------------------------------------


@main.command()
@with_stack
def up(settings, stack) -> None:
    """Start everything; ends when the whole system is healthy."""
    stack.up(progress)
    console.print("[green]the lab is up[/green]")
    _print_addresses(settings)


@main.command()
@with_stack
def down(_settings, stack) -> None:
    """Stop everything; queues and metrics are kept."""
    stack.down(progress)
    console.print("the lab is down")


@main.command()
@with_stack
def clean(_settings, stack) -> None:
    """Remove every process and file of this lab, whatever state it is in."""
    stack.clean(progress)
    console.print("clean")


@main.command()
@with_stack
def ps(_settings, stack) -> None:
    """Show the state of every service."""
    statuses = stack.status()
    if not statuses:
        console.print("the lab is not up")
        return
    table = Table("service", "state", "health", "pid", "up", "ports or problem", box=None)
    for status in statuses:
        colour = {"running": "green", "stopped": "yellow", "failed": "red", "paused": "red"}.get(status.state, "")
        health = {True: "healthy", False: "[red]unhealthy[/red]", None: ""}[status.healthy]
        uptime = f"{status.uptime_seconds:.0f} s" if status.uptime_seconds is not None else ""
        table.add_row(status.name, f"[{colour}]{status.state}[/]" if colour else status.state, health,
                      str(status.pid or ""), uptime, status.detail)
    console.print(table)


@main.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("--grep", metavar="TEXT", help="Only lines that contain TEXT.")
@with_stack
def logs(_settings, stack, service, follow, grep) -> None:
    """Show the log of SERVICE, or of all."""
    for line in stack.logs(service, follow):
        if not grep or grep in line:
            click.echo(line)


def _service_command(name: str, summary: str) -> None:
    @main.command(name, help=summary)
    @click.argument("service")
    @with_stack
    def command(_settings, stack, service) -> None:
        getattr(stack, name)(service)
        console.print(f"{name} {service}: done")


for _name, _summary in {
    "start": "Start SERVICE and wait until it is healthy.",
    "stop": "Stop SERVICE gracefully; it stays down.",
    "kill": "Kill SERVICE with SIGKILL; it stays down.",
    "pause": "Freeze SERVICE: its connections stay open, nothing answers.",
    "resume": "Let a paused SERVICE go on.",
    "restart": "Restart SERVICE; it reads .env again.",
}.items():
    _service_command(_name, _summary)


@main.command()
@click.argument("service", type=click.Choice(["consumer"]))
@click.argument("count", type=int)
@with_stack
def scale(_settings, stack, service, count) -> None:
    """Run COUNT consumers."""
    stack.scale(count)
    console.print(f"{count} consumers run")


@main.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("service")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@with_stack
def exec_(_settings, stack, service, command) -> None:
    """Run COMMAND in SERVICE's environment: lab exec rabbitmq rabbitmqctl list_queues"""
    sys.exit(stack.run_in(service, list(command)))


@main.command("set")
@click.argument("assignment", metavar="KEY=VALUE")
def set_(assignment) -> None:
    """Change a setting in .env; restart what reads it."""
    key, equals, value = assignment.partition("=")
    if not equals:
        raise LabError(f"{assignment!r} is not KEY=VALUE")
    lab_settings.change(key, value)
    console.print(f"{key}={value} is set; restart what reads it, for example: lab restart consumer")


def _print_addresses(settings) -> None:
    table = Table(box=None, show_header=False)
    table.add_row("producer", f"{settings.producer_url}/health")
    table.add_row("RabbitMQ management", f"{settings.management_url}  ({settings.rabbitmq_user})")
    table.add_row("Prometheus", settings.prometheus_url)
    table.add_row("Alertmanager", f"http://127.0.0.1:{settings.alertmanager_port}")
    console.print(table)


if __name__ == "__main__":
    main()
