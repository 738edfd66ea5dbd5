"""Accounts for every message that was acknowledged to a client, by its id.

A message is processed, dead-lettered, in a queue of the lab's, or lost. While a run goes on no message is touched, as
even a look counts as a delivery, so what waits is only counted: `unknown` is what may still be in a queue. At the end
of the run `lab.engine.stocktaking` takes every message out of the queues and notes its id; then all is known.

What it assumes: a line stands in a ledger before the broker is told (consumer) or before the next request (client),
so a ledger never knows less than the broker.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from lab.grading.queues import Count, Totals
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack
from services.messaging.topology import DEAD_LETTER_QUEUE

SETTLE_SECONDS = 20
PATIENCE_SECONDS = 2  # without a word about it
# A message that a reset removed can still be acknowledged this much later (CONFIRM_TIMEOUT's default).
CONFIRM_SECONDS = 5
POLL_SECONDS = 0.5
EXAMPLES = 5
# What the stocktaking took out of the queues: a line with the event "found", the id and the queue for each message,
# and one with "unidentified", an empty id, the queue and their count for messages whose ids it could not learn.
STOCK = "stocktaking.jsonl"


@dataclass(frozen=True)
class Account:
    """Counts of messages, by id.

    `queued` were found in the lab's queues by their ids. `unknown` may be in them: not counted, or not asked, yet.
    `lost` are nowhere; what a fault made the broker drop is not among them: `dropped`, by the broker's own count.
    `discarded` were dead-lettered, and are neither processed since nor in a queue.
    """

    acknowledged: int
    processed: int
    duplicated: int
    dead_lettered: int
    queued: int
    unknown: int
    lost: int
    discarded: int
    dropped: int = 0
    lost_examples: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether nothing is known to be gone."""
        return not self.lost and not self.discarded

    @property
    def certain(self) -> bool:
        """Whether nothing could change it: a dead letter is only known to be in its queue once that is emptied."""
        return self.intact and not self.unknown and not self.dead_lettered

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Ledgers:
    """What the ledgers say: `unaccounted` are acknowledged and neither processed nor dead-lettered, the oldest first."""

    acknowledged: int
    processed: Counter[str]
    dead: frozenset[str]
    unaccounted: tuple[str, ...]

    def account(self, totals: Totals | None, dropped: int) -> Account:
        """With `totals`, which were counted before the ledgers were read and after the last acknowledgement.

        Whatever is unaccounted for was not processed when the queues were counted: it was in them, or it is gone.
        """
        if totals is None:
            return self._known(unknown=len(self.unaccounted) + len(self.dead), dropped=dropped)
        missing = max(0, len(self.unaccounted) - totals.waiting)
        # The broker itself dead-letters what reaches the delivery limit: no consumer's ledger notes it.
        missing = max(0, missing - max(0, totals.dead_letters - len(self.dead)))
        # Dead letters that were replayed wait with the others.
        replayed = max(0, totals.waiting - len(self.unaccounted))
        discarded = max(0, len(self.dead) - totals.dead_letters - replayed)
        return self._known(unknown=len(self.unaccounted) - missing, lost=missing, discarded=discarded, dropped=dropped)

    def final(self, stock: "Stock", dropped: int) -> Account:
        """By the ids that the stocktaking found; what it removed without an id excuses as many."""
        dead_letters = {one for one in self.unaccounted if stock.found.get(one) == DEAD_LETTER_QUEUE}
        gone = [one for one in self.unaccounted if one not in stock.found]
        discarded = len(self.dead - stock.found.keys())
        unknown = min(stock.unidentified, len(gone) + discarded)
        lost = max(0, len(gone) - unknown)
        return self._known(
            queued=len(self.unaccounted) - len(gone) - len(dead_letters), unknown=unknown, lost=lost,
            discarded=discarded - max(0, unknown - len(gone)), dropped=dropped, by_broker=len(dead_letters), gone=gone)

    def _known(self, queued: int = 0, unknown: int = 0, lost: int = 0, discarded: int = 0, dropped: int = 0,
               by_broker: int = 0, gone: list[str] | None = None) -> Account:
        excused = min(dropped, lost)
        candidates = self.unaccounted if gone is None else gone
        return Account(
            acknowledged=self.acknowledged,
            processed=len(self.processed),
            duplicated=sum(count - 1 for count in self.processed.values()),
            dead_lettered=len(self.dead) + by_broker,
            queued=queued, unknown=unknown, lost=lost - excused, discarded=discarded, dropped=dropped,
            lost_examples=tuple(islice(candidates, EXAMPLES)) if lost > excused else ())


@dataclass(frozen=True)
class Stock:
    """What the stocktaking took out of the queues: the queue by the id, and how many messages it could not identify."""

    found: dict[str, str]
    unidentified: int


def settled(settings: LabSettings, stack: Stack, since: float, dropped: int = 0,
            progress: Progress = lambda _line: None) -> Account:
    """The account of what is acknowledged by now, as soon as it is certain, or known that something is gone.

    What is acknowledged while it waits is not asked for: under traffic there is always some on its way. After
    `SETTLE_SECONDS` what could not be counted stays unknown. `dropped`: see `account`.
    """
    began = time.monotonic()
    is_reported = False
    until = time.time()
    count = Count(settings, until)
    while True:
        totals = count.poll()
        found = read(stack.ledger_dir(), since, until).account(totals, dropped)  # after the count: see `Ledgers.account`
        waited = time.monotonic() - began
        if found.certain or totals is not None or waited > SETTLE_SECONDS:
            return found
        if waited > PATIENCE_SECONDS and not is_reported:
            is_reported = True
            progress(f"messages are waiting: asking the broker for a fresh count, for {SETTLE_SECONDS} s at most")
        time.sleep(POLL_SECONDS)


def account(settings: LabSettings, stack: Stack, since: float, dropped: int = 0) -> Account:
    """What is known at once of the messages acknowledged since then (Unix time in seconds); `settled` knows more.

    `dropped` of them may have been thrown away by the broker, on account of a fault.
    """
    return read(stack.ledger_dir(), since, time.time()).account(None, dropped)


def completed(folder: Path, since: float, until: float, dropped: int = 0, begin: int = 0) -> Account:
    """The final account of what was acknowledged from `since` to `until`, after a stocktaking that came later.

    `begin` is the size of its file before, in bytes: what was in there does not count.
    """
    return read(folder, since, until).final(stock(folder, until, begin), dropped)


def read(folder: Path, since: float, until: float) -> Ledgers:
    """The ledgers of what was acknowledged from `since` to `until` (Unix time in seconds), and of what became of it."""
    # A dict, as it keeps the order: the oldest are the best examples.
    owed = dict.fromkeys(line["id"] for line in lines(folder, "acknowledged-*.jsonl")
                         if line["event"] == "acknowledged" and since <= line["time"] <= until)
    unaccounted, dead, processed, done = dict(owed), set(), Counter(), set()
    for line in lines(folder, "processed-*.jsonl"):
        one, event = line["id"], line["event"]
        if not is_of_a_consumer(line):
            continue
        # A consumer may be done before the client has its answer: what it did counts whenever it was.
        unaccounted.pop(one, None)
        if line["time"] < since:
            continue
        if event == "processed":
            done.add(one)
        if line["time"] > until and one not in owed:
            continue  # of a message that came too late to be counted in the queues
        if event == "processed":
            processed[one] += 1
        elif event == "dead-lettered":
            dead.add(one)
    # What was replayed from the dead-letter queue, and then processed, is where it ought to be.
    return Ledgers(len(owed), processed, frozenset(dead - done), tuple(unaccounted))


def is_of_a_consumer(line: dict) -> bool:
    """Whether a consumer could have written it: see `services.consumer.ledger`."""
    return isinstance(line.get("process"), str) and isinstance(line.get("seq"), int)


def stock(folder: Path, since: float, begin: int = 0) -> Stock:
    """What the stocktakings since then have noted, from that byte of their file on."""
    found, unidentified = {}, 0
    for line in lines(folder, STOCK, {folder / STOCK: begin}):
        if line["time"] < since:
            continue
        match line:
            case {"event": "found", "id": one, "queue": str() as queue}:
                found[one] = queue
            case {"event": "unidentified", "count": int() as count}:
                unidentified += count
    return Stock(found, unidentified)


def lines(folder: Path, pattern: str, begins: Mapping[Path, int] | None = None) -> Iterator[dict]:
    """Every line of the ledgers whose names fit; `begins` says from which byte on a file is read.

    What is not a line of a ledger is left out: a writer that was killed in the middle of a line leaves a torn one.
    """
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", errors="replace") as file:
            file.seek((begins or {}).get(path, 0))
            yield from filter(None, map(_parsed, file))


def _parsed(text: str) -> dict | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match line:
        case {"time": int() | float(), "event": str(), "id": str()}:
            return line
    return None
