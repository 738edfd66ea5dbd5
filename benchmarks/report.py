"""Writes RESULTS.md and results.svg."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from html import escape
from math import log10
from pathlib import Path
from statistics import median

from benchmarks.method import Row, Series
from lab.settings import ROOT
from lab.stack.native.programs import installed_broker_version

METHOD = """\
Each figure has its own RabbitMQ (the lab's configuration), reached straight by everybody; while one contender
is measured the others are idle. Messages are persistent, every publish is confirmed, queues are quorum queues
(Dramatiq's are classic: it has no setting for another kind, which is to its advantage). All contenders take
their turn in every round, every other round in the opposite order; a ratio is taken within a round, the table
shows the median and, in brackets, the lowest and the highest. An answer that is no success, or a 201 without
its message in the queue, makes a figure invalid; queues are purged after each turn.

Ours runs as shipped, with LOG_LEVEL=WARNING, as no peer logs each message either. HTTP servers have two worker
processes; those under gthread 16 threads each (with 32, Celery and Dramatiq were slower). Consumers have one process. For
p99, latency counts from the moment at which a request was due, and the rate is half of the slower one's peak.
A drain is measured while a queue falls from 95 % to 5 %; Celery and Dramatiq drain a fifth of the messages.
"""

# Not measured here, kept beside the figures: what a profile says of them, and runs of `make campaign`.
KEPT = [Path(__file__).parent / name for name in ("limits.md", "campaign.md")]

# Of the plot, in pixels.
WIDTH, LEFT, LINE, TOP = 1020, 590, 22, 40
DECADES = (0.1, 10)


def write(folder: Path, rows: list[Row], options: str, load_before: float) -> Path:
    """Both files; returns where the table is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.svg").write_text(_svg(rows), encoding="utf-8")
    path = folder / "RESULTS.md"
    path.write_text("\n".join([
        "# Results", "", f"Written by `python -m benchmarks` ({options}).", "", *_machine(load_before), "",
        *table(rows), "", "![how many times better than each](results.svg)", "", "## Method", "", METHOD,
        *(kept.read_text(encoding="utf-8") for kept in KEPT)]), encoding="utf-8")
    return path


def table(rows: list[Row]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| figure | against | ours | theirs | ratio | goal | reached |", "|---|---|---|---|---|---|---|"]
    return lines + ["| " + " | ".join(_cells(row)) + " |" for row in rows]


def _cells(row: Row) -> list[str]:
    goal = f"{'at most' if row.at_most else 'at least'} {row.goal:g}{'' if row.theirs else ' ' + row.unit}"
    if row.problem:
        return [row.figure, row.against, "", "", "invalid", goal, "no: " + " ".join(row.problem.split())[:200]]
    spread = f"{row.ratio:.2f} ({min(row.ratios):.2f}–{max(row.ratios):.2f})" if row.theirs else ""
    return [row.figure, row.against, _value(row.ours, row.unit), _value(row.theirs, row.unit) if row.theirs else "",
            spread, goal, "yes" if row.reached else "**no**"]


def _value(series: Series, unit: str) -> str:
    value = median(series.values)
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.2f} {unit}"


def _machine(load_before: float) -> list[str]:
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(":", 1)[1].strip() for line in cpus.splitlines()
                  if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, encoding="utf-8")
    return [
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip() or 'unknown'}",
        f"- {os.cpu_count()} cores ({model}), load average before the run {load_before:.2f}",
        f"- Python {platform.python_version()}, RabbitMQ {'.'.join(map(str, installed_broker_version()))}, "
        "peers as benchmarks/requirements.txt pins them",
    ]


def _svg(rows: list[Row]) -> str:
    """Bars on a logarithmic scale: to the right of 1 is better than theirs, the tick is the goal."""
    compared = [row for row in rows if row.theirs and not row.problem]
    height = TOP + LINE * len(compared) + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
             'font-size="11"><rect width="100%" height="100%" fill="white"/>'
             f'<text x="{LEFT}" y="16">how many times better than theirs; the black tick is the goal</text>']
    for mark in (0.1, 0.25, 0.5, 1, 2, 4, 10):
        x = _x(mark)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 24}" stroke="{"#888" if mark == 1 else "#ddd"}"/>'
                     f'<text x="{x}" y="{height - 8}" text-anchor="middle">{mark:g}</text>')
    for number, row in enumerate(compared):
        y = TOP + number * LINE
        better, goal = (1 / row.ratio, 1 / row.goal) if row.at_most else (row.ratio, row.goal)
        left, right = sorted((_x(1), _x(better)))
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(f"{row.figure}: {row.against}")}</text>'
            f'<rect x="{left}" y="{y}" width="{right - left:.1f}" height="14" fill="{"#3a7" if row.reached else "#c64"}"/>'
            f'<line x1="{_x(goal)}" x2="{_x(goal)}" y1="{y - 2}" y2="{y + 16}" stroke="black" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(ratio: float) -> float:
    """Where a ratio stands; what is beyond the scale stands at its end."""
    low, high = map(log10, DECADES)
    share = (log10(min(max(ratio, DECADES[0]), DECADES[1])) - low) / (high - low)
    return round(LEFT + share * (WIDTH - LEFT - 20), 1)
