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
from dataclasses import dataclass, field

EXAMPLES = 5
# Hostile messages take their turn, so others wait for a moment; for no longer than this beyond the objective.
MOST_LATE_SECONDS = 5.0


@dataclass(frozen=True)
class Processing:
    """That a consumer finished a message; `redelivered` is what the broker said of that delivery."""

    id: str
    redelivered: bool


@dataclass(frozen=True)
class Calm:
    """What the hostile messages did to others in a run in which nothing else was disturbed."""

    losses: float  # connections that the services lost
    late_seconds: float  # the longest time without a break for which freshness was beyond its objective


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
    hostile_sent: frozenset[str] = frozenset()  # whatever a stranger published, by its mark
    hostile_confirmed: frozenset[str] = frozenset()
    left: dict[str, int] = field(default_factory=dict)  # messages that a queue still holds
    alone: Calm | None = None  # where hostile messages were the only disturbance


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
    hostile_confirmed: int
    hostile_dead_lettered: int
    hostile_processed: int
    late_seconds: float | None  # see Calm
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
        _violation("lost: hostile messages that the broker confirmed, and neither processed nor dead-lettered",
                   history.hostile_confirmed - counts.keys() - dead),
        _violation("processed without having been sent", counts.keys() - history.sent - history.hostile_sent),
        _violation("dead-lettered without cause", dead - history.poison_sent - history.hostile_sent),
        _violation("processed again without having been redelivered",
                   [one for one, extra in duplicated.items() if redeliveries[one] < extra]),
        _violation("poison that was processed", history.poison_sent & counts.keys()),
        _violation("stuck", [f"{count} in {queue}" for queue, count in history.left.items()]),
        *_disturbed(history),
    ]
    return Verdict(
        sent=len(history.sent),
        acknowledged=len(history.acknowledged),
        rejected=len(history.rejected),
        unknown=len(history.unknown),
        rejected_but_processed=len(history.rejected & counts.keys()),
        unknown_but_processed=len(history.unknown & counts.keys()),
        duplicates=sum(duplicated.values()),
        dead_lettered=len(dead & history.poison_sent),
        hostile_confirmed=len(history.hostile_confirmed),
        hostile_dead_lettered=len(dead & history.hostile_sent),
        hostile_processed=len(counts.keys() & history.hostile_sent),
        late_seconds=history.alone and history.alone.late_seconds,
        violations=tuple(filter(None, violations)),
    )


def _disturbed(history: History) -> list[str | None]:
    """What hostile messages must not do to others when the parts are well."""
    if history.alone is None:
        return []
    times = Counter(history.dead_letters)
    return [
        _violation("connections lost to hostile messages", [f"{history.alone.losses:g}"] if history.alone.losses else []),
        _violation("dead-lettered more than once", [one for one, count in times.items() if count > 1]),
        _violation(f"late for more than {MOST_LATE_SECONDS:g} s",
                   [f"{history.alone.late_seconds:g} s"] if history.alone.late_seconds > MOST_LATE_SECONDS else []),
    ]


def _violation(title: str, found: Iterable[str]) -> str | None:
    listed = sorted(found)
    if not listed:
        return None
    more = ", …" if len(listed) > EXAMPLES else ""
    return f"{title}: {len(listed)} ({', '.join(listed[:EXAMPLES])}{more})"
