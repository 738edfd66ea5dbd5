"""Grafana's dashboards, drawn from what Prometheus has: for a machine without Grafana."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import requests
from flask import Blueprint, Response, abort, render_template, request, url_for

from dashboards.queries import Moment, choices, panels, pattern, variables
from lab.console import charts, now
from lab.engine.marks import TAG
from lab.errors import LabError
from lab.grading.measurements import LEAD_SECONDS
from lab.grading.report import MARKED_EVENTS
from lab.settings import ROOT

FOLDER = ROOT / "dashboards"
SINCE_RUN = "run"
RANGES = {"5": "5 minutes", "15": "15 minutes", "30": "30 minutes", "60": "1 hour", SINCE_RUN: "since the run's start"}
REFRESHES = {"5": "every 5 s", "10": "every 10 s", "30": "every 30 s", "60": "every minute", "0": "never"}
GRAFANA_TIMEOUT_SECONDS = 1

blueprint = Blueprint("dashboards", __name__, url_prefix="/dashboards")


@dataclass(frozen=True)
class View:
    """What a person has chosen to see of a dashboard; `chosen` has the variables that are not at «all»."""

    range: str
    refresh: str
    chosen: dict[str, str]

    @property
    def parameters(self) -> dict[str, str]:
        """Those of the address that shows it."""
        return {"range": self.range, "refresh": self.refresh, **{f"var-{name}": value for name, value in self.chosen.items()}}


@blueprint.get("")
def index() -> str:
    return render_template("dashboards/index.html", dashboards=_all(), grafana=_grafana())


@blueprint.get("/<name>")
def page(name: str) -> str:
    dashboard = _dashboard(name)
    view = _view(dashboard)
    return render_template("dashboards/page.html", name=name, dashboard=dashboard, view=view, dashboards=_all(),
                           ranges=_ranges(), refreshes=REFRESHES, variables=list(_offered(dashboard, view)),
                           link=partial(_link, view=view))


@blueprint.get("/<name>/layout.css")
def layout(name: str) -> Response:
    """Where each panel stands: a page may have no style in it."""
    return Response(render_template("dashboards/layout.css", panels=_dashboard(name)["panels"]), mimetype="text/css")


@blueprint.get("/<name>/data")
def data(name: str) -> dict:
    """The charts by their panels' ids, and why there are none."""
    dashboard = _dashboard(name)
    view = _view(dashboard)
    prometheus = now.prometheus()
    try:
        values = {variable["name"]: pattern(_selected(variable, choices(variable, prometheus), view))
                  for variable in variables(dashboard)}
        moment = _moment(view)
        marks = _marks(dashboard)
        return {"charts": charts.together({str(panel["id"]): partial(charts.of_panel, panel, values, prometheus, moment, marks)
                                           for panel in panels(dashboard)})}
    except LabError as error:
        return {"charts": {}, "problem": str(error)}


def _all() -> dict[str, dict]:
    """Every dashboard by its name, the overview first."""
    files = sorted(FOLDER.glob("*.json"), key=lambda file: (file.stem != "overview", file.stem))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _dashboard(name: str) -> dict:
    found = _all().get(name)
    if found is None:
        abort(404, f"There is no dashboard {name}.")
    return found


def _grafana() -> str | None:
    """The address of Grafana, where it answers."""
    url = f"http://localhost:{now.settings().grafana_port}"
    try:
        answer = requests.get(f"{url}/api/health", timeout=GRAFANA_TIMEOUT_SECONDS)
        return url if "database" in answer.json() else None
    except (requests.RequestException, ValueError):
        return None


# -- what is chosen -------------------------------------------------------------------------------


def _view(dashboard: dict) -> View:
    chosen = {variable["name"]: request.args.get(f"var-{variable['name']}", "") for variable in variables(dashboard)}
    return View(_one_of("range", _ranges(), "15"), _one_of("refresh", REFRESHES, "5"),
                {name: value for name, value in chosen.items() if value})


def _one_of(parameter: str, allowed: Iterable[str], default: str) -> str:
    value = request.args.get(parameter, default)
    if value not in allowed:
        abort(400, f"{parameter} is one of {', '.join(allowed)}.")
    return value


def _ranges() -> dict[str, str]:
    run = now.run()
    return {value: words for value, words in RANGES.items() if value != SINCE_RUN or (run and run.begun_at)}


def _moment(view: View) -> Moment:
    """On whole steps, so that a refresh adds points and moves none."""
    end = time.time()
    start = now.run().begun_at - LEAD_SECONDS if view.range == SINCE_RUN else end - 60 * int(view.range)
    step = Moment(start, end).step
    return Moment(start // step * step, end // step * step)


def _marks(dashboard: dict) -> list[charts.Mark]:
    """What happened in the last run, where Grafana would show that too: only when it is over, as it would help."""
    wanted = any(TAG in one.get("target", {}).get("tags", []) for one in dashboard["annotations"]["list"])
    run = now.records().latest() if wanted else None
    if run is None or run.state in {"checking", "running"}:
        return []
    return [{"time": event.time, "name": event.kind} for event in run.events if event.kind in MARKED_EVENTS]


def _offered(dashboard: dict, view: View) -> Iterable[tuple[dict, dict[str, str]]]:
    """The variables with what can be chosen and its words; while Prometheus does not answer, what is chosen."""
    for variable in variables(dashboard):
        try:
            values = choices(variable, now.prometheus())
        except LabError:
            values = [view.chosen[variable["name"]]] if variable["name"] in view.chosen else []
        else:
            _selected(variable, values, view)
        yield variable, {"": "all", **{value: value for value in values}}


def _selected(variable: dict, values: list[str], view: View) -> list[str]:
    """Of the values, the one that is chosen, or all. What Prometheus does not have never gets into a query."""
    chosen = view.chosen.get(variable["name"])
    if chosen is not None and chosen not in values:
        abort(400, f"{variable['label']} is one of: {', '.join(values)}.")
    return values if chosen is None else [chosen]


def _link(panel_link: dict, view: View) -> str | None:
    """The page of the dashboard that a panel's link leads to in Grafana."""
    target = re.match(r"/d/sre-lab-([\w-]+)", panel_link["url"])
    return url_for("dashboards.page", name=target[1], **view.parameters) if target else None
