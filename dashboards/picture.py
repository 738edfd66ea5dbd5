"""`python -m dashboards.picture`: draws the dashboards as SVG, from what Prometheus has now.

Grafana itself draws them in the browser; this is for documents, and for machines without Grafana. It knows the panels
that dashboards/parts.py makes.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from dashboards.queries import Moment, named_series, overrides, variable_values
from dashboards.units import shown
from lab import settings as lab_settings
from lab.errors import LabError
from lab.prometheus import Prometheus, Series

FOLDER = Path(__file__).parent
WIDTH, MARGIN, GAP, ROW = 1560, 16, 8, 30  # pixels; a row of Grafana's grid is 30 high, gaps are 8
COLUMN = (WIDTH - 2 * MARGIN + GAP) / 24
INK, FAINT, PANEL, PAGE = "#d8d9da", "#8e8e99", "#181b1f", "#111217"
COLORS = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2", "orange": "#ff9830",
          "transparent": "#2a2e35"}
PALETTE = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#705da0", "#37872d", "#fade2a", "#8ab8ff"]


@dataclass(frozen=True)
class Box:
    """A place in the picture, in pixels."""

    x: float
    y: float
    width: float
    height: float

    def at(self, time: float, moment: Moment) -> float:
        """The x of a Unix time in seconds."""
        return self.x + (time - moment.start) / (moment.end - moment.start) * self.width


def draw(dashboard: dict, prometheus: Prometheus, moment: Moment) -> str:
    """The dashboard as SVG. Raises LabError when Prometheus does not answer."""
    values = variable_values(dashboard, prometheus)
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    height = 60 + bottom * (ROW + GAP) + 30
    clock = "%Y-%m-%d %H:%M:%S"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="Inter, Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="100%" height="100%" fill="{PAGE}"/>',
        _text(MARGIN, 34, dashboard["title"], size=20),
        _text(WIDTH - MARGIN, 34, f"{time.strftime(clock, time.gmtime(moment.start))} to "
              f"{time.strftime('%H:%M:%S', time.gmtime(moment.end))} UTC", FAINT, anchor="end"),
    ]
    for panel in dashboard["panels"]:
        series = named_series(panel, values, prometheus, moment) if panel.get("targets") else []
        parts += _panel(panel, series, moment)
    parts.append(_text(MARGIN, height - 12, f"Drawn by sre-lab's own renderer from live data, not by Grafana, "
                       f"{time.strftime(clock, time.gmtime())} UTC.", FAINT, size=11))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: dict, series: list[tuple[str, Series]], moment: Moment) -> Iterator[str]:
    place = panel["gridPos"]
    box = Box(MARGIN + place.get("x", 0) * COLUMN, 50 + place.get("y", 0) * (ROW + GAP),
              place["w"] * COLUMN - GAP, place["h"] * (ROW + GAP) - GAP)
    if panel["type"] == "row":
        yield _text(box.x, box.y + 20, panel["title"], size=14, weight=600)
        return
    if panel["type"] not in KINDS:
        raise LabError(f"{panel['title']}: no picture can be drawn of a panel of type {panel['type']}")
    yield (f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="2" fill="{PANEL}" '
           'stroke="#25282e"/>')
    yield _text(box.x + 8, box.y + 19, panel["title"], size=13, weight=500)
    inner = Box(box.x + 8, box.y + 30, box.width - 16, box.height - 38)
    if not series:
        yield _text(box.x + box.width / 2, box.y + box.height / 2, "No data", FAINT, anchor="middle")
        return
    yield from KINDS[panel["type"]](panel, series, inner, moment)


# -- numbers --------------------------------------------------------------------------------------


def _stat(panel: dict, series: list[tuple[str, Series]], box: Box, moment: Moment) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    own_settings = overrides(panel)
    line = box.height / len(series)
    for index, (name, one) in enumerate(series):
        own = own_settings.get(name, {})
        steps = own.get("thresholds", defaults["thresholds"])["steps"]
        value = one.points[-1][1]
        color = _color(steps, value)
        text = shown(value, own.get("unit", defaults["unit"]), own.get("decimals", defaults.get("decimals")))
        y = box.y + line * index
        if len(series) == 1:
            yield from _spark(one, Box(box.x - 8, box.y + box.height * 0.55, box.width + 16, box.height * 0.45 + 7), moment, color)
            yield _text(box.x + box.width / 2, box.y + box.height * 0.5, text, color, size=34, anchor="middle", weight=600)
        else:
            yield _text(box.x, y + line * 0.66, name, size=13)
            yield _text(box.x + box.width, y + line * 0.7, text, color, size=min(22, line * 0.75), anchor="end", weight=600)


def _color(steps: list[dict], value: float) -> str:
    """Of the last step that the value has reached."""
    return COLORS[[step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]]


def _spark(one: Series, box: Box, moment: Moment, color: str) -> Iterator[str]:
    low, high = min(value for _at, value in one.points), max(value for _at, value in one.points)
    span = high - low or 1
    points = [(box.at(at, moment), box.y + box.height - (value - low) / span * box.height * 0.9) for at, value in one.points]
    yield _area(points, box.y + box.height, color, 0.25)
    yield _line(points, color)


# -- lines ----------------------------------------------------------------------------------------


def _graph(panel: dict, series: list[tuple[str, Series]], box: Box, moment: Moment) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults["custom"], defaults["unit"]
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    shown_series = _stacked(series) if stacked else series
    highest = max(value for _name, one in shown_series for _at, value in one.points)
    lowest = min(value for _name, one in shown_series for _at, value in one.points)
    low = min(defaults.get("min", lowest), lowest)
    ticks = _ticks(low, max(highest, defaults.get("max", highest)))
    plot = Box(box.x + 62, box.y + 4, box.width - 68, box.height - 58)

    def y(value: float) -> float:
        return plot.y + plot.height - (value - ticks[0]) / (ticks[-1] - ticks[0]) * plot.height

    for tick in ticks:
        yield f'<path d="M{plot.x:.1f} {y(tick):.1f}h{plot.width:.1f}" stroke="#2c3037"/>'
        yield _text(plot.x - 6, y(tick) + 4, shown(tick, unit), FAINT, size=10, anchor="end")
    yield from _clock(plot, moment)
    if "thresholdsStyle" in custom:
        yield from _limits(defaults["thresholds"]["steps"], ticks, plot, y)
    fill = custom.get("fillOpacity", 0) / 100
    for index, (_name, one) in reversed(list(enumerate(shown_series))):
        color = PALETTE[index % len(PALETTE)]
        for run in _runs(one.points, moment.step):
            points = [(plot.at(at, moment), y(value)) for at, value in run]
            yield _area(points, y(max(ticks[0], 0)), color, fill)
            yield _line(points, color)
    yield from _legend([(name, PALETTE[index % len(PALETTE)], shown(one.points[-1][1], unit))
                        for index, (name, one) in enumerate(series)], box)


def _stacked(series: list[tuple[str, Series]]) -> list[tuple[str, Series]]:
    """Each on top of those before it."""
    below: dict[float, float] = {}
    stacked = []
    for name, one in series:
        for at, value in one.points:
            below[at] = below.get(at, 0) + value
        stacked.append((name, Series(one.labels, [(at, below[at]) for at, _value in one.points])))
    return stacked


def _runs(points: list[tuple[float, float]], step: float) -> Iterator[list[tuple[float, float]]]:
    """The stretches between gaps."""
    run: list[tuple[float, float]] = []
    for point in points:
        if run and point[0] - run[-1][0] > step * 1.5:
            yield run
            run = []
        run.append(point)
    yield run


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below `low` to above `high`, three to six of them."""
    span = (high - low) or abs(high) or 1
    power = 10.0
    while power > span / 3:
        power /= 10
    while power * 10 <= span / 3:
        power *= 10
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 4)
    first = step * (low // step)
    ticks = [first]
    while ticks[-1] < high or len(ticks) < 2:
        ticks.append(first + step * len(ticks))
    return ticks


def _limits(steps: list[dict], ticks: list[float], plot: Box, y) -> Iterator[str]:
    """The areas above limits, and their lines, where they are in sight."""
    for index, step in enumerate(steps):
        bottom = max(ticks[0], ticks[0] if step["value"] is None else step["value"])
        top = min(ticks[-1], steps[index + 1]["value"] if index + 1 < len(steps) else ticks[-1])
        if bottom < top and step["color"] != "green":
            yield (f'<rect x="{plot.x:.1f}" y="{y(top):.1f}" width="{plot.width:.1f}" height="{y(bottom) - y(top):.1f}" '
                   f'fill="{COLORS[step["color"]]}" opacity="0.12"/>')
        if step["value"] is not None and ticks[0] < step["value"] <= ticks[-1]:
            yield (f'<path d="M{plot.x:.1f} {y(step["value"]):.1f}h{plot.width:.1f}" stroke="{COLORS[step["color"]]}" '
                   'stroke-dasharray="6 4"/>')


def _clock(plot: Box, moment: Moment) -> Iterator[str]:
    minutes = max(1, round((moment.end - moment.start) / 60 / max(2, plot.width // 90)))
    at = (moment.start // 60 + 1) * 60
    while at < moment.end:
        if int(at // 60) % minutes == 0:
            yield _text(plot.at(at, moment), plot.y + plot.height + 15, time.strftime("%H:%M", time.gmtime(at)), FAINT, size=10, anchor="middle")
        at += 60


def _legend(entries: list[tuple[str, str, str]], box: Box) -> Iterator[str]:
    x, y = box.x, box.y + box.height - 18
    for number, (name, color, value) in enumerate(entries):
        label = f"{name}  {value}".strip()
        if x > box.x and x + 60 + len(label) * 6.2 > box.x + box.width:
            if y > box.y + box.height - 16:  # two lines; Grafana would scroll
                yield _text(x, y, f"+ {len(entries) - number} more", FAINT, size=11)
                return
            x, y = box.x, y + 16
        yield f'<path d="M{x:.1f} {y - 4:.1f}h12" stroke="{color}" stroke-width="3"/>'
        yield _text(x + 16, y, label, size=11)
        x += 30 + len(label) * 6.2


# -- states ---------------------------------------------------------------------------------------


def _states(panel: dict, series: list[tuple[str, Series]], box: Box, moment: Moment) -> Iterator[str]:
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    line = min(34, (box.height - 46) / len(series))
    plot = Box(box.x + 180, box.y, box.width - 186, line * len(series))
    for index, (name, one) in enumerate(series):
        y = plot.y + line * index
        yield _text(plot.x - 8, y + line / 2 + 4, name, size=11, anchor="end")
        for run in _runs(one.points, moment.step):
            for value, same in groupby(run, key=itemgetter(1)):
                times = [at for at, _value in same]
                x, end = plot.at(times[0], moment), plot.at(min(times[-1] + moment.step, moment.end), moment)
                color = COLORS[words[str(int(value))]["color"]] if str(int(value)) in words else FAINT
                yield (f'<rect x="{x:.1f}" y="{y + line * 0.1:.1f}" width="{end - x:.1f}" height="{line * 0.8:.1f}" '
                       f'fill="{color}"/>')
    yield from _clock(plot, moment)
    yield from _legend([(word["text"], COLORS[word["color"]], "") for word in words.values()], box)


KINDS = {"stat": _stat, "timeseries": _graph, "state-timeline": _states}


# -- strokes --------------------------------------------------------------------------------------


def _text(x: float, y: float, content: str, color: str = INK, size: float = 12, anchor: str = "start", weight: int = 400) -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-size="{size:.0f}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape("".join(filter(str.isprintable, content)))}</text>')


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _line(points: list[tuple[float, float]], color: str) -> str:
    return f'<path d="{_path(points)}" fill="none" stroke="{color}" stroke-width="1.3"/>'


def _area(points: list[tuple[float, float]], floor: float, color: str, opacity: float) -> str:
    closed = [(points[0][0], floor), *points, (points[-1][0], floor)]
    return f'<path d="{_path(closed)}Z" fill="{color}" opacity="{opacity:.2f}"/>'


def main() -> None:
    files = {file.stem: file for file in sorted(FOLDER.glob("*.json"))}
    parser = argparse.ArgumentParser(prog="python -m dashboards.picture", description=__doc__.splitlines()[0].split(": ")[1])
    parser.add_argument("names", nargs="*", metavar="DASHBOARD", help=f"{', '.join(files)}; all when none is named")
    parser.add_argument("--minutes", type=float, default=15, help="how much is shown (15)")
    parser.add_argument("--until", type=float, default=time.time(), metavar="UNIX_TIME", help="the end of it (now)")
    parser.add_argument("--folder", type=Path, default=FOLDER / "pictures", help="where to (dashboards/pictures)")
    parser.add_argument("--prometheus", metavar="URL", help="the lab's own when not given")
    options = parser.parse_args()
    if unknown := set(options.names) - set(files):
        parser.error(f"no dashboard {', '.join(unknown)}; there is: {', '.join(files)}")
    if options.minutes <= 0:
        parser.error("--minutes must be above 0")
    moment = Moment(options.until - 60 * options.minutes, options.until)
    try:
        prometheus = Prometheus(options.prometheus or lab_settings.load().prometheus_url)
        options.folder.mkdir(parents=True, exist_ok=True)
        for name in options.names or files:
            path = options.folder / f"{name}.svg"
            dashboard = json.loads(files[name].read_text(encoding="utf-8"))
            path.write_text(draw(dashboard, prometheus, moment), encoding="utf-8")
            print(f"wrote {path}")
    except LabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
