"""What a candidate can do in a run, from whatever terminal or page.

Every function raises LabError, which says why, when it cannot be done now.
"""

import difflib
import time

from lab.engine import scenario as scenarios
from lab.engine.record import Records, Run
from lab.engine.scenario import Hint
from lab.errors import LabError
from lab.grading import facts
from lab.grading.answers import CAUSES, COMPONENTS
from lab.grading.rubric import FALSE_ALARM_COST, MAX_FINDINGS, MAX_SUBMISSIONS
from lab.prometheus import Prometheus
from lab.settings import LabSettings

Finding = dict[str, str]  # component and cause


def running(records: Records) -> Run:
    """The active run, from its brief to its grade."""
    run = records.active()
    if run is None or run.state != "running":
        raise LabError("no exercise is on: start one with make scenario-1")
    return run


def detect(settings: LabSettings, records: Records) -> str:
    """Declare the incident; returns what to say of that. Raises LabError when it is declared already.

    A declaration before any symptom is a false alarm, and can be followed by a true one.
    """
    run = running(records)
    declared, symptom_at = run.last("detection"), _symptom_at(settings, run)
    if declared and symptom_at is None:
        raise LabError("the incident is declared already, and there is still no symptom: no SLO is breached, and no alert "
                       "is pending or firing")
    if declared and declared.time >= symptom_at:
        raise LabError("the incident is declared already")
    records.add(run.id, "detection")
    if symptom_at is None:
        return (f"recorded, but no SLO is breached, and no alert is pending or firing: where a fault comes later, this is a "
                f"false alarm (-{FALSE_ALARM_COST} points); declare again when you see a symptom")
    return "the incident is declared"


def is_declared(settings: LabSettings, run: Run) -> bool:
    """Whether the incident is declared, false alarms apart. Raises LabError when the judge does not answer."""
    declared, symptom_at = run.last("detection"), _symptom_at(settings, run)
    return bool(declared and symptom_at and declared.time >= symptom_at)


def _symptom_at(settings: LabSettings, run: Run) -> float | None:
    return facts.first_symptom(Prometheus(settings.judge_url), run.begun_at, time.time())


def check_submittable(records: Records) -> None:
    """Whether one more answer is taken."""
    if len(running(records).all("submission")) >= MAX_SUBMISSIONS:
        raise LabError(f"{MAX_SUBMISSIONS} answers are the most; the last one counts")


def submit(records: Records, findings: list[Finding], notes: str) -> list[Finding]:
    """Say what is wrong, and return it as it was taken: what is named twice counts once."""
    check_submittable(records)
    if not 1 <= len(findings) <= MAX_FINDINGS:
        raise LabError(f"an answer names at least one fault, and at most {MAX_FINDINGS}")
    for finding in findings:
        check_answer("component", finding["component"], COMPONENTS)
        check_answer("cause", finding["cause"], CAUSES)
    findings = [finding for index, finding in enumerate(findings) if finding not in findings[:index]]
    records.add(running(records).id, "submission", findings=findings, notes=notes)
    return findings


def check_answer(what: str, given: str, known: dict[str, str]) -> None:
    """Whether it is on the list of what can be said."""
    if given not in known:
        near = difflib.get_close_matches(given, known, 1)
        raise LabError(f"{given!r} is no {what}" + (f"; did you mean {near[0]!r}?" if near else "")
                       + " `lab answers` lists the choices")


def hints(run: Run) -> list[Hint]:
    """All hints of the run's scenario, taken or not; an exam has none."""
    return [] if run.sealed else scenarios.load(run.scenario, run.seed).hints


def take_hint(records: Records) -> tuple[int, list[Hint]]:
    """Take the next hint; its number, from 1, and all there are."""
    run = running(records)
    if run.sealed:
        raise LabError("there are no hints in an exam")
    known, taken = hints(run), len(run.all("hint"))
    if taken >= len(known):
        raise LabError("there are no more hints")
    records.add(run.id, "hint", cost=known[taken].cost)
    return taken + 1, known


def request_grade(records: Records) -> Run:
    """End the run that is on: its engine grades it as soon as it is measured."""
    run = records.active()
    if run is None or run.state == "graded":
        raise LabError("no exercise is on: there is nothing to grade")
    if run.begun_at is None:
        raise LabError("the run has not begun yet: it checks that the lab is healthy")
    records.add(run.id, "grade-requested")
    return run
