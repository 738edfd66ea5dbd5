"""The probes and actions of a compiled scenario; Chaos Toolkit calls them by name.

Each one can be called again after an engine was killed: what the record says is done, is not done twice.
A LabError fails the activity, and `lab.engine.control` then interrupts the experiment.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO

from dotenv import dotenv_values
from pydantic import TypeAdapter

from lab import settings as lab_settings
from lab import slo
from lab import stack as stacks
from lab.engine import completion, interrupts, marks, reports, view
from lab.engine import reset as lab_reset
from lab.engine import scenario as scenarios
from lab.engine.record import Records, Run
from lab.errors import LabError
from lab.evidence import watch
from lab.exam import exam as exams
from lab.faults import Fault
from lab.grading import facts as grading_facts
from lab.grading import ledger, measurements, report, rubric
from lab.prometheus import Prometheus
from lab.settings import LabSettings

TICK_SECONDS = 1.0


def sli(name: str) -> float | None:
    """Probe: the present value of one service level indicator."""
    settings = lab_settings.load()
    objective = next(objective for objective in slo.objectives() if objective.name == name)
    return Prometheus(settings.judge_url).value(objective.query)


def await_fault() -> None:
    """Action of an exam: show the brief, and wait for as long as its key has drawn."""
    settings, records, run = _present()
    watch.over(settings, stacks.current(settings), run)
    run = _begin(records, run)
    injected_at = run.begun_at + exams.held().exam.delay
    with _shown(run) as show, interrupts.remembered() as check_interrupted:
        while time.time() < injected_at:
            check_interrupted()
            run = _still_running(records, run)
            _show(settings, show, run, 0.0)
            time.sleep(TICK_SECONDS)


def inject(index: int, fault: dict | None = None) -> None:
    """Action: inject one fault; an exam's experiment does not tell which one that is."""
    settings, records, run = _present()
    if any(event.data["index"] == index for event in run.all("fault")):
        return
    stack = stacks.current(settings)
    if fault is None:
        fault = exams.scenario_of(run).faults[index - 1].model_dump()
    watch.over(settings, stack, run)
    _note_injection(records, _begin(records, run))
    TypeAdapter(Fault).validate_python(fault).inject(settings, stack)
    records.add(run.id, "fault", index=index)


def _begin(records: Records, run: Run) -> Run:
    """The candidate's time begins, once."""
    if run.begun_at is None:
        records.add(run.id, "begun")
        records.set_state(run.id, "running")
    return records.get(run.id)


def _note_injection(records: Records, run: Run) -> None:
    """What is measured counts from now on, once: from the first fault, or where there is none from the brief."""
    if run.injected_at is None:
        records.add(run.id, "injected")


def exercise() -> None:
    """Action: wait until the run can be graded, and show meanwhile how things are."""
    settings, records, run = _present()
    scenario = exams.scenario_of(run)
    watching = watch.over(settings, stacks.current(settings), run)
    _note_injection(records, _begin(records, run))
    with _shown(run) as show, interrupts.remembered() as check_interrupted:
        while True:
            check_interrupted()
            run = _still_running(records, run)
            watching.look(run)
            try:
                facts = measure(settings, scenario, run)
            except LabError as error:
                show(run, [], [], 0.0, trouble=str(error))
            else:
                _show(settings, show, run, facts.held_seconds(scenario))
                if _is_over(scenario, run, facts):
                    return
            time.sleep(TICK_SECONDS)


def _shown(run: Run) -> AbstractContextManager[Callable]:
    held = exams.held()
    return view.current().exercise(exams.scenario_of(run), run, held.exam.candidate if held else None)


def _show(settings: LabSettings, show: Callable, run: Run, held_seconds: float) -> None:
    """What the candidate sees: the lab's Prometheus, whatever was done to it."""
    prometheus = Prometheus(settings.prometheus_url)
    try:
        show(run, slo.read(prometheus), prometheus.firing_alerts(), held_seconds)
    except LabError as error:
        show(run, [], [], held_seconds, trouble=str(error))


def _still_running(records: Records, run: Run) -> Run:
    """The run as it is now. Raises LabError when it was ended."""
    run = records.get(run.id)
    if run.state != "running":
        raise LabError("the run was ended from another terminal")
    return run


def _is_over(scenario: scenarios.Scenario, run: Run, facts: grading_facts.Facts) -> bool:
    if time.time() - run.begun_at > scenario.time_limit:
        return True
    if facts.mitigated(scenario):
        return bool(run.first("submission") or run.first("grade-requested"))
    # Whoever asks for the grade while the system recovers gets the time that the proof takes.
    is_proven = facts.steady_since(scenario) is None or facts.held_seconds(scenario) >= scenario.hold
    return bool(run.first("grade-requested")) and is_proven


def grade() -> dict:
    """Action: grade the run and write its reports."""
    settings, records, run = _present()
    scenario = exams.scenario_of(run)
    facts = measure(settings, scenario, run)
    found = account(settings, scenario, run, settled=facts.mitigated(scenario))
    evidence = watch.over(settings, stacks.current(settings), run).conclude(run)
    proven = [signal["text"] for signal in evidence["tampering"] if signal["voids"]]
    grade = rubric.grade(scenario, run, facts, found, proven)
    records.add(run.id, "graded", score=grade.score)
    records.set_state(run.id, "graded")
    run = records.get(run.id)
    folder = reports.folder(settings, run)
    measured = measurements.measure(Prometheus(settings.judge_url), run.injected_at, run.last("graded").time)
    held = exams.held()
    content = report.content(scenario, run, grade, facts, found, measured, evidence, held.exam.about if held else None)
    content = completion.publish(settings, run, content)
    view.current().graded(content, folder)
    if trouble := marks.tell_grafana(settings, content):
        view.current().progress(trouble)
    return {"score": grade.score, "pass": grade.passed}


def account(settings: LabSettings, scenario: scenarios.Scenario, run: Run, settled: bool) -> ledger.Account:
    """What became of the run's messages; with `settled`, messages on their way get time to arrive."""
    dropped = 0
    if scenario.truth.broker_drops_messages:
        dropped = grading_facts.dropped_by_broker(Prometheus(settings.judge_url), run.injected_at, time.time())
    stack = stacks.current(settings)
    if settled:
        return ledger.settled(settings, stack, run.injected_at, dropped, view.current().progress)
    return ledger.account(settings, stack, run.injected_at, dropped)


def measure(settings: LabSettings, scenario: scenarios.Scenario, run: Run) -> grading_facts.Facts:
    """What the judge has measured of the run by now. Raises LabError when it does not answer."""
    before = dotenv_values(stream=StringIO(run.settings_before))
    rate = float(before.get("LAB_TRAFFIC_RATE") or LabSettings.model_fields["lab_traffic_rate"].default)
    return grading_facts.measure(
        Prometheus(settings.judge_url), scenario, run.injected_at, time.time(), rate, stacks.current(settings).ledger_dir)


def reset() -> None:
    """Rollback: bring the lab back to its baseline."""
    settings, records, run = _present()
    lab_reset.to_baseline(view.current().progress, run.settings_before)
    completion.complete(settings, stacks.current(settings), records, run)
    records.set_state(run.id, "reset")


def _present() -> tuple[LabSettings, Records, Run]:
    settings = lab_settings.load()
    records = Records(settings.run_dir)
    run = records.active()
    if run is None:
        raise LabError("no run is on")
    return settings, records, run
