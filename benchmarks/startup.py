"""`lab up` on a warm machine against the broker's own start, and `lab reset` between scenarios."""

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from benchmarks import servers
from benchmarks.method import Invalid, Options, Row, Series, interleave
from lab.settings import LabSettings
from lab.stack.native.programs import RABBITMQ_BIN, broker_environment, programs
from tests.conftest import Lab, private_lab

UP, BROKER = "lab up", "rabbitmq-server until rabbitmqctl await_startup"
START_SECONDS = 120


def run(options: Options, progress: Callable[[str], None]) -> list[Row]:
    with TemporaryDirectory(prefix="sre-lab-benchmark-") as folder, private_lab(Path(folder)) as lab:
        _lab(lab, "up")  # the first start makes the broker's data: both find them from now on
        _lab(lab, "down")
        resets: list[float] = []

        def up() -> float:
            seconds = _timed(lambda: _lab(lab, "up"))
            _leave_as_a_scenario_does(lab)
            resets.append(_timed(lambda: _lab(lab, "reset")))
            progress(f"lab reset: {resets[-1]:.2f} s")
            _lab(lab, "down")
            return seconds

        series = interleave(options.rounds, {UP: up, BROKER: lambda: _broker_alone(lab)}, "s", progress)
    return [
        Row("lab up, warm", BROKER, "s", series[UP], series[BROKER], goal=1.3, at_most=True),
        Row("lab reset between scenarios", "a fixed time", "s", Series(resets, series[UP].problem), None, goal=5.0, at_most=True),
    ]


def _lab(lab: Lab, *arguments: str) -> None:
    done = lab.command(*arguments, check=False)
    if done.returncode:
        raise Invalid(f"lab {' '.join(arguments)}: {done.stdout[-200:]}{done.stderr[-500:]}")


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _leave_as_a_scenario_does(lab: Lab) -> None:
    """The fault of scenario 1, and consumers that somebody added against it."""
    requests.post(f"{lab.settings.toxiproxy_url}/proxies/consumer-link/toxics", timeout=5, json={
        "type": "latency", "stream": "downstream", "attributes": {"latency": 1000}}).raise_for_status()
    _lab(lab, "scale", "consumer", "3")


def _broker_alone(lab: Lab) -> float:
    settings = lab.settings
    with ExitStack() as running:
        started = time.perf_counter()
        for name in ("epmd", "rabbitmq"):
            command = programs(settings)[name].command(settings)
            running.enter_context(servers.process(settings, f"{name}-alone", command.argv, command.environment))
        # Before the node has registered, await_startup fails instead of waiting.
        _wait_for_node(settings)
        servers.output([str(RABBITMQ_BIN / "rabbitmqctl"), "await_startup", "--timeout", str(START_SECONDS)],
                       broker_environment(settings))
        return time.perf_counter() - started


def _wait_for_node(settings: LabSettings) -> None:
    epmd = programs(settings)["epmd"].command(settings).argv[0]
    deadline = time.monotonic() + START_SECONDS
    while "name sre-lab " not in subprocess.run(
            [epmd, "-port", str(settings.epmd_port), "-names"], capture_output=True, encoding="utf-8").stdout:
        if time.monotonic() > deadline:
            raise Invalid(f"RabbitMQ did not start within {START_SECONDS} s")
        time.sleep(0.05)
