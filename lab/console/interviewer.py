"""The interviewer's view: it asks for the key each time, and keeps neither the key nor what it opens."""

import re
import secrets

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for

from lab.console import now, tasks
from lab.engine import candidate as candidates
from lab.engine import reports
from lab.engine.record import Run
from lab.errors import LabError
from lab.exam import exam as exams
from lab.exam import signature
from lab.exam.key import Key
from lab.grading.report import named

MINUTES = range(5, 241)
MAX_SEED = 2**32 - 1
# A file without a name: the engine reads the key from its input.
STANDARD_INPUT = "/dev/stdin"

MAX_FORMS = 1000

blueprint = Blueprint("interviewer", __name__, url_prefix="/interviewer")
# Forms that were given out and not sent yet, by a word in each.
_unsent: set[str] = set()


@blueprint.before_request
def take_each_form_once() -> None:
    """A browser can go back and send a form again, with the key in it: whoever sits there next must not."""
    if request.method == "POST":
        try:
            _unsent.remove(request.form.get("once", ""))
        except KeyError:
            raise LabError("this form was sent already: fill it in anew") from None


def _once() -> str:
    if len(_unsent) > MAX_FORMS:
        _unsent.clear()
    word = secrets.token_urlsafe(16)
    _unsent.add(word)
    return word


@blueprint.errorhandler(LabError)
def refused(error: LabError):
    if request.method == "GET":
        raise error
    flash(str(error), "bad")
    return make_response(_page(), 400)


@blueprint.get("")
def page() -> str:
    return _page()


def _page(**shown) -> str:
    run = now.run()
    is_on = run is not None and run.state in {"checking", "running"}
    return render_template("interviewer/page.html", run=run, exam_is_on=is_on and run.sealed is not None,
                           other_run_is_on=run is not None and not run.sealed, form=request.form,
                           reports=[] if now.is_exam() else _exam_reports(), minutes=MINUTES, max_seed=MAX_SEED,
                           tiers=(1, 2, 3), named=named, once=_once(), **shown)


def _exam_reports() -> list[reports.Summary]:
    return [one for one in reports.summaries(now.settings().reports_dir) if one.is_exam]


@blueprint.post("/start")
def start() -> Response:
    """Start an exam, or take up the one that is on; its engine reads the key from its input."""
    text = _key_text()
    Key.from_text(text)
    arguments = ["exam", "start", "--key", STANDARD_INPUT, f"--candidate={_candidate()}",
                 "--minutes", str(_number("minutes", MINUTES, "45"))]
    for option, allowed in (("seed", range(MAX_SEED + 1)), ("tier", range(1, 4))):
        if request.form.get(option, "").strip():
            arguments += [f"--{option}", str(_number(option, allowed))]
    tasks.start_engine(now.settings(), "the exam", *arguments, said=text)
    flash("the exam begins: hand the page of the run over when it shows the brief", "good")
    return redirect(url_for("run.page"), 303)


@blueprint.post("/resume")
def resume() -> Response:
    """Take up the exam whose engine is gone."""
    text = _key_text()
    exam = _opened(_exam_that_is_on(), Key.from_text(text))
    tasks.start_engine(now.settings(), "the exam", "exam", "start", "--key", STANDARD_INPUT,
                       f"--candidate={exam.candidate}", said=text)
    flash("the exam is taken up again", "good")
    return redirect(url_for("run.page"), 303)


@blueprint.post("/open")
def open_() -> str:
    """What the exam that is on is about."""
    run = _exam_that_is_on()
    exam = _opened(run, Key.from_text(_key_text()))
    findings = [finding.model_dump(include={"component", "cause"}) for finding in exam.scenario.truth.findings]
    return _page(exam=exam, scenario=exam.scenario, findings=findings,
                 events=[event for event in run.events if event.kind != "exam"])


@blueprint.post("/verify")
def verify() -> str:
    """Whether a report is as it was signed."""
    public = Key.from_text(_key_text()).public
    chosen = next((one for one in _exam_reports() if one.folder.name == request.form.get("report")), None)
    if chosen is None:
        raise LabError("choose one of the reports")
    content = reports.read(chosen.folder)
    page = chosen.folder / "report.html"
    return _page(verified=chosen, problems=signature.problems(
        content, page.read_text(encoding="utf-8") if page.exists() else None, public))


def _exam_that_is_on() -> Run:
    run = now.run()
    if run is None or run.sealed is None:
        raise LabError("no exam is on")
    return run


def _opened(run: Run, key: Key) -> exams.Exam:
    return exams.opened(run.sealed, key)


def _key_text() -> str:
    """From the file that was chosen, or from the field."""
    file = request.files.get("key_file")
    text = file.read(1000).decode(errors="replace") if file and file.filename else request.form.get("key", "")
    if not text.strip():
        raise LabError("the interviewer's key is missing: choose its file, or paste its one line")
    return text.strip()


def _candidate() -> str:
    return candidates.checked(request.form.get("candidate", "").strip())


def _number(field: str, allowed: range, default: str = "") -> int:
    text = request.form.get(field, "").strip() or default
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) not in allowed:
        raise LabError(f"{field}: a whole number from {allowed[0]} to {allowed[-1]}, not {text[:40]!r}")
    return int(text)
