"""The run that is on: its page, what a candidate does there, and what refreshes by itself."""

import threading
import time

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for

from lab import slo
from lab.console import charts, now, tasks
from lab.console.documents import runbook_link
from lab.engine import actions, activities, reports
from lab.engine import scenario as scenarios
from lab.engine.record import Run
from lab.errors import LabError
from lab.grading.answers import CAUSES, COMPONENTS
from lab.grading.measurements import LEAD_SECONDS, SIGNALS, measure
from lab.grading.report import CANDIDATE_EVENTS, named
from lab.grading.rubric import MAX_FINDINGS, MAX_SUBMISSIONS, RESUBMISSION_COST

MAX_NOTES = 10_000
MAX_NOTICE = 2000  # it goes by a cookie

blueprint = Blueprint("run", __name__, url_prefix="/run")
# A double click must not take two hints.
_one_at_a_time = threading.Lock()


@blueprint.errorhandler(LabError)
def refused(error: LabError):
    """What cannot be done now is told on the page itself."""
    if request.method == "GET":
        raise error
    flash(str(error)[:MAX_NOTICE], "bad")
    return redirect(url_for("run.page"), 303)


@blueprint.get("")
def page() -> str:
    return _page()


def _page(**form) -> str:
    run = now.run()
    if run is None or run.state != "running":
        return render_template("run/idle.html", **_between(run))
    return render_template("run/exercise.html", **_exercise(run) | _live(run), form=form)


@blueprint.get("/live")
def live() -> Response:
    """The part of the page that changes by itself; the header tells when all of the page does."""
    run = now.run()
    if run is None or run.state != "running":
        between = _between(run)
        return _fragment("run/idle_live.html", between["state"], between)
    return _fragment("run/exercise_live.html", _state(run), _live(run))


def _fragment(template: str, state: str, values: dict) -> Response:
    response = make_response(render_template(template, **values))
    response.headers["X-State"] = state
    return response


def _state(run: Run) -> str:
    return f"{run.id} {run.state} {run.engine_is_alive}"


# -- an exercise ----------------------------------------------------------------------------


def _exercise(run: Run) -> dict:
    """What stays as it is while the run is on."""
    values = {"run": run, "is_declared": _is_declared(run), "components": COMPONENTS, "causes": CAUSES,
              "max_submissions": MAX_SUBMISSIONS,
              "max_findings": MAX_FINDINGS, "resubmission_cost": RESUBMISSION_COST, "max_notes": MAX_NOTES,
              "charts": range(len(slo.objectives()) + len(SIGNALS))}
    if run.exam_page:
        brief, time_limit = run.exam_page
        return values | {"brief": brief, "time_limit": time_limit, "scenario": None}
    scenario = scenarios.load(run.scenario, run.seed)
    return values | {"brief": scenario.brief, "time_limit": scenario.time_limit, "scenario": scenario}


def _is_declared(run: Run) -> bool:
    try:
        return actions.is_declared(now.settings(), run)
    except LabError:  # the judge does not answer
        return False


def _live(run: Run) -> dict:
    """What changes: the objectives, the alerts, and what was done."""
    hints = actions.hints(run)
    taken = len(run.all("hint"))
    values = {"run": run, "state": _state(run), "now": time.time(), "named": named, "readings": [], "alerts": [],
              "trouble": None, "held": None, "taken": hints[:taken],
              "next_hint": hints[taken] if taken < len(hints) else None, "hints": hints}
    try:
        prometheus = now.prometheus()
        values |= {"readings": slo.read(prometheus),
                   "alerts": [(alert, runbook_link(alert)) for alert in prometheus.firing_alerts()]}
        if not run.sealed:  # what it takes to mend an exam's fault, its record does not tell
            scenario = scenarios.load(run.scenario, run.seed)
            held = activities.measure(now.settings(), scenario, run).held_seconds(scenario)
            values["held"] = (min(held, scenario.hold), scenario.hold)
    except LabError as error:
        values["trouble"] = str(error)
    return values


@blueprint.get("/charts")
def chart_data() -> dict:
    """Charts since shortly before the brief, with what the candidate did: the injection is not marked before the grade."""
    run = now.run()
    if run is None or run.begun_at is None:
        return {"charts": {}, "problem": "no run is on"}
    end = time.time()
    try:
        measured = measure(now.prometheus(), run.begun_at, end)
    except LabError as error:
        return {"charts": {}, "problem": str(error)}
    marks = [{"time": event.time, "name": event.kind} for event in run.events if event.kind in CANDIDATE_EVENTS]
    if measured.first_alert_at:
        marks.append({"time": measured.first_alert_at, "name": "first alert"})
    return {"charts": {str(number): charts.of_curve(curve, run.begun_at - LEAD_SECONDS, end, marks)
                       for number, curve in enumerate(measured.curves)}}


@blueprint.post("/detect")
def detect() -> Response:
    return _back(actions.detect(now.settings(), now.records()))


@blueprint.post("/hint")
def hint() -> Response:
    with _one_at_a_time:
        _check_seen("hint")
        number, hints = actions.take_hint(now.records())
    return _back(f"hint {number} of {len(hints)}, {hints[number - 1].cost} points: {hints[number - 1].text}")


@blueprint.post("/submit")
def submit() -> Response:
    try:
        with _one_at_a_time:
            _check_seen("submission")
            findings = actions.submit(now.records(), _findings(), _notes())
    except LabError as error:
        flash(str(error), "bad")
        return make_response(_page(**request.form.to_dict(flat=False)), 400)
    return _back(f"submitted: {named(findings)}. Now mitigate.")


def _findings() -> list[actions.Finding]:
    """Of the pairs of the form, those in which something is chosen."""
    pairs = zip(request.form.getlist("component"), request.form.getlist("cause"), strict=False)
    findings = [{"component": component, "cause": cause} for component, cause in pairs if component or cause]
    if any(not value for finding in findings for value in finding.values()):
        raise LabError("an answer needs both, a component and a cause")
    return findings


def _notes() -> str:
    notes = request.form.get("notes", "").replace("\r\n", "\n")
    if len(notes) > MAX_NOTES:
        raise LabError(f"the notes may have {MAX_NOTES} characters, these have {len(notes)}")
    return notes


def _check_seen(kind: str) -> None:
    """Whether the page that was sent knew all there is of that kind: a second click, or another page, was faster."""
    run = actions.running(now.records())
    if request.form.get("seen") != str(len(run.all(kind))):
        raise LabError(f"there is one more {kind} than this page showed: look again, then decide")


@blueprint.post("/grade")
def grade() -> Response:
    run = now.run()
    if run is not None and run.state == "running" and not run.engine_is_alive:
        _check_exam_is_not_taken_up(run)
        tasks.start_engine(now.settings(), "the grade", "grade")
    else:
        actions.request_grade(now.records())
    return _back("the grade comes as soon as it is measured")


@blueprint.post("/resume")
def resume() -> Response:
    """Take up the run whose engine is gone."""
    run = actions.running(now.records())
    _check_exam_is_not_taken_up(run)
    tasks.start_engine(now.settings(), f"scenario {run.scenario}", "scenario", str(run.scenario), "--seed", str(run.seed))
    return _back("the run is taken up again")


def _check_exam_is_not_taken_up(run: Run) -> None:
    if run.sealed:
        raise LabError("the engine of this exam is gone: only the interviewer's key takes it up again")


@blueprint.post("/reset")
def reset() -> Response:
    tasks.start_reset(now.settings())
    return _back("the lab is brought back to its baseline")


def _back(notice: str) -> Response:
    flash(notice, "good")
    return redirect(url_for("run.page"), 303)


# -- between exercises ----------------------------------------------------------------------


def _between(run: Run | None) -> dict:
    """Before the injection and after the grade: what is at work, and how it went last time."""
    at_work = [task for task in (tasks.engine(), tasks.resetting()) if task and task.is_at_work]
    failed = [task for task in (tasks.engine(), tasks.resetting()) if task and task.has_failed and not at_work]
    latest = now.records().latest()
    graded = reports.read_grade(now.settings(), latest) if latest else None
    state = f"{latest.id if latest else 0} {latest.state if latest else ''} {bool(at_work)} {bool(failed)} {bool(graded)}"
    return {"run": run, "graded": graded, "at_work": at_work, "failed": failed, "state": state,
            "folder": reports.folder(now.settings(), latest).name if graded else None}
