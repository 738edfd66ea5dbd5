"""The shapes that Locust's page offers: how many of the users send, at which time of the test."""

import math
from collections.abc import Callable
from dataclasses import dataclass

RAMP_SECONDS = 300.0
SPIKE_EVERY_SECONDS = 60.0
SPIKE_BEGINS, SPIKE_ENDS = 30.0, 45.0
BETWEEN_SPIKES = 0.2
DAY_SECONDS = 600.0


@dataclass(frozen=True)
class Shape:
    """`share` tells, for a time of the test in seconds and its length (None: until it is stopped), how many
    of the users send, from 0 to 1. A `sudden` one changes their number at once, others as fast as is asked for.
    """

    about: str
    share: Callable[[float, float | None], float]
    sudden: bool = False

    def users(self, at: float, peak: int, length: float | None) -> int:
        """Never none, so that a test is always to be seen."""
        return max(1, round(peak * self.share(at, length)))


def _all(_at: float, _length: float | None) -> float:
    return 1.0


def _ramp(at: float, length: float | None) -> float:
    return min(1.0, at / (length or RAMP_SECONDS))


def _spike(at: float, _length: float | None) -> float:
    return 1.0 if SPIKE_BEGINS <= at % SPIKE_EVERY_SECONDS < SPIKE_ENDS else BETWEEN_SPIKES


def _days(at: float, _length: float | None) -> float:
    return 0.5 - 0.25 * math.cos(2 * math.pi * at / DAY_SECONDS)


SHAPES = {
    "steady": Shape("all users, all the time", _all),
    "ramp": Shape("from one user to all, within the run time or 5 minutes", _ramp),
    "spike": Shape("a fifth of the users, and all of them for 15 s of each minute", _spike, sudden=True),
    "soak": Shape("for hours: between a quarter and three quarters of the users, in days of 10 minutes", _days),
    "batch": Shape("all users post batches of 20 only, one a second each", _all),
    "poison-mix": Shape("of 20 messages, one is malformed, and one goes past the producer, unreadable", _all),
    "retry-storm": Shape("who is refused sends the same message again, 50 times a second, without backoff", _all),
}


def choices() -> list[str]:
    """As the page offers them: each with what it does."""
    return [f"{name}: {shape.about}" for name, shape in SHAPES.items()]


def name_of(choice: str) -> str:
    """The shape's name in one of the `choices`; a name alone stands for itself."""
    return choice.partition(":")[0]
