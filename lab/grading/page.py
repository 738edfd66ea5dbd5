"""The report as a page: one file that needs nothing from outside, for the screen and for paper."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markupsafe import Markup

from lab.grading import plot
from lab.grading.measurements import Alert, Curve
from lab.grading.report import duration, named, tampering, verdict_of

# What a page cannot hold: control characters, and halves of a pair, as a terminal in another encoding makes them.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Moment:
    """A line of the timeline; `label` marks it in the plot, where it is one of the main ones."""

    time: float
    title: str
    text: str = ""
    label: str = ""


def html(content: dict) -> str:
    """The page of what `lab.grading.report.content` says; it may have been written to JSON and read again."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True,
                              trim_blocks=True, lstrip_blocks=True)
    injected_at = content["run"]["injected_at"]
    environment.filters |= {
        "named": named, "duration": duration, "markdown": _markdown,
        "since": lambda moment: _since(moment - injected_at),
        "clock": lambda moment: time.strftime("%H:%M:%S", time.localtime(moment)),
        "date": lambda moment: time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)),
    }
    moments = sorted(_moments(content), key=lambda moment: moment.time)
    end = content["timeline"][-1]["time"]
    picture = plot.svg(
        [Curve(**curve) for curve in content["curves"]], [Alert(**alert) for alert in content["alerts"]],
        [plot.Mark(moment.time, moment.label) for moment in moments if moment.label], injected_at, end)
    text = environment.get_template("report.html.j2").render(
        content, moments=moments, picture=picture, end=end, tampering=tampering(content),
        verdict=verdict_of(content["grade"]))
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _moments(content: dict) -> Iterator[Moment]:
    """What happened: by the record, and by what was measured."""
    incident, numbers = content["incident"], {"hint": 0, "submission": 0}
    for event in content["timeline"]:
        kind, data = event["kind"], event["data"]
        if kind in numbers:
            numbers[kind] += 1
        match kind:
            case "begun":
                yield Moment(event["time"], "the candidate got the brief")
            case "injected":
                yield Moment(event["time"], "the fault was injected: all times count from here", label="injected")
            case "detection":
                yield Moment(event["time"], "the incident was declared", label="declared")
            case "hint":
                yield Moment(event["time"], f"hint {numbers[kind]} was taken", f"{data['cost']} points",
                             f"hint {numbers[kind]}")
            case "submission":
                yield Moment(event["time"], f"answer {numbers[kind]} was given", named(data["findings"]),
                             f"answer {numbers[kind]}")
            case "grade-requested":
                yield Moment(event["time"], "the grade was asked for")
            case "graded":
                yield Moment(event["time"], "the run was graded", f"{data['score']} of 100", "graded")
            case _:
                yield Moment(event["time"], kind, ", ".join(f"{key}: {value}" for key, value in data.items()))
    if incident["impact_at"]:
        yield Moment(incident["impact_at"], "the first objective broke", label="impact")
    for alert in content["alerts"]:
        is_first = alert is content["alerts"][0]
        yield Moment(alert["stretches"][0][0], f"{alert['name']} fired", alert["severity"],
                     "first alert" if is_first else "")
    if incident["restored_at"] and incident["impact_at"]:
        yield Moment(incident["restored_at"], "all objectives held again", label="SLO restored")


def _since(seconds: float) -> str:
    """Minutes and seconds since the injection."""
    minutes, rest = divmod(round(abs(seconds)), 60)
    return f"{'-' if seconds <= -0.5 else ''}{minutes:02d}:{rest:02d}"


def _markdown(text: str) -> Markup:
    """Without HTML, and without pictures: they would come from outside."""
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text))
