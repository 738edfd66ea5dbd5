"""Plays a scenario as a person would, by `lab` commands, and measures what each kind of candidate would get.

One injected run serves them all, one after the other: who does nothing, who restarts everything blindly, who mends it
and guesses, and who solves it.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress

from lab import settings as lab_settings
from lab import stack as stacks
from lab.engine import activities, reports
from lab.engine import scenario as scenarios
from lab.engine.record import Records, Run
from lab.errors import LabError
from lab.fairness import alerts, answers, baseline
from lab.fairness import play as plays
from lab.fairness.play import Moment, Play
from lab.grading.facts import STEP_SECONDS, Facts
from lab.output import UTF8_ENVIRONMENT
from lab.prometheus import Prometheus
from lab.settings import ROOT
from lab.stack import health
from lab.stack.base import Progress
from lab.stack.baseline import Management

RESTARTED_BLINDLY = ("rabbitmq", "toxiproxy", "producer", "consumer")
POLL_SECONDS = 1.0
COMMAND_SECONDS = 300
INJECTION_SECONDS = 600  # to bring the lab up, and to its steady state
ALERT_SECONDS = 120  # at least, for the alerts
BLIND_SECONDS = 60  # beside the time that the objectives must hold
ANSWER_SECONDS = 30  # that are left to the oracle before the time limit
RESET_SECONDS = 300
BASELINE_SECONDS = 60  # the broker counts its queues every five
RESOLVED_SECONDS = 180  # a page looks back a minute


class _Stopped(Exception):
    """The play cannot go on; the message is what its scenario's author reads."""


def play(number: int, seed: int, blind: bool, progress: Progress) -> Play:
    """Play a scenario, with the blind restart or without. It takes some minutes, and the lab is left up.

    Raises LabError when the lab cannot be brought to the injection, or another run is on.
    """
    scenario = scenarios.load(number, seed)
    settings = lab_settings.load()
    if run := Records(settings.run_dir).active():
        raise LabError(f"run {run.id} of {run.about} is on: finish it (lab grade), or end it (lab reset)")
    _lab("up")
    player = _Player(scenario, seed, progress)
    try:
        player.play(blind)
    except _Stopped as stop:
        player.result.troubles.append(str(stop))
    finally:
        player.leave()
    return player.result


class _Player:
    def __init__(self, scenario: scenarios.Scenario, seed: int, progress: Progress):
        self._scenario = scenario
        self._progress = progress
        self._settings = lab_settings.load()
        self._stack = stacks.current(self._settings)
        self._prometheus = Prometheus(self._settings.prometheus_url)
        self._records = Records(self._settings.run_dir)
        self._before = self._state()
        self.result = plays.new(scenario, seed)
        self.result.versions = self._versions()
        self._output = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        self._engine = subprocess.Popen(
            _argv("scenario", str(scenario.number), "--seed", str(seed)), cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=self._output, stderr=subprocess.STDOUT, env=os.environ | UTF8_ENVIRONMENT)

    def play(self, blind: bool) -> None:
        self._wait_for_injection()
        # Where nothing is broken, a restart is the only thing that breaks, and the oracle would pay for it.
        blind = blind and self._scenario.impact_within is not None
        self._do_nothing(with_alerts=blind)
        self._try("detect")
        if blind:
            self._restart_blindly()
        self._mend()
        self._solve()
        self._check_reset(with_alerts=not blind)

    def leave(self) -> None:
        """Nothing goes on after a play, whatever ended it."""
        if self._engine.poll() is None:
            self._engine.kill()
            self._engine.wait()
        self._output.close()
        if self._records.active():
            _lab("reset")

    # -- the candidates -----------------------------------------------------------------------

    def _do_nothing(self, with_alerts: bool) -> None:
        """Until the fault shows as the scenario says; where it is to break nothing, until that is proven."""
        scenario = self._scenario
        self._progress("doing nothing until the fault shows")
        self._wait(self._shows, max(2 * (scenario.impact_within or 0), ALERT_SECONDS))
        self.result.nothing = self._moment()
        if with_alerts:  # what the blind restart raises is not the fault's
            self._note_alerts()

    def _shows(self) -> bool:
        scenario, at = self._scenario, self._run.injected_at
        fired = {name.removesuffix(alerts.SLOW) for name in alerts.fired(self._prometheus, at)}
        if not set(scenario.alerts) <= fired:
            return False
        if scenario.impact_within is None:
            return time.time() > at + scenario.hold + 2 * STEP_SECONDS
        return self._facts().impact_at is not None

    def _restart_blindly(self) -> None:
        self._progress(f"restarting {', '.join(RESTARTED_BLINDLY)} blindly")
        for service in RESTARTED_BLINDLY:
            self._try("restart", service)
        now = time.time() - self._run.injected_at
        self._wait(self._is_mitigated, now + self._scenario.hold + BLIND_SECONDS)
        self.result.blind = self._moment()

    def _mend(self) -> None:
        scenario = self._scenario
        self._progress(f"the oracle mends it: {'; '.join(scenario.oracle.commands) or 'no command'}")
        for command in scenario.oracle.commands:
            if problem := self._try(*shlex.split(command)):
                self.result.troubles.append(f"the oracle's `{command}` fails: {problem}")
        # Later than that, no answer is worth its full points.
        limit = min(2 * scenario.par_time, scenario.time_limit - ANSWER_SECONDS)
        if not self._wait(self._is_mitigated, limit):
            raise _Stopped(f"the oracle does not mend it: after {limit:.0f} s {self._what_is_missing()}")
        self.result.mended = self._moment(settled=True)

    def _solve(self) -> None:
        self._progress("the oracle answers")
        if problem := self._try(*answers.command(answers.truth(self._scenario))):
            raise _Stopped(f"the right answer is not taken: {problem}")
        try:
            self.result.exit_code = self._engine.wait(RESET_SECONDS)
        except subprocess.TimeoutExpired:
            raise _Stopped(f"the run does not end within {RESET_SECONDS} s of the right answer") from None
        if report := reports.read_grade(self._settings, self._run):
            self.result.grade = report["grade"]

    def _check_reset(self, with_alerts: bool) -> None:
        self._progress("checking that the reset left nothing")
        deadline = time.monotonic() + BASELINE_SECONDS
        while (left := self._left_over()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.result.troubles += [f"after the reset, {what}" for what in left]
        deadline = time.monotonic() + RESOLVED_SECONDS
        while not alerts.only_slow_burns(self._prometheus) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not alerts.only_slow_burns(self._prometheus):
            self.result.troubles.append(f"{RESOLVED_SECONDS} s after the reset there still fires "
                                        + ", ".join(sorted(alerts.firing(self._prometheus))))
        if with_alerts:
            self._note_alerts()

    # -- what they see ------------------------------------------------------------------------

    @property
    def _run(self) -> Run:
        return self._records.latest()

    def _facts(self) -> Facts:
        return activities.measure(self._settings, self._scenario, self._run)

    def _is_mitigated(self) -> bool:
        return self._facts().mitigated(self._scenario)

    def _what_is_missing(self) -> str:
        facts = self._facts()
        unmet = [f"{state.check.title!r} is not so" for state in facts.states if not state.holds]
        if facts.held_seconds(self._scenario) < self._scenario.hold:
            unmet.append(f"the objectives have held for {facts.held_seconds(self._scenario):.0f} s")
        return ", and ".join(unmet)

    def _moment(self, settled: bool = False) -> Moment:
        account = activities.account(self._settings, self._scenario, self._run, settled)
        return Moment(run=self._run, facts=self._facts(), account=account)

    def _note_alerts(self) -> None:
        self.result.alerts = alerts.fired(self._prometheus, self._run.injected_at)

    def _state(self) -> baseline.State:
        deadline = time.monotonic() + BASELINE_SECONDS
        while True:
            try:
                return baseline.state(self._settings, self._stack)
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _left_over(self) -> list[str]:
        try:
            return baseline.left_over(self._settings, self._stack, self._before)
        except LabError as error:
            return [str(error)]

    def _versions(self) -> dict[str, str]:
        return {
            "stack": self._stack.form,
            "Python": sys.version.split()[0],
            "RabbitMQ": Management(self._settings).call("GET", "overview")["rabbitmq_version"],
            "Toxiproxy": health.version(self._stack.toxiproxy_address()),
        }

    # -- how they wait and act ----------------------------------------------------------------

    def _wait_for_injection(self) -> None:
        self._progress("waiting for the steady state and the injection")
        deadline = time.monotonic() + INJECTION_SECONDS
        while not self._is_injected():
            if self._engine.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"scenario {self._scenario.number} does not come to its injection: {self._last_words()}")
            time.sleep(POLL_SECONDS)

    def _is_injected(self) -> bool:
        run = self._records.active()
        return run is not None and run.injected_at is not None and len(run.all("fault")) == len(self._scenario.faults)

    def _wait(self, condition: Callable[[], bool], until: float) -> bool:
        """Whether it came true by then, in seconds from the injection."""
        end = self._run.injected_at + until
        while True:
            if self._engine.poll() is not None:
                raise _Stopped(f"the run ends before all have played, so its time limit is too short: "
                               f"{self._last_words()}")
            with suppress(LabError):  # Prometheus may be what the fault has taken away
                if condition():
                    return True
            if time.time() > end:
                return False
            time.sleep(POLL_SECONDS)

    def _try(self, *words: str) -> str | None:
        """Type `lab …`; why it failed, or None."""
        done = _run(*words, timeout=COMMAND_SECONDS)
        return _last_line(done.stderr or done.stdout) or f"exit code {done.returncode}" if done.returncode else None

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
