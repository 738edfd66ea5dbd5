"""The watch over a run: the engine looks each second while it runs, and concludes with the grade."""

import time
from contextlib import suppress

from lab.engine.record import Run
from lab.errors import LabError
from lab.evidence import files, forgery, metrics
from lab.evidence.ledgers import LedgerWatch
from lab.evidence.record import RecordWatch
from lab.evidence.signal import Signal
from lab.prometheus import Prometheus
from lab.settings import LabSettings
from lab.stack.base import Stack

# Ledgers, judge and ports; in containers, the ledgers are copied for each look.
LOOK_SECONDS = 10.0
LONGEST_BLINK_SECONDS = 60.0
CLOCK_SLACK_SECONDS = 5.0


class Watch:
    """Of one run, from the moment at which it is made; all in memory, out of reach of the files it watches."""

    def __init__(self, settings: LabSettings, stack: Stack, run: Run):
        self.run_id = run.id
        self._stack = stack
        self._judge = Prometheus(settings.judge_url)
        # The engine has read an exam's scenario: its interviewer may take the scenarios away.
        self._watched = [name for name in files.WATCHED if not (run.sealed and name == files.SCENARIOS)]
        self._sources = files.digests(watched=self._watched)
        self._commit = files.commit()  # an interviewer may take .git away during the run
        self._record = RecordWatch(run)
        self._ledgers = LedgerWatch()
        self._loaded: dict[str, str] = {}
        self._found: dict[Signal, None] = {}  # in order, each once
        self._began = self._looked_at = time.time()
        self._clock_offset = self._began - time.monotonic()
        # As it was seen first: the record can be edited.
        self._since = min(self._began, run.injected_at or self._began)
        self._look_closely()

    def look(self, run: Run) -> None:
        """What changed since the last look; the expensive parts only every `LOOK_SECONDS`."""
        self._record.look(run)
        if time.time() - self._looked_at >= LOOK_SECONDS:
            self._look_closely()

    def conclude(self, run: Run) -> dict:
        """What the report says of the evidence: tampering signals (see `Signal`), and digests."""
        self._record.look(run)
        self._look_closely()
        sources, ledgers = files.digests(watched=self._watched), self._stack.ledger_dir()
        signals = [
            *self._absence(), *self._found, *self._record.signals(),
            *self._ledgers.signals(ledgers), *forgery.signals(ledgers, self._since),
            *metrics.signals(self._judge, self._since, time.time()),
            *files.signals(self._sources, sources), *self._clock()]
        return {
            "tampering": [signal.as_dict() for signal in signals],
            "ledgers": self._ledgers.digests(),
            "judge": self._loaded,
            "sources": {"commit": self._commit, "first": files.summary(self._sources), "last": files.summary(sources)},
        }

    def _look_closely(self) -> None:
        now = time.time()
        if now - self._looked_at > LONGEST_BLINK_SECONDS:
            self._note(f"the engine did not look for {now - self._looked_at:.0f} s", voids=False)
        self._looked_at = now
        # A service that is down gives no signal: its missing measurements show as a hole.
        with suppress(LabError):
            self._ledgers.look(self._stack.ledger_dir())
        with suppress(LabError):
            for part, value in metrics.loaded(self._judge).items():
                if self._loaded.setdefault(part, value) != value:
                    # A judge that was restarted has a hole, which the grade counts as a breach.
                    self._note(f"the judge's {part} changed during the run", voids=part != "start")
        with suppress(LabError):
            for impostor in self._stack.impostors():
                self._note(impostor)

    def _note(self, text: str, voids: bool = True) -> None:
        self._found.setdefault(Signal(text, voids))

    def _absence(self) -> list[Signal]:
        if self._since == self._began:
            return []
        return [Signal(f"the first {self._began - self._since:.0f} s were not watched: the engine was started again",
                       voids=False)]

    def _clock(self) -> list[Signal]:
        moved = time.time() - time.monotonic() - self._clock_offset
        if abs(moved) <= CLOCK_SLACK_SECONDS:
            return []
        return [Signal(f"the clock of the machine was set by {moved:+.0f} s")]


_current: Watch | None = None


def over(settings: LabSettings, stack: Stack, run: Run) -> Watch:
    """The watch over that run; it begins with the first call."""
    global _current
    if _current is None or _current.run_id != run.id:
        _current = Watch(settings, stack, run)
    return _current
