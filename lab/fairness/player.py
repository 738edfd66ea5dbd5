"""Plays a scenario as a person would, by `lab` commands, and measures what each kind of candidate would get.

One injected run serves them all, one after the other: who does nothing, who restarts everything blindly, who mends it
and guesses, and who solves it. `lab.fairness.cheat` plays who wants the points without the repair.
"""

import shlex
import tempfile
import time
from itertools import count
from pathlib import Path

from lab.errors import LabError
from lab.exam import exam as exams
from lab.exam.exam import Exam
from lab.exam.key import Key
from lab.fairness import alerts, baseline
from lab.fairness.play import Play
from lab.fairness.session import POLL_SECONDS, Session, Stopped
from lab.grading.facts import STEP_SECONDS
from lab.stack.base import Progress

RESTARTED_BLINDLY = ("rabbitmq", "toxiproxy", "producer", "consumer")
ALERT_SECONDS = 120  # at least, for the alerts
BLIND_SECONDS = 60  # beside the time that the objectives must hold
ANSWER_SECONDS = 30  # that are left to the oracle before the time limit
BASELINE_SECONDS = 60  # the broker counts its queues every five
RESOLVED_SECONDS = 180  # a page looks back a minute
EXAMINED = "the oracle"
EXAM_MINUTES = 30


def play(number: int, seed: int, blind: bool, progress: Progress) -> Play:
    """Play a scenario as an exercise, with the blind restart or without. It takes some minutes; the lab is left up.

    Raises LabError when the lab cannot be brought to the injection, or another run is on.
    """
    with Player.exercise(number, seed, progress) as player:
        player.play(blind)
    return player.result


def examine(number: int, progress: Progress) -> Play:
    """Play a scenario as an exam, without the blind restart. As `play`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        exam = _exam(Key.create(path), number)
        words = ("exam", "start", "--candidate", EXAMINED, "--minutes", str(EXAM_MINUTES), "--seed", str(exam.seed),
                 "--key", str(path))
        with Player(exam.scenario, exam.scenario_seed, words, progress) as player:
            player.result.is_exam = True
            player.play(blind=False)
    return player.result


def _exam(key: Key, number: int) -> Exam:
    """One that is about that scenario."""
    drawn = (exams.draw(key, EXAMINED, EXAM_MINUTES, seed, tier=None) for seed in count())
    return next(exam for exam in drawn if exam.scenario_number == number)


class Player(Session):
    """Nobody, a blind hand and the oracle, one after the other."""

    def prepare(self) -> None:
        self._before = self._state()

    def play(self, blind: bool) -> None:
        self.wait_for_injection()
        # Where nothing is broken, a restart is the only thing that breaks, and the oracle would pay for it.
        blind = blind and self.scenario.impact_within is not None
        self._do_nothing(with_alerts=blind)
        self.attempt("detect")
        if blind:
            self._restart_blindly()
        self._mend()
        self._solve()
        self._check_reset(with_alerts=not blind)

    # -- the candidates -----------------------------------------------------------------------

    def _do_nothing(self, with_alerts: bool) -> None:
        """Until the fault shows as the scenario says; where it is to break nothing, until that is proven."""
        scenario = self.scenario
        self.progress("doing nothing until the fault shows")
        self.wait(self._shows, max(2 * (scenario.impact_within or 0), ALERT_SECONDS))
        self.result.nothing = self.moment()
        if with_alerts:  # what the blind restart raises is not the fault's
            self._note_alerts()

    def _shows(self) -> bool:
        scenario, at = self.scenario, self.run.injected_at
        fired = {name.removesuffix(alerts.SLOW) for name in alerts.fired(self.prometheus, at)}
        if not set(scenario.alerts) <= fired:
            return False
        if scenario.impact_within is None:
            return time.time() > at + scenario.hold + 2 * STEP_SECONDS
        return self.facts().impact_at is not None

    def _restart_blindly(self) -> None:
        self.progress(f"restarting {', '.join(RESTARTED_BLINDLY)} blindly")
        for service in RESTARTED_BLINDLY:
            self.attempt("restart", service)
        now = time.time() - self.run.injected_at
        self.wait(self.is_mitigated, now + self.scenario.hold + BLIND_SECONDS)
        self.result.blind = self.moment()

    def _mend(self) -> None:
        scenario = self.scenario
        self.progress(f"the oracle mitigates it: {'; '.join(scenario.oracle.commands) or 'no command'}")
        for command in scenario.oracle.commands:
            if problem := self.attempt(*shlex.split(command)):
                self.result.troubles.append(f"the oracle's `{command}` fails: {problem}")
        # Later than that, no answer is worth its full points.
        limit = min(2 * scenario.par_time, scenario.time_limit - ANSWER_SECONDS)
        if not self.wait(self.is_mitigated, limit):
            raise Stopped(f"the oracle does not mitigate it: after {limit:.0f} s {self._what_is_missing()}")
        self.result.mended = self.moment(settled=True)

    def _solve(self) -> None:
        self.progress("the oracle answers")
        self.answer()
        self.result.exit_code, report = self.end()
        if report:
            self.result.grade = report["grade"]
            self.result.tampering = [signal["text"] for signal in report["evidence"]["tampering"]]

    def _check_reset(self, with_alerts: bool) -> None:
        self.progress("checking that the reset left nothing")
        deadline = time.monotonic() + BASELINE_SECONDS
        while (left := self._left_over()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.result.troubles += [f"after the reset, {what}" for what in left]
        deadline = time.monotonic() + RESOLVED_SECONDS
        while not alerts.only_slow_burns(self.prometheus) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not alerts.only_slow_burns(self.prometheus):
            self.result.troubles.append(f"{RESOLVED_SECONDS} s after the reset there still fires "
                                        + ", ".join(sorted(alerts.firing(self.prometheus))))
        if with_alerts:
            self._note_alerts()

    # -- what they see ------------------------------------------------------------------------

    def _what_is_missing(self) -> str:
        facts = self.facts()
        unmet = [f"{state.check.title!r} is not so" for state in facts.states if not state.holds]
        if facts.held_seconds(self.scenario) < self.scenario.hold:
            unmet.append(f"the objectives have held for {facts.held_seconds(self.scenario):.0f} s")
        return ", and ".join(unmet)

    def _note_alerts(self) -> None:
        self.result.alerts = alerts.fired(self.prometheus, self.run.injected_at)

    def _state(self) -> baseline.State:
        deadline = time.monotonic() + BASELINE_SECONDS
        while True:
            try:
                return baseline.state(self.settings, self.stack)
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _left_over(self) -> list[str]:
        try:
            return baseline.left_over(self.settings, self.stack, self._before)
        except LabError as error:
            return [str(error)]
