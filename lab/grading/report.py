"""The grade as people read it: a JSON document, a page, and a summary in the terminal."""

import time
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab import slo
from lab.engine.record import Run
from lab.engine.scenario import Scenario
from lab.grading.plot import Curve, svg
from lab.grading.rubric import PASS, Grade
from lab.prometheus import Prometheus


# Shown in the plots, and in Grafana: the injection, what the candidate did, and the end.
MARKED_EVENTS = ("injected", "detection", "hint", "submission", "graded")


def curves(prometheus: Prometheus, start: float, end: float) -> list[Curve]:
    """Every objective's measurements between two moments. Raises LabError when Prometheus does not answer."""
    return [Curve(objective.title, objective.unit, objective.objective,
                  tuple(prometheus.series(objective.query, start, end))) for objective in slo.objectives()]


def content(scenario: Scenario, run: Run, grade: Grade, curves: list[Curve],
            evidence: dict, exam: dict | None = None) -> dict:
    """All that a report says, as plain data; times are Unix time in seconds.

    `evidence` is what the watch over the run concludes, `exam` is who was examined, and from what it was drawn.
    """
    submission = run.last("submission")
    return {
        "scenario": {"number": scenario.number, "name": scenario.name, "title": scenario.title,
                     "tier": scenario.tier, "par_time": scenario.par_time},
        "run": {"id": run.id, "seed": exam["scenario_seed"] if exam else run.seed,
                "started_at": run.started_at, "injected_at": run.injected_at},
        "exam": exam,
        "grade": grade.as_dict(),
        "pass_mark": PASS,
        "truth": {"findings": [{"component": finding.component, "cause": finding.cause}
                               for finding in scenario.truth.findings],
                  "explanation": scenario.truth.explanation},
        "answer": submission.data if submission else None,
        "evidence": evidence,
        "curves": [asdict(curve) for curve in curves],
        "timeline": [{"time": event.time, "kind": event.kind, "data": event.data}
                     for event in run.events if event.kind not in {"fault", "exam"}],
    }


def html(content: dict) -> str:
    """One page that needs nothing from outside."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    start, end = content["run"]["injected_at"], content["timeline"][-1]["time"]
    marks = [(event["time"], event["kind"]) for event in content["timeline"] if event["kind"] in MARKED_EVENTS]
    environment.filters["named"] = named
    environment.filters["plot"] = lambda curve: svg(Curve(**curve), start, end, marks)
    environment.filters["clock"] = lambda moment: time.strftime("%H:%M:%S", time.localtime(moment))
    environment.filters["date"] = lambda moment: time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    return environment.get_template("report.html.j2").render(content)


def terminal(content: dict) -> RenderableType:
    """The grade line by line, for a rich console."""
    grade = content["grade"]
    verdict = "[green]pass[/green]" if grade["pass"] else "[red]no pass[/red]"
    table = Table(box=None, show_lines=False, pad_edge=False)
    for column, justify in (("", "left"), ("points", "right"), ("evidence", "left")):
        table.add_column(column, justify=justify, overflow="fold")
    for line in grade["lines"]:
        out_of = f" of {line['out_of']}" if line["out_of"] else ""
        table.add_row(line["title"], f"{line['points']}{out_of}", line["evidence"])
    truth = content["truth"]
    return Group(
        f"\n[bold]{grade['score']} of 100[/bold]: {verdict} (a pass is {content['pass_mark']})",
        table,
        f"time to detect {_seconds(grade['time_to_detect'])}, to restore {_seconds(grade['time_to_restore'])}",
        *(Text.assemble(("irregularity: ", "yellow"), line) for line in content["evidence"]["irregularities"]),
        f"It was: [bold]{named(truth['findings'])}[/bold]. {truth['explanation']}")


def named(findings: list[dict]) -> str:
    """Findings as people read them."""
    return ", and ".join(f"{finding['cause']} at {finding['component']}" for finding in findings)


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.0f} s"
