"""Former runs: the list, one of them with its evidence, and its report."""

from flask import Blueprint, Response, abort, render_template, send_from_directory

from lab.console import charts, now
from lab.console.border import REPORT_POLICY
from lab.engine import reports
from lab.grading.measurements import LEAD_SECONDS, Curve
from lab.grading.report import MARKED_EVENTS, named, tampering

blueprint = Blueprint("results", __name__, url_prefix="/reports")


@blueprint.get("")
def index() -> str:
    trouble = []
    summaries = reports.summaries(now.settings().reports_dir, trouble.append)
    return render_template("results/index.html", summaries=summaries, comparable=reports.comparable(summaries),
                           rows=_rows, trouble=trouble)


def _rows(group: list[reports.Summary]) -> list[str]:
    """The lines that any of them has, in the order of the grades."""
    return list(dict.fromkeys(line for one in group for line in one.lines))


@blueprint.get("/<name>")
def one(name: str) -> str:
    summary = _summary(name)
    content = _content(summary)
    return render_template("results/one.html", content=content, summary=summary, name=name, named=named,
                           tampering=tampering(content), verdict=summary.verdict, charts=range(len(content["curves"])))


@blueprint.get("/<name>/charts")
def chart_data(name: str) -> dict:
    """The curves of the run, with what happened in it."""
    content = _content(_summary(name))
    run, end = content["run"], content["timeline"][-1]["time"]
    marks = [{"time": event["time"], "name": event["kind"]} for event in content["timeline"]
             if event["kind"] in MARKED_EVENTS]
    incident = content["incident"]
    marks += [{"time": incident[moment], "name": name} for moment, name in
              (("first_alert_at", "first alert"), ("restored_at", "SLO restored")) if incident[moment]]
    return {"charts": {
        str(number): charts.of_curve(Curve(**curve), run["injected_at"] - LEAD_SECONDS, end, marks)
        for number, curve in enumerate(content["curves"])}}


@blueprint.get("/<name>/report.html")
def report(name: str) -> Response:
    answer = send_from_directory(_summary(name).folder, "report.html")
    answer.headers["Content-Security-Policy"] = REPORT_POLICY
    return answer


@blueprint.get("/<name>/grade.json")
def raw(name: str) -> Response:
    return send_from_directory(_summary(name).folder, "grade.json")


def _summary(name: str) -> reports.Summary:
    """Of a report that can be read; nothing else is given out."""
    for summary in reports.summaries(now.settings().reports_dir):
        if summary.folder.name == name:
            return summary
    abort(404, "There is no such report.")


def _content(summary: reports.Summary) -> dict:
    content = reports.read(summary.folder)
    if "incident" not in content:
        abort(404, "This report is older than the page that would show it; report.html in its folder is all of it.")
    return content
