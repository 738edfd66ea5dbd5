"""Plays a scenario as somebody who wants the points without the repair, and measures what each trick pays.

The tricks are added one to the other in one run. The right answer is given for each, so that the points show what the
trick itself pays.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import requests
import yaml

from lab import slo
from lab.errors import LabError
from lab.fairness.play import Play
from lab.fairness.session import Session
from lab.settings import ROOT, LabSettings
from lab.stack.base import Progress
from services.messaging.topology import QUEUE

TIMEOUT_SECONDS = 10
TRICK_SECONDS = 45  # beside the time that the objectives must hold: what they are measured by looks back 30 s


def play(number: int, seed: int, progress: Progress) -> Play:
    """Play a scenario whose fault breaks something, with every trick. Raises LabError as `player.play`."""
    with Cheat.exercise(number, seed, progress) as cheat:
        cheat.play()
    return cheat.result


class Cheat(Session):
    def play(self) -> None:
        self.wait_for_injection()
        self.progress("waiting until the fault shows")
        self.wait(lambda: self.facts().impact_at is not None, 2 * self.scenario.impact_within)
        self.attempt("detect")
        with ExitStack() as tricks:
            for name, trick in TRICKS.items():
                self.progress(f"the cheat: {name}")
                tricks.enter_context(trick(self))
                since = time.time() - self.run.injected_at
                self.wait(self.is_mitigated, since + self.scenario.hold + TRICK_SECONDS)
                self.result.attacks[name] = self.moment()
            self.answer()
            self.attempt("grade")
            _code, report = self.end()
            if report:
                self.result.attacked = report["grade"]


def rewrite_rules(settings: LabSettings, expressions: Mapping[str, str]) -> None:
    """Let the lab's own Prometheus load other expressions for recording rules; natively, its rules can be written."""
    path = settings.run_dir / "prometheus" / "rules" / "sli.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    rules = {rule["record"]: rule for group in content["groups"] for rule in group["rules"] if "record" in rule}
    for record, expression in expressions.items():
        rules[record]["expr"] = expression
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        requests.post(f"{settings.prometheus_url}/-/reload", timeout=TIMEOUT_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise LabError(f"Prometheus does not load the rules: {error}") from None


@contextmanager
def _good_rules(cheat: Cheat) -> Iterator[None]:
    rewrite_rules(cheat.settings, {one.query: f"vector({one.objective})" for one in slo.objectives()})
    yield


@contextmanager
def _silence(cheat: Cheat) -> Iterator[None]:
    cheat.attempt("stop", "traffic")
    cheat.attempt("exec", "rabbitmq", "rabbitmqctl", "--quiet", "purge_queue", QUEUE)
    yield


@contextmanager
def invented_traffic(settings: LabSettings, rate: float) -> Iterator[None]:
    """An exporter in the place of the clients', which counts so many requests a second."""
    exporter = subprocess.Popen([sys.executable, "-m", "lab.fairness.exporter", str(settings.traffic_metrics_port), str(rate)],
                                cwd=ROOT)
    try:
        yield
    finally:
        exporter.kill()
        exporter.wait()


TRICKS: dict[str, Callable[[Cheat], AbstractContextManager[None]]] = {
    "rules that always hold": _good_rules,
    "no traffic, and an empty queue": _silence,
    "invented traffic": lambda cheat: invented_traffic(cheat.settings, cheat.settings.lab_traffic_rate),
}
