"""What every form of the stack can do. Nothing above this interface knows which form runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.errors import LabError

MAX_CONSUMERS = 10
# The Prometheus that grades are measured by. It has the rules and targets of the lab's, but nobody may change it.
JUDGE = "judge"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """One service as it is now; `state` is running, starting, paused, stopped or failed."""

    name: str
    state: str
    pid: int | None
    uptime_seconds: float | None
    healthy: bool | None  # None where the service has no health check
    detail: str


def check_consumers(count: int) -> None:
    """Raises LabError for a number of consumers that no form of the stack runs."""
    if not 0 <= count <= MAX_CONSUMERS:
        raise LabError(f"{count} consumers: the lab runs 0 to {MAX_CONSUMERS}")


def check_open(service: str) -> None:
    """Raises LabError for the service that no command may act on."""
    if service == JUDGE:
        raise LabError("the judge measures the grade, so no command stops, changes or enters it")


def unlike_usual(statuses: Iterable[Status], usual: Iterable[str]) -> list[str]:
    """A line for each service that does not run as usual, and for each that usually does not run."""
    found = {one.name: one for one in statuses}
    wanted = set(usual)
    extra = sorted(name for name, one in found.items() if name not in wanted and one.state != "stopped")
    lines = [f"{name}: {problem}" for name in sorted(wanted) if (problem := _problem(found.get(name)))]
    lines += [f"{name}: {found[name].state}, though it usually does not run" for name in extra if not _is_consumer(name)]
    if surplus := sum(map(_is_consumer, extra)):
        count = sum(map(_is_consumer, wanted))
        lines.append(f"consumers: {count + surplus} instead of {count}")
    return lines


def _problem(status: Status | None) -> str | None:
    if status is None:
        return "missing"
    # A program without a health check counts as starting for its first seconds.
    if status.state not in {"running", "starting"}:
        return status.state
    return f"not healthy: {status.detail}" if status.state == "running" and status.healthy is False else None


def _is_consumer(name: str) -> bool:
    return name.startswith("consumer-") and name.removeprefix("consumer-").isdigit()


def no_end_in(service: str, argv: list[str], timeout: float) -> LabError:
    """What to raise when a command beside a service has not ended in time."""
    return LabError(f"{service} has not done `{' '.join(argv)[:200]}` within {timeout:g} s: "
                    f"`lab restart {service}`, then try again")


class Stack(Protocol):
    """Every method raises LabError with what to do when it cannot do its work.

    Services are named as `status` lists them; `consumer` stands for all consumers that run.
    """

    form: str

    def up(self, progress: Progress) -> None:
        """Start everything; return when the whole system is healthy."""

    def down(self, progress: Progress) -> None:
        """Stop everything; queues and metrics are kept."""

    def reset(self, progress: Progress) -> None:
        """Run exactly what `up` on a fresh lab runs, all of it with the settings of now."""

    def differences(self) -> list[str]:
        """What is not as `reset` would leave it, a line each: services, their settings, Prometheus' configuration."""

    def clean(self, progress: Progress) -> None:
        """Remove every process and file of this lab, whatever state it is in."""

    def is_up(self) -> bool: ...

    def toxiproxy_address(self) -> tuple[str, int]:
        """Host and port at which this process reaches Toxiproxy's control API."""

    def hide_control(self) -> bool:
        """Move that API away from its known address, until `show_control`.

        Returns whether a running Toxiproxy was restarted, which cuts every connection.
        """

    def show_control(self) -> bool:
        """Move it back; see `hide_control`."""

    def forget_metrics(self, progress: Progress) -> None:
        """Restart Prometheus, the judge and Alertmanager without what they remember: samples, alerts, silences."""

    def impostors(self) -> list[str]:
        """What answers, or could answer, in the place of a service that is measured; one line each."""

    def links(self) -> list[dict]:
        """Toxiproxy's proxies as they ought to be: every AMQP connection of the services crosses one of them."""

    def consumer_connections(self) -> set[str]:
        """The names of the consumers' connections, as the broker's management shows them."""

    def ledger_dir(self) -> Path:
        """The folder with the ledgers of clients and consumers, as they are now."""

    def status(self) -> list[Status]: ...

    def logs(self, service: str | None, follow: bool) -> Iterator[str]:
        """Lines of one service's log, or of all."""

    def start(self, service: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it is healthy; `environment` is added to its own, for all starts to come."""

    def stop(self, service: str) -> None:
        """Stop it gracefully; it stays down."""

    def kill(self, service: str) -> None:
        """Kill it with SIGKILL; it stays down."""

    def pause(self, service: str) -> None:
        """Freeze its processes: connections stay open, nothing answers."""

    def resume(self, service: str) -> None: ...

    def restart(self, service: str) -> None: ...

    def scale(self, count: int) -> None:
        """Run that many consumers."""

    def load_page(self, workers: int) -> None:
        """Serve Locust's web page, with that many processes that send; returns at once where it is served anyway."""

    def run_in(self, service: str, argv: list[str], timeout: float | None = None) -> int:
        """Run a command beside the service, in its environment; return its exit code.

        Raises LabError when it takes longer than `timeout` seconds. A person's own command may take any time.
        """
