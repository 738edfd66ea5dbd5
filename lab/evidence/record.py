"""The record of a run only grows, too: each event is entered when it happens, and stays."""

import time

from lab.engine.record import Event, Run
from lab.evidence.signal import Signal

# Between the moment that an event names and its being in the record; a busy database makes a writer wait.
SLACK_SECONDS = 12.0


class RecordWatch:
    """Remembers the run as it was seen."""

    def __init__(self, run: Run):
        self._first = run
        self._events = run.events
        self._looked_at = time.time()
        self._found: dict[str, None] = {}  # in order, each once

    def look(self, run: Run) -> None:
        """Compare what is there now with what was."""
        now = time.time()
        if _unchanging(run) != _unchanging(self._first):
            self._note("the record's row of this run was edited")
        known = len(self._events)
        if run.events[:known] != self._events:
            self._note("events of this run were edited or removed in the record")
        for event in run.events[known:]:
            if not self._looked_at - SLACK_SECONDS <= event.time <= now + SLACK_SECONDS:
                self._note(_misdated(event, now))
        self._events, self._looked_at = run.events, now

    def signals(self) -> list[Signal]:
        return [Signal(line) for line in self._found]

    def _note(self, line: str) -> None:
        self._found.setdefault(line)


def _unchanging(run: Run) -> tuple:
    return run.id, run.scenario, run.seed, run.started_at, run.settings_before


def _misdated(event: Event, seen_at: float) -> str:
    return f"the event {event.kind!r} says {_clock(event.time)}, but was entered at about {_clock(seen_at)}"


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
