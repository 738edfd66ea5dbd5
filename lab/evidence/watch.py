"""The watch over a run: the engine looks each second while it runs, and concludes with the grade."""

import time
from contextlib import suppress

from lab.engine.record import Run
from lab.errors import LabError
from lab.evidence import files, metrics
from lab.evidence.ledgers import LedgerWatch
from lab.evidence.record import RecordWatch
from lab.prometheus import Prometheus
from lab.settings import LabSettings
from lab.stack.base import Stack

# Ledgers and Prometheus; in containers, the ledgers are copied for each look.
LOOK_SECONDS = 10.0
LONGEST_BLINK_SECONDS = 60.0
CLOCK_SLACK_SECONDS = 5.0


class Watch:
    """Of one run, from the moment at which it is made; all in memory, out of reach of the files it watches."""

    def __init__(self, settings: LabSettings, stack: Stack, run: Run):
        self.run_id = run.id
        self._stack = stack
        self._prometheus = Prometheus(settings.prometheus_url)
        self._sources = files.digests()
        self._commit = files.commit()  # an interviewer may take .git away during the run
        self._record = RecordWatch(run)
        self._ledgers = LedgerWatch()
        self._loaded: dict[str, str] = {}
        self._found: dict[str, None] = {}
        self._began = self._looked_at = time.time()
        self._clock_offset = self._began - time.monotonic()
        # As it was seen first: the record can be edited.
        self._since = min(self._began, run.injected_at or self._began)
        self._look_closely()

    def look(self, run: Run) -> None:
        """What changed since the last look; the dear parts only every `LOOK_SECONDS`."""
        self._record.look(run)
        if time.time() - self._looked_at >= LOOK_SECONDS:
            self._look_closely()

    def conclude(self, run: Run) -> dict:
        """What the report says of the evidence."""
        self._record.look(run)
        self._look_closely()
        sources = files.digests()
        return {
            "irregularities": [
                *self._absence(), *self._found, *self._record.irregularities(),
                *self._ledgers.irregularities(self._stack.ledger_dir()),
                *metrics.irregularities(self._prometheus, self._since, time.time()),
                *files.irregularities(self._sources, sources), *self._clock()],
            "ledgers": self._ledgers.digests(),
            "prometheus": self._loaded,
            "sources": {"commit": self._commit, "first": files.summary(self._sources), "last": files.summary(sources)},
        }

    def _look_closely(self) -> None:
        now = time.time()
        if now - self._looked_at > LONGEST_BLINK_SECONDS:
            self._found.setdefault(f"the engine did not look for {now - self._looked_at:.0f} s")
        self._looked_at = now
        # A service that is down is no irregularity: what it then fails to measure shows as a hole.
        with suppress(LabError):
            self._ledgers.look(self._stack.ledger_dir())
        with suppress(LabError):
            loaded = metrics.loaded(self._prometheus)
            for part, digest in loaded.items():
                if self._loaded.setdefault(part, digest) != digest:
                    self._found.setdefault(f"Prometheus' {part} changed during the run")

    def _absence(self) -> list[str]:
        if self._since == self._began:
            return []
        return [f"nobody watched for the first {self._began - self._since:.0f} s: the engine was started again"]

    def _clock(self) -> list[str]:
        moved = time.time() - time.monotonic() - self._clock_offset
        return [f"the clock of the machine was set by {moved:+.0f} s"] if abs(moved) > CLOCK_SLACK_SECONDS else []


_current: Watch | None = None


def over(settings: LabSettings, stack: Stack, run: Run) -> Watch:
    """The watch over that run; it begins with the first call."""
    global _current
    if _current is None or _current.run_id != run.id:
        _current = Watch(settings, stack, run)
    return _current
