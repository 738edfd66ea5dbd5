"""One run of a scenario, in the hands of a program: a person's `lab` commands, and what the run can be graded by."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from lab import settings as lab_settings
from lab import stack as stacks
from lab.engine import activities, reports
from lab.engine import scenario as scenarios
from lab.engine.record import Records, Run
from lab.engine.scenario import Scenario
from lab.errors import LabError
from lab.fairness import answers
from lab.fairness import play as plays
from lab.fairness.play import Moment
from lab.grading.facts import Facts
from lab.output import UTF8_ENVIRONMENT
from lab.prometheus import Prometheus
from lab.settings import ROOT
from lab.stack import health
from lab.stack.base import Progress
from lab.stack.baseline import Management

POLL_SECONDS = 1.0
COMMAND_SECONDS = 300
INJECTION_SECONDS = 600  # to bring the lab up, and to its steady state
RESET_SECONDS = 300


class Stopped(Exception):
    """The play cannot go on; the message is what its scenario's author reads."""


class Session:
    """The run that `lab` with `words` starts, for as long as this is entered; nothing of it goes on afterwards."""

    def __init__(self, scenario: Scenario, seed: int, words: Sequence[str], progress: Progress):
        self.scenario = scenario
        self.progress = progress
        self.settings = lab_settings.load()
        self.stack = stacks.current(self.settings)
        self.prometheus = Prometheus(self.settings.prometheus_url)
        self.result = plays.new(scenario, seed)
        self._words = words
        self._records = Records(self.settings.run_dir)

    @classmethod
    def exercise(cls, number: int, seed: int, progress: Progress) -> Self:
        """A scenario as `lab scenario` runs it."""
        return cls(scenarios.load(number, seed), seed, ("scenario", str(number), "--seed", str(seed)), progress)

    def __enter__(self) -> Self:
        """Raises LabError where another run is on, or the lab does not start."""
        if run := self._records.active():
            raise LabError(f"run {run.id} of {run.about} is on: finish it (lab grade), or end it (lab reset)")
        _lab("up")
        self.result.versions = self._versions()
        self.prepare()
        self._output = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        self._engine = subprocess.Popen(
            _argv(*self._words), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
            env=os.environ | UTF8_ENVIRONMENT)
        return self

    def prepare(self) -> None:
        """Called while the lab is up and no run is on yet."""

    def __exit__(self, _kind: type | None, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if self._engine.poll() is None:
            self._engine.kill()
            self._engine.wait()
        self._output.close()
        if self._records.active():
            _lab("reset")
        if isinstance(error, Stopped):
            self.result.troubles.append(str(error))
            return True
        return False

    # -- what is seen -------------------------------------------------------------------------

    @property
    def run(self) -> Run:
        return self._records.latest()

    def facts(self) -> Facts:
        return activities.measure(self.settings, self.scenario, self.run)

    def is_mitigated(self) -> bool:
        return self.facts().mitigated(self.scenario)

    def moment(self, settled: bool = False) -> Moment:
        account = activities.account(self.settings, self.scenario, self.run, settled)
        return Moment(run=self.run, facts=self.facts(), account=account)

    def _versions(self) -> dict[str, str]:
        return {
            "stack": self.stack.form,
            "Python": sys.version.split()[0],
            "RabbitMQ": Management(self.settings).call("GET", "overview")["rabbitmq_version"],
            "Toxiproxy": health.version(self.stack.toxiproxy_address()),
        }

    # -- what is done -------------------------------------------------------------------------

    def wait_for_injection(self) -> None:
        self.progress("waiting for the steady state and the injection")
        deadline = time.monotonic() + INJECTION_SECONDS
        while not self._is_injected():
            if self._engine.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"scenario {self.scenario.number} does not come to its injection: {self._last_words()}")
            time.sleep(POLL_SECONDS)

    def _is_injected(self) -> bool:
        run = self._records.active()
        return run is not None and run.injected_at is not None and len(run.all("fault")) == len(self.scenario.faults)

    def wait(self, condition: Callable[[], bool], until: float) -> bool:
        """Whether it came true by then, in seconds from the injection."""
        end = self.run.injected_at + until
        while True:
            if self._engine.poll() is not None:
                raise Stopped(f"the run ends before all have played, so its time limit is too short: {self._last_words()}")
            with suppress(LabError):  # Prometheus may be what the fault has taken away
                if condition():
                    return True
            if time.time() > end:
                return False
            time.sleep(POLL_SECONDS)

    def attempt(self, *words: str) -> str | None:
        """Type `lab …`; why it failed, or None."""
        done = _run(*words, timeout=COMMAND_SECONDS)
        return _last_line(done.stderr or done.stdout) or f"exit code {done.returncode}" if done.returncode else None

    def answer(self) -> None:
        """Submit the right answer."""
        if problem := self.attempt(*answers.command(answers.truth(self.scenario))):
            raise Stopped(f"the right answer is not taken: {problem}")

    def end(self) -> tuple[int, dict | None]:
        """The engine's exit code and its report, once it has ended."""
        try:
            code = self._engine.wait(RESET_SECONDS)
        except subprocess.TimeoutExpired:
            raise Stopped(f"the run does not end within {RESET_SECONDS} s of the answer: {self._last_words()}") from None
        return code, reports.read_grade(self.settings, self.run)

    def _last_words(self) -> str:
        self._output.seek(0)
        return _last_line(self._output.read())


def _lab(*words: str) -> None:
    done = _run(*words)
    if done.returncode:
        raise LabError(f"`lab {' '.join(words)}` fails: {_last_line(done.stderr or done.stdout)}")


def _run(*words: str, timeout: float | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(_argv(*words), cwd=ROOT, env=os.environ | UTF8_ENVIRONMENT, stdin=subprocess.DEVNULL,
                          capture_output=True, encoding="utf-8", errors="replace", timeout=timeout)


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "lab.cli", *words]


def _last_line(text: str) -> str:
    return next(iter(text.strip().splitlines()[-1:]), "").removeprefix("error: ")
