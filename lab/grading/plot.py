"""Draws a run as one picture, in SVG that stands in the report itself: its curves, what happened, which alerts fired."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup, escape

from lab.grading.facts import LONGEST_HOLE_SECONDS
from lab.grading.measurements import LEAD_SECONDS, Alert, Curve

WIDTH, LEFT, RIGHT = 860, 62, 18
PANEL, GAP, LANE, BAR, ROW = 74, 30, 23, 6, 15
FONT = 11
# Wide enough for every usual font; the browser chooses one.
CHARACTER = 0.6 * FONT
SIGNS = {">=": "≥", "<=": "≤"}
MOST_TIME_TICKS = 10
TIME_STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class Mark:
    """What happened at `time` (Unix time in seconds), in a few words."""

    time: float
    label: str


@dataclass(frozen=True)
class _Label:
    """Where a label stands: its row from below, its ends, and its mark's line."""

    text: str
    row: int
    line: float
    left: float
    right: float


class _TimeAxis:
    """From time to x; `zero` is the injection. All that is drawn stays between the first and the last moment."""

    def __init__(self, zero: float, end: float):
        self._zero, self._start = zero, zero - LEAD_SECONDS
        self._span = max(end - self._start, 1.0)

    def x(self, moment: float) -> float:
        share = min(max((moment - self._start) / self._span, 0.0), 1.0)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def ticks(self) -> Iterator[tuple[float, str]]:
        """x and text of each tick, in minutes and seconds since the injection."""
        step = next((step for step in TIME_STEPS if self._span / step <= MOST_TIME_TICKS), TIME_STEPS[-1])
        for seconds in range(0, int(self._span - LEAD_SECONDS) + 1, step):
            yield self.x(self._zero + seconds), f"{seconds // 60:02d}:{seconds % 60:02d}"


def svg(curves: Iterable[Curve], alerts: Iterable[Alert], marks: Iterable[Mark], zero: float, end: float) -> Markup:
    """The picture from shortly before the injection (`zero`) to the `end` of the run, both Unix time in seconds.

    Below each other: the labels of the marks, a panel for each curve, the time axis, a lane for each alert.
    """
    axis, curves, alerts = _TimeAxis(zero, end), list(curves), list(alerts)
    labels = _placed([(axis.x(mark.time), mark.label) for mark in marks])
    head = ROW * (1 + max((label.row for label in labels), default=0))
    floor = head + len(curves) * (PANEL + GAP)
    height = floor + 46 + LANE * len(alerts)
    tops = [head + GAP + number * (PANEL + GAP) for number in range(len(curves))]
    parts = [part for curve, top in zip(curves, tops) for part in _panel(curve, axis, top)]
    parts += _time_ticks(axis, head, floor)
    parts += _marks(labels, head, floor)
    parts += [_text(LEFT, top - 7, _title(curve), css="title") for curve, top in zip(curves, tops)]
    parts += _alerts(alerts, axis, floor + 40)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="The run over time">'
                  + "".join(parts) + "</svg>")


def _panel(curve: Curve, axis: _TimeAxis, top: float) -> Iterator[str]:
    scale = _scale([value for _moment, value in curve.points], curve)

    def y(value: float) -> float:
        return top + PANEL * (1 - min(max(value / scale[-1], 0.0), 1.0))

    for begin, end in curve.broken:
        x = axis.x(begin)
        yield f'<rect class="broken" x="{x:.1f}" y="{top}" width="{max(axis.x(end) - x, 2):.1f}" height="{PANEL}"/>'
    for value in scale:
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield _text(LEFT - 6, y(value) + 4, shown(value, curve.unit), "end")
    if curve.objective is not None:
        yield (f'<line class="objective" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
               f'y1="{y(curve.objective):.1f}" y2="{y(curve.objective):.1f}"/>')
    for line in _unbroken(curve.points):
        points = " ".join(f"{axis.x(moment):.1f},{y(value):.1f}" for moment, value in line)
        yield f'<polyline class="curve" points="{points}"/>'


def _title(curve: Curve) -> str:
    objective = "" if curve.objective is None else \
        f" (objective: {SIGNS[curve.comparison]} {shown(curve.objective, curve.unit)})"
    return curve.title + objective + ("" if curve.points else ": nothing was measured")


def _unbroken(points: Iterable[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The points in parts, where for a time nothing was measured."""
    lines: list[list[tuple[float, float]]] = []
    for point in points:
        if not lines or point[0] - lines[-1][-1][0] > LONGEST_HOLE_SECONDS:
            lines.append([])
        lines[-1].append(point)
    return lines


def _scale(values: list[float], curve: Curve) -> list[float]:
    """Where the ticks are: from 0, at steps of 1, 2 or 5 times a power of ten, over all values and the objective."""
    least = 1.0 if curve.unit == "ratio" else 2.0  # messages are whole
    highest = max([least, curve.objective or 0.0, *values])
    magnitude = 10 ** math.floor(math.log10(highest / 2))
    step = next(step * magnitude for step in (1, 2, 5, 10) if highest / (step * magnitude) <= 3)
    return [number * step for number in range(math.ceil(highest / step - 1e-9) + 1)]


def shown(value: float, unit: str) -> str:
    """A value with its unit, for people."""
    match unit:
        case "ratio":
            return f"{100 * value:g} %"
        case "messages":
            return f"{value:g}"
    return f"{value:g} {unit}"


def _time_ticks(axis: _TimeAxis, head: float, floor: float) -> Iterator[str]:
    for x, text in axis.ticks():
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{head + GAP}" y2="{floor + 4}"/>'
        yield _text(x, floor + 17, text, "middle")


def _placed(marks: list[tuple[float, str]]) -> list[_Label]:
    """A place for each label, right of its line: the last one lowest, an earlier one above what it would cover.

    No line comes down through a label, but where one had to be moved away from the right edge.
    """
    labels: list[_Label] = []
    for line, text in sorted(marks, reverse=True):
        width = CHARACTER * len(text)
        left = min(line + 3, WIDTH - RIGHT - width)
        right = left + width + 4
        row = next(row for row in count() if not any(
            label.row == row and left < label.right + 4 and label.left < right  # covers it
            or label.row > row and left < label.line < right  # is crossed by its line
            for label in labels))
        labels.append(_Label(text, row, line, left, left + width))
    return labels


def _marks(labels: list[_Label], head: float, floor: float) -> Iterator[str]:
    for label in labels:
        top = head - ROW * (label.row + 1)
        yield f'<line class="mark" x1="{label.line:.1f}" x2="{label.line:.1f}" y1="{top + 2}" y2="{floor}"/>'
    for label in labels:  # above all lines
        yield _text(label.left, head - ROW * label.row - 3, label.text, css="label")


def _alerts(alerts: list[Alert], axis: _TimeAxis, top: float) -> Iterator[str]:
    yield _text(LEFT, top, "Alerts that fired" if alerts else "No alert fired", css="title")
    for number, alert in enumerate(alerts, 1):
        y, name = top + LANE * number, f"{alert.name} ({alert.severity})"
        begin = min(axis.x(alert.stretches[0][0]), WIDTH - RIGHT - CHARACTER * len(name))
        yield _text(max(begin, LEFT), y - 8, name, css="label")
        for begin, end in alert.stretches:
            x = axis.x(begin)
            yield (f'<rect class="alert {escape(alert.severity)}" x="{x:.1f}" y="{y - 5}" '
                   f'width="{max(axis.x(end) - x, 2):.1f}" height="{BAR}"/>')


def _text(x: float, y: float, text: str, anchor: str = "start", css: str = "tick") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
