"""The scenarios by tier, with what came of them so far, and the start of a run."""

from collections import defaultdict

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for

from lab.console import now, tasks
from lab.engine import candidate as candidates
from lab.engine import experiment, reports
from lab.engine import scenario as library
from lab.errors import LabError

MAX_NAME = 80
MAX_SEED = 999_999_999

blueprint = Blueprint("scenarios", __name__)


@blueprint.get("/")
def index() -> str:
    results = _results()
    tiers = defaultdict(list)
    for number in library.folders():
        scenario = library.load(number)
        tiers[scenario.tier].append((scenario, results[number]))
    return render_template("scenarios/index.html", tiers=sorted(tiers.items()), run=now.run())


@blueprint.get("/scenarios/<int:number>")
def one(number: int) -> str:
    return _page(number)


@blueprint.post("/scenarios/<int:number>/start")
def start(number: int) -> Response:
    scenario = library.load(number)
    try:
        _check_free()
        seed, candidate = _seed(), _candidate()
        tasks.start_engine(now.settings(), f"scenario {scenario.number}", "scenario", str(number), "--seed", str(seed),
                           *([f"--candidate={candidate}"] if candidate else []))
    except LabError as error:
        flash(str(error), "bad")
        return make_response(_page(number, **request.form), 400)
    return redirect(url_for("run.page"), 303)


def _page(number: int, **form) -> str:
    return render_template("scenarios/one.html", scenario=library.load(number), results=_results()[number],
                           run=now.run(), form=form, max_name=MAX_NAME, max_seed=MAX_SEED)


def _results() -> dict[int, list[reports.Summary]]:
    """What came of each scenario, the newest first."""
    found = defaultdict(list)
    for summary in reports.summaries(now.settings().reports_dir):
        found[summary.scenario].append(summary)
    return found


def _check_free() -> None:
    if run := now.run():
        raise LabError(f"run {run.id} of {run.about} is on: finish it, or reset the lab")


def _seed() -> int:
    text = request.form.get("seed", "").strip()
    if not text:
        return experiment.new_seed()
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_SEED):
        raise LabError(f"a seed is a whole number from 0 to {MAX_SEED}, not {text[:40]!r}")
    return int(text)


def _candidate() -> str | None:
    name = request.form.get("candidate", "").strip()
    if len(name) > MAX_NAME:
        raise LabError(f"a name may have {MAX_NAME} characters, this one has {len(name)}")
    return candidates.checked(name) if name else None
