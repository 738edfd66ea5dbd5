"""The rubric: 100 points, a pass is 70; each line names the evidence it rests on."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from lab.engine.record import Event, Run
from lab.engine.scenario import Scenario
from lab.grading.facts import Facts
from lab.grading.ledger import Account

PASS = 70
DETECTION, LOCALIZATION, ROOT_CAUSE, MITIGATION, INTEGRITY, SPEED = 10, 20, 20, 30, 10, 10
RESUBMISSION_COST = 5
MAX_SUBMISSIONS = 3
# Of the points for detection, for each declaration before there was anything to notice.
FALSE_ALARM_COST = 3
# Where the fault breaks nothing: who breaks an objective for longer than this loses half of the mitigation.
HARM_SECONDS = 10
_INTEGRITY, _LIMIT, _VOID = "Integrity", "Not the answer", "Void"
MAX_FINDINGS = 2  # no scenario has more faults


@dataclass(frozen=True)
class Line:
    """One line of the grade."""

    title: str
    points: int
    out_of: int
    evidence: str


@dataclass(frozen=True)
class Grade:
    """The whole grade; times to detect and to restore are in seconds from the injection.

    `void` says why the run does not count; empty where it does.
    """

    lines: tuple[Line, ...]
    time_to_detect: float | None
    time_to_restore: float | None
    void: tuple[str, ...] = ()

    @property
    def score(self) -> int:
        return max(0, sum(line.points for line in self.lines))

    @property
    def passed(self) -> bool:
        return self.score >= PASS and not self.void

    @property
    def verdict(self) -> str:
        """pass, fail or void."""
        return "void" if self.void else "pass" if self.passed else "fail"

    def as_dict(self) -> dict:
        return {"score": self.score, "pass": self.passed, "verdict": self.verdict, **asdict(self)}


def grade(scenario: Scenario, run: Run, facts: Facts, account: Account, tampering: Sequence[str] = ()) -> Grade:
    """Pure: the same arguments always give the same grade.

    `tampering` is what proves that the grade could have been bought.
    """
    submission = run.last("submission")
    detected = _first_after(_noticeable_from(scenario, facts), run)
    # Where nothing broke, to leave the system alone is the right thing only for who knows that.
    mitigated = facts.mitigated(scenario) and (scenario.impact_within is not None or submission is not None)
    restored_at = facts.steady_since(scenario) if mitigated else None
    if mitigated and facts.last_breach_at is None:
        restored_at = facts.injected_at  # mended before any objective broke
    localization, root_cause = _localization(scenario, submission), _root_cause(scenario, submission)
    lines = [
        _detection(scenario, facts, run, detected),
        localization,
        root_cause,
        _mitigation(scenario, facts, mitigated),
        _integrity(account, acted=submission is not None),
        _speed(scenario, facts, submission, restored_at,
               solved=mitigated and localization.points == LOCALIZATION),
        *_deductions(run),
    ]
    void = tuple(_void(scenario, facts, tampering))
    return Grade(
        _limited(lines, void),
        detected.time - facts.injected_at if detected else None,
        restored_at - facts.injected_at if restored_at is not None else None, void)


def _void(scenario: Scenario, facts: Facts, tampering: Sequence[str]) -> list[str]:
    """Why the run does not count."""
    found = [f"tampering: {line}" for line in tampering]
    if not facts.had_effect(scenario):
        found.append(f"the fault had no effect within {scenario.impact_within} s: no SLO was breached, so nothing was "
                     "mitigated; start the scenario again")
    return found


def _noticeable_from(scenario: Scenario, facts: Facts) -> float | None:
    """The first moment at which a declaration is not a false alarm; None where there never was anything to notice."""
    if facts.symptom_at is None and scenario.impact_within is None:
        return facts.injected_at
    return facts.symptom_at


def _first_after(moment: float | None, run: Run) -> Event | None:
    """The first declaration from that moment on; an answer declares the incident, too."""
    declared = sorted([*run.all("detection"), *run.all("submission")], key=lambda event: event.time)
    return next((event for event in declared if moment is not None and event.time >= moment), None)


def completed(grade: Grade, account: Account, acted: bool) -> Grade:
    """The grade with what became known of the messages after it; `acted` is whether an answer was given."""
    lines = [_integrity(account, acted) if line.title == _INTEGRITY else line for line in grade.lines]
    return replace(grade, lines=_limited(lines, grade.void))


def _limited(lines: Iterable[Line], void: Sequence[str]) -> tuple[Line, ...]:
    """The lines, with a deduction where the answer does not match the injected faults exactly, or the run is void."""
    lines = [line for line in lines if line.title not in {_LIMIT, _VOID}]
    points = {line.title: line.points for line in lines}
    is_right = (points["Localization"], points["Root cause"]) == (LOCALIZATION, ROOT_CAUSE)
    over = sum(line.points for line in lines) - (PASS - 1)
    if over > 0 and not is_right:
        lines.append(Line(_LIMIT, -over, 0,
                          f"answers that do not match the injected faults exactly are capped at {PASS - 1} points"))
    if void:
        lines.append(Line(_VOID, -max(0, sum(line.points for line in lines)), 0, "; ".join(void)))
    return tuple(lines)


def _detection(scenario: Scenario, facts: Facts, run: Run, detected: Event | None) -> Line:
    symptom_at = _noticeable_from(scenario, facts)
    early = [event for event in run.all("detection") if symptom_at is None or event.time < symptom_at]
    alarms = [f"false alarm {_clock(event.time)}, before any SLO was breached or alert was pending" for event in early]
    if detected is None:
        return Line("Detection", 0, DETECTION, "; ".join(
            [*alarms, "no declaration of the incident: neither `lab detect` nor `lab submit`"]))
    delay = detected.time - symptom_at
    points = _faded(DETECTION, delay, full_until=scenario.detect_within, none_after=3 * scenario.detect_within)
    return Line("Detection", max(0, points - FALSE_ALARM_COST * len(early)), DETECTION, "; ".join([
        *(f"{alarm} (-{FALSE_ALARM_COST})" for alarm in alarms),
        f"declared {_clock(detected.time)}, {delay:.0f} s after the first symptom at {_clock(symptom_at)}",
        f"full points within {scenario.detect_within} s"]))


def _localization(scenario: Scenario, submission: Event | None) -> Line:
    return _answer("Localization", "component", LOCALIZATION, submission, [
        (finding.component, finding.partial_components) for finding in scenario.truth.findings])


def _root_cause(scenario: Scenario, submission: Event | None) -> Line:
    return _answer("Root cause", "cause", ROOT_CAUSE, submission, [
        (finding.cause, finding.partial_causes) for finding in scenario.truth.findings])


def _answer(title: str, field: str, out_of: int, submission: Event | None,
            truths: list[tuple[str, dict[str, int]]]) -> Line:
    """`truths`: what is right for each fault, and the points of what is near."""
    if submission is None:
        return Line(title, 0, out_of, "nothing was submitted")
    given = [finding[field] for finding in submission.data["findings"]]
    credits = [max((_credit(one, right, near, out_of), one) for one in given) for right, near in truths]
    points = sum(credit for credit, _one in credits) // max(len(truths), len(given))
    found = "; ".join(_compared(field, one, right, near)
                      for (_credit_of_it, one), (right, near) in zip(credits, truths, strict=True))
    if len(given) != len(truths):
        found += f"; {len(given)} named, there {'was 1' if len(truths) == 1 else f'were {len(truths)}'}"
    return Line(title, points, out_of, found)


def _credit(given: str, right: str, near: dict[str, int], out_of: int) -> int:
    return out_of if given == right else near.get(given, 0)


def _compared(field: str, given: str, right: str, near: dict[str, int]) -> str:
    if given == right:
        return f"{field} {given!r} is right"
    return f"{field} {given!r}{', which is near' if given in near else ''}; it was {right!r}"


def _mitigation(scenario: Scenario, facts: Facts, mitigated: bool) -> Line:
    points = MITIGATION if mitigated else 0
    harm = facts.breached_seconds if scenario.impact_within is None else 0
    if harm > HARM_SECONDS:
        points //= 2
    measured = [f"nothing was broken until somebody acted: {harm:.0f} s outside the objectives"] if harm else []
    measured += [
        f"{breach.slo.query} left its objective ({breach.slo.comparison} {breach.slo.objective:g}) "
        f"from {_clock(breach.first_at)} to {_clock(breach.last_at)}"
        + (f", at worst {breach.worst:.3g}" if breach.worst is not None else "")
        for breach in facts.breaches] or ["no objective was broken"]
    measured.append(f"held for {facts.held_seconds(scenario):.0f} of {scenario.hold} s at {_clock(facts.at)}")
    measured += [
        f"{state.check.title}: {state.check.query} = {_number(state.value)} "
        f"({'as needed' if state.holds else f'needed {state.check.comparison} {state.check.value:g}'})"
        for state in facts.states]
    return Line("Mitigation", points, MITIGATION, "; ".join(measured))


def _number(value: float | None) -> str:
    return "no data" if value is None else f"{value:.4g}"


def _integrity(account: Account, acted: bool) -> Line:
    evidence = (f"ledger: {account.acknowledged} acknowledged, {account.processed} processed, "
                f"{account.dead_lettered} dead-lettered, {account.queued} still queued, {account.unknown} unknown, "
                f"{account.lost} lost, {account.discarded} discarded from the dead-letter queue")
    if account.unknown:
        evidence += "; unknown messages cost nothing: the reset takes all messages out of the queues and counts them by id"
    if account.dropped:
        evidence += f"; not counted as lost: up to {account.dropped} that the fault made the broker drop, by its own count"
    if not acted:
        return Line(_INTEGRITY, 0, INTEGRITY, f"{evidence}; no points without an answer")
    return Line(_INTEGRITY, INTEGRITY if account.intact else 0, INTEGRITY, evidence)


def _speed(scenario: Scenario, facts: Facts, submission: Event | None,
           restored_at: float | None, solved: bool) -> Line:
    if not solved:
        return Line("Speed", 0, SPEED, "counts when the system is restored and the component is right")
    needed = max(submission.time, restored_at) - facts.injected_at
    points = _faded(SPEED, needed, full_until=scenario.par_time, none_after=2 * scenario.par_time)
    return Line("Speed", points, SPEED, f"solved {needed:.0f} s after the injection; par is {scenario.par_time} s")


def _deductions(run: Run) -> list[Line]:
    deductions = [
        Line(f"Hint {number}", -hint.data["cost"], 0, f"taken {_clock(hint.time)}")
        for number, hint in enumerate(run.all("hint"), 1)]
    again = len(run.all("submission")) - 1
    if again > 0:
        deductions.append(Line("Resubmission", -RESUBMISSION_COST * again, 0, f"{again + 1} answers; the last counts"))
    return deductions


def _faded(points: int, seconds: float, full_until: float, none_after: float) -> int:
    """All points until `full_until`, then fewer, linearly, until `none_after`."""
    if seconds <= full_until:
        return points
    return max(0, round(points * (none_after - seconds) / (none_after - full_until)))


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
