"""Draws the curve of one objective over a run, as SVG that stands in the report itself."""

from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT, MARGIN = 860, 150, 28


@dataclass(frozen=True)
class Curve:
    """One objective's values; times are Unix time in seconds, marks are (time, name) of what happened."""

    title: str
    unit: str
    objective: float
    points: tuple[tuple[float, float], ...]


def svg(curve: Curve, start: float, end: float, marks: list[tuple[float, str]]) -> Markup:
    """The curve from `start` to `end`, its objective as a dashed line, a labelled line for each mark."""
    highest = max([curve.objective, *(value for _time, value in curve.points)]) * 1.1

    def x(moment: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (moment - start) / max(end - start, 1)

    def y(value: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / highest

    line = " ".join(f"{x(moment):.1f},{y(value):.1f}" for moment, value in curve.points)
    parts = [
        f'<polyline class="curve" points="{line}"/>',
        f'<line class="objective" x1="{MARGIN}" x2="{WIDTH - MARGIN}" '
        f'y1="{y(curve.objective):.1f}" y2="{y(curve.objective):.1f}"/>',
        f'<text x="{WIDTH - MARGIN}" y="{y(curve.objective) + 13:.1f}" text-anchor="end">'
        f"objective {curve.objective:g} {escape(curve.unit)}</text>",
        f'<text x="{MARGIN}" y="{HEIGHT - 6}">0 s</text>',
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 6}" text-anchor="end">{end - start:.0f} s</text>',
    ]
    for number, (moment, name) in enumerate(marks):
        parts.append(f'<line class="mark" x1="{x(moment):.1f}" x2="{x(moment):.1f}" y1="{MARGIN}" '
                     f'y2="{HEIGHT - MARGIN}"/>')
        # Neighbours on different heights and nothing beyond the edge, so that they can be read.
        anchor, offset = ("end", -3) if x(moment) > 0.85 * WIDTH else ("start", 3)
        parts.append(f'<text x="{x(moment) + offset:.1f}" y="{12 + 12 * (number % 2)}" text-anchor="{anchor}">'
                     f"{escape(name)}</text>")
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(curve.title)}">'
                  + "".join(parts) + "</svg>")
