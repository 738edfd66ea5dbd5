"""How values are shown in pages."""

import time

from lab.console.markdown import render


def clock(moment: float) -> str:
    """A Unix time as a time of the day, in the machine's zone."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def date(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def duration(seconds: float | None) -> str:
    """As on a stop watch; a dash where there is none."""
    if seconds is None:
        return "–"
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    return f"{minutes:02d}:{seconds:02d}"


FILTERS = {"clock": clock, "date": date, "duration": duration, "markdown": render}
