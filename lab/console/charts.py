"""Charts as the console's script draws them (static/charts.js): what is shown, in which unit, and against what."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NotRequired, TypedDict

from dashboards import units
from dashboards.queries import Moment, named_series, overrides
from lab.errors import LabError
from lab.grading.facts import STEP_SECONDS
from lab.grading.measurements import Curve
from lab.prometheus import Prometheus, Series

KINDS = {"timeseries": "lines", "state-timeline": "states", "stat": "stat"}
# Grafana's names of the units in which objectives and signals are given.
CURVE_UNITS = {"ratio": "percentunit", "messages": "none", "1/s": "mps"}
QUERIES_AT_ONCE = 4


class Step(TypedDict):
    """A threshold: the colour from `value` on, or below all others where that is None."""

    value: float | None
    color: str


class State(TypedDict):
    """What a value means, and its colour."""

    text: str
    color: str


class Mark(TypedDict):
    """What happened at `time`, Unix time in seconds."""

    time: float
    name: str


class Line(TypedDict):
    """One series: pairs of Unix time in seconds and value; `scale` writes its values (dashboards/units.py)."""

    name: str
    points: Sequence[Sequence[float]]
    scale: units.Scale
    decimals: int | None
    steps: NotRequired[list[Step]]


class Chart(TypedDict):
    """All that the script needs to know; times are Unix times in seconds, `step` is in seconds.

    Points further apart than 1.5 steps have a gap between them. `scale` is that of the vertical axis, which spans at
    least `min` to `max`. The area where the objective does not hold is shaded; without one, that above each of `steps`.
    """

    kind: Literal["lines", "states", "stat"]
    title: str
    unit: str
    scale: units.Scale
    start: float
    end: float
    step: float
    series: list[Line]
    marks: Sequence[Mark]
    stacked: NotRequired[bool]
    min: NotRequired[float | None]
    max: NotRequired[float | None]
    objective: NotRequired[float | None]
    comparison: NotRequired[str]
    steps: NotRequired[list[Step]]
    states: NotRequired[dict[str, State]]


def of_panel(panel: dict, values: Mapping[str, str], prometheus: Prometheus, moment: Moment,
             marks: Sequence[Mark] = ()) -> Chart:
    """A panel of a dashboard; `values` are those of the dashboard's variables.

    Raises LabError when Prometheus does not answer or refuses, and for a panel of a kind that nobody can draw.
    """
    if panel["type"] not in KINDS:
        raise LabError(f"{panel['title']}: a panel of type {panel['type']} cannot be drawn")
    found = named_series(panel, values, prometheus, moment)
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    chart = _chart(KINDS[panel["type"]], panel["title"], defaults["unit"], moment.start, moment.end, moment.step, marks)
    chart["series"] = _lines_of_panel(panel, found)
    if chart["kind"] == "states":
        chart["states"] = {value: {"text": state["text"], "color": state["color"]}
                           for mapping in defaults["mappings"] for value, state in mapping["options"].items()}
    if chart["kind"] == "lines":
        chart |= {"stacked": custom.get("stacking", {}).get("mode") == "normal",
                  "min": defaults.get("min"), "max": defaults.get("max")}
        if "thresholdsStyle" in custom:
            chart["steps"] = defaults["thresholds"]["steps"]
    return chart


def _lines_of_panel(panel: dict, found: list[tuple[str, Series]]) -> list[Line]:
    defaults, own = panel["fieldConfig"]["defaults"], overrides(panel)
    lines = []
    for name, series in found:
        settings = {**defaults, **own.get(name, {})}
        lines.append(_line(name, series.points, settings["unit"], settings.get("decimals"))
                     | {"steps": settings["thresholds"]["steps"]})
    return lines


def of_curve(curve: Curve, start: float, end: float, marks: Sequence[Mark] = ()) -> Chart:
    """A signal of a run, with its objective; times are Unix times in seconds."""
    unit = CURVE_UNITS.get(curve.unit, curve.unit)
    chart = _chart("lines", curve.title, unit, start, end, STEP_SECONDS, marks)
    if curve.points:
        chart["series"] = [_line("", curve.points, unit)]
    # A share is seldom near 0: what matters is how far it is from its objective.
    return chart | {"min": None if unit == "percentunit" else 0, "objective": curve.objective, "comparison": curve.comparison}


def together(builders: Mapping[str, Callable[[], Chart]]) -> dict[str, Chart]:
    """All of these, several at a time. Raises LabError as the first of them does, and builds no more then."""
    with ThreadPoolExecutor(QUERIES_AT_ONCE) as pool:
        charts = {name: pool.submit(build) for name, build in builders.items()}
        try:
            return {name: chart.result() for name, chart in charts.items()}
        finally:
            pool.shutdown(cancel_futures=True)


def _chart(kind: str, title: str, unit: str, start: float, end: float, step: float, marks: Sequence[Mark]) -> Chart:
    return {"kind": kind, "title": title, "unit": unit, "scale": units.scale(unit), "start": start, "end": end, "step": step,
            "series": [], "marks": marks}


def _line(name: str, points: Iterable[Sequence[float]], unit: str, decimals: int | None = None) -> Line:
    return {"name": name, "points": list(points), "scale": units.scale(unit), "decimals": decimals}
