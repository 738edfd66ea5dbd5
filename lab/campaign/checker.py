"""Judges the history of one run: what clients were promised against what became of it.

What it assumes:
- ids are unique, and a client sends each message once;
- a ledger never knows less than the broker: a client notes an id before it sends the message, and
  what it was promised before it sends the next one; a consumer notes a message before it acks it
  (one write, no fsync: processes are killed here, the machine is not);
- the history is complete: it was taken when traffic had stopped, every fault was undone, and no
  queue but the dead-letter queue held a message any more, or the deadline for that had passed;
- the dead letters are those of this run: the queue was empty when it began.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

EXAMPLES = 5


@dataclass(frozen=True)
class Processing:
    """That a consumer finished a message; `redelivered` is what the broker said of that delivery."""

    id: str
    redelivered: bool


@dataclass(frozen=True)
class History:
    """One run, by message ids."""

    sent: frozenset[str]
    acknowledged: frozenset[str]
    rejected: frozenset[str]  # answered 503: not stored
    unknown: frozenset[str]  # answered 504, or not at all
    poison_sent: frozenset[str]  # published straight to the broker; nobody can read it
    poison_confirmed: frozenset[str]
    processed: tuple[Processing, ...]
    dead_letters: tuple[str, ...]
    left: dict[str, int]  # messages that a queue still holds


@dataclass(frozen=True)
class Verdict:
    """What the checker counted, and what must not be: a run is right when there is no violation."""

    sent: int
    acknowledged: int
    rejected: int
    unknown: int
    rejected_but_processed: int  # allowed: a connection may break between the broker's and the producer's answer
    unknown_but_processed: int  # allowed: that is what unknown means
    duplicates: int  # allowed: each one is a redelivery
    dead_lettered: int
    violations: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return not self.violations


def check(history: History) -> Verdict:
    """Pure: the same history always gets the same verdict."""
    counts = Counter(processing.id for processing in history.processed)
    redeliveries = Counter(processing.id for processing in history.processed if processing.redelivered)
    dead = frozenset(history.dead_letters)
    duplicated = {one: count - 1 for one, count in counts.items() if count > 1}
    violations = [
        _violation("lost: acknowledged, and nowhere", history.acknowledged - counts.keys() - dead),
        _violation("lost: poison that the broker confirmed, and not in the dead-letter queue",
                   history.poison_confirmed - dead),
        _violation("processed without having been sent", counts.keys() - history.sent),
        _violation("dead-lettered without cause", dead - history.poison_sent),
        _violation("processed again without having been redelivered",
                   [one for one, extra in duplicated.items() if redeliveries[one] < extra]),
        _violation("poison that was processed", history.poison_sent & counts.keys()),
        _violation("stuck", [f"{count} in {queue}" for queue, count in history.left.items()]),
    ]
    return Verdict(
        sent=len(history.sent),
        acknowledged=len(history.acknowledged),
        rejected=len(history.rejected),
        unknown=len(history.unknown),
        rejected_but_processed=len(history.rejected & counts.keys()),
        unknown_but_processed=len(history.unknown & counts.keys()),
        duplicates=sum(duplicated.values()),
        dead_lettered=len(dead),
        violations=tuple(filter(None, violations)),
    )


def _violation(title: str, found: Iterable[str]) -> str | None:
    listed = sorted(found)
    if not listed:
        return None
    more = ", …" if len(listed) > EXAMPLES else ""
    return f"{title}: {len(listed)} ({', '.join(listed[:EXAMPLES])}{more})"
