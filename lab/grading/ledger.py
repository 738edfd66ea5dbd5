"""Accounts for every message: acknowledged to a client against processed, dead-lettered, or queued.

What it assumes: a line stands in a ledger before the broker is told (consumer) or before the
next request (client), so a ledger never knows less than the broker; and the broker's counts of
its queues are a few seconds old at most.
"""

import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import Management

SETTLE_SECONDS = 15
# A message that a reset removed can still be acknowledged this much later (CONFIRM_TIMEOUT's default).
CONFIRM_SECONDS = 5
POLL_SECONDS = 1.0
DEAD_LETTER_QUEUE = "messages.dlq"


@dataclass(frozen=True)
class Account:
    """Counts of messages, by id.

    `lost` is what nobody can find, beside the `dropped`, which the broker counted when it threw them
    away; `discarded` left the dead-letter queue, and were not processed since.
    """

    acknowledged: int
    processed: int
    duplicated: int
    dead_lettered: int
    in_flight: int
    lost: int
    discarded: int
    dropped: int = 0
    lost_examples: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        return not self.lost and not self.discarded

    def as_dict(self) -> dict:
        return asdict(self)


def settled(settings: LabSettings, stack: Stack, since: float, dropped: int = 0) -> Account:
    """The account of what is acknowledged by now, once nothing seems lost or `SETTLE_SECONDS` have passed.

    What is acknowledged while it waits is not asked for: under traffic there is always some on its way.
    `dropped`: see `account`.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    until = time.time()
    while True:
        found = account(settings, stack, since, until, dropped)
        if found.intact or time.monotonic() > deadline:
            return found
        time.sleep(POLL_SECONDS)


def account(settings: LabSettings, stack: Stack, since: float, until: float = math.inf, dropped: int = 0) -> Account:
    """What became of the messages acknowledged from `since` to `until` (Unix time in seconds).

    `dropped` of them may have been thrown away by the broker, on account of a fault. When the broker
    does not answer, its queues count as holding what is not accounted for: a broker that is down has
    lost nothing yet.
    """
    folder = stack.ledger_dir()
    # A dict, as it keeps the order: the oldest are the best examples.
    unaccounted = dict.fromkeys(line["id"] for line in lines(folder, "acknowledged-*.jsonl")
                                if line["event"] == "acknowledged" and since <= line["time"] <= until)
    acknowledged = len(unaccounted)
    done: dict[str, Counter[str]] = {"processed": Counter(), "dead-lettered": Counter()}
    for line in lines(folder, "processed-*.jsonl"):
        # A consumer may be done before the client has its answer: what it did counts whenever it was.
        unaccounted.pop(line["id"], None)
        if line["time"] >= since:
            done[line["event"]][line["id"]] += 1
    processed = done["processed"]
    # What was replayed from the dead-letter queue, and then processed, is where it ought to be.
    dead = done["dead-lettered"].keys() - processed.keys()
    try:
        waiting, dead_letters = _queued(settings)
    except LabError:
        waiting, dead_letters = len(unaccounted), len(dead)
    missing = max(0, len(unaccounted) - waiting)
    in_flight = len(unaccounted) - missing
    # The broker itself dead-letters what reaches the delivery limit: no consumer's ledger tells of it.
    by_broker = min(missing, max(0, dead_letters - len(dead)))
    excused = min(dropped, missing - by_broker)
    lost = missing - by_broker - excused
    # Dead letters that were replayed, and wait to be processed again, are among those that wait.
    discarded = max(0, len(dead) - dead_letters - (waiting - in_flight))
    return Account(
        acknowledged=acknowledged,
        processed=len(processed),
        duplicated=sum(count - 1 for count in processed.values()),
        dead_lettered=len(dead) + by_broker,
        in_flight=in_flight,
        lost=lost,
        discarded=discarded,
        dropped=excused,
        lost_examples=tuple(islice(unaccounted, 5)) if lost else (),
    )


def lines(folder: Path, pattern: str, begins: Mapping[Path, int] | None = None) -> Iterator[dict]:
    """Every line of the ledgers whose names fit; `begins` says from which byte on a file is read."""
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8") as file:
            file.seek((begins or {}).get(path, 0))
            for text in file:
                # A writer that was killed in the middle of a line leaves a torn one.
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(text)


def _queued(settings: LabSettings) -> tuple[int, int]:
    """Messages that wait (in the main queue and the delay queues), and those in the dead-letter queue."""
    depths = {queue["name"]: queue.get("messages", 0) for queue in Management(settings).call("GET", "queues")}
    dead_letters = depths.pop(DEAD_LETTER_QUEUE, 0)
    return sum(depths.values()), dead_letters
