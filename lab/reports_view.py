"""Reports as a person lists and compares them in the terminal."""

import time
from collections.abc import Collection, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from lab.engine.reports import Summary
from lab.grading.report import VERDICTS, duration

LABEL_WIDTH, CANDIDATE_WIDTH = 16, 18


def table(found: Collection[Summary]) -> Table:
    """A line for each; times are in minutes and seconds."""
    shown = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("date", "scenario", "seed", "candidate", "score", "", "MTTD", "MTTR", "hints"):
        shown.add_column(title, no_wrap=title != "candidate", overflow="fold")
    for one in found:
        shown.add_row(_date(one), str(one.scenario), str(one.seed), _who(one), str(one.score), _verdict(one),
                      _clock(one.time_to_detect), _clock(one.time_to_restore), str(one.hints))
    return shown


def comparison(found: Sequence[Summary], width: int) -> Iterator[Table]:
    """Candidates side by side, line by line; as many tables as they need in so many characters."""
    across = max(1, (width - LABEL_WIDTH) // (CANDIDATE_WIDTH + 2))
    titles = dict.fromkeys(title for one in found for title in one.lines)
    for first in range(0, len(found), across):
        yield _side_by_side(found[first:first + across], list(titles))


def _side_by_side(found: Sequence[Summary], titles: list[str]) -> Table:
    shown = Table(box=None)
    shown.add_column("", min_width=LABEL_WIDTH)
    for one in found:
        shown.add_column(_who(one), justify="right", min_width=CANDIDATE_WIDTH, max_width=CANDIDATE_WIDTH, overflow="fold")
    rows = {
        "date": _date,
        **{title: lambda one, title=title: str(one.lines.get(title, "")) for title in titles},
        "total": lambda one: Text(str(one.score), "bold"),
        "": _verdict,
        "MTTD": lambda one: duration(one.time_to_detect),
        "MTTR": lambda one: duration(one.time_to_restore),
        "hints": lambda one: str(one.hints),
    }
    for title, cell in rows.items():
        shown.add_row(Text(title), *map(cell, found))
    return shown


def _date(one: Summary) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started_at))


def _clock(seconds: float | None) -> str:
    return "—" if seconds is None else "{:02d}:{:02d}".format(*divmod(round(seconds), 60))


def _who(one: Summary) -> Text:
    """As text: markup in a name stays what it is."""
    return Text((one.candidate or "—") + (" (exam)" if one.is_exam else ""))


def _verdict(one: Summary) -> Text:
    return Text(one.verdict, VERDICTS[one.verdict])
