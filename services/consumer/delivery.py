"""One message as the broker delivered it. Its properties may hold anything that a publisher can send."""

from typing import NamedTuple

from pika import BasicProperties
from pika.channel import Channel

from services.messaging.schema import ATTEMPT, PUBLISHED_AT_MS

# Publish times beyond these bounds are a publisher's mistake (milliseconds for seconds, a clock that is wrong), and
# would make the system look fresh, or the delay of a message absurd.
MAX_CLOCK_SKEW_SECONDS = 1.0
MAX_AGE_SECONDS = 366 * 86400.0


class Delivery(NamedTuple):
    """`tag` is valid on `channel` only; `message_id` is the body's where that can be read."""

    channel: Channel
    tag: int
    redelivered: bool
    message_id: str
    properties: BasicProperties
    body: bytes

    @property
    def attempt(self) -> int:
        attempt = (self.properties.headers or {}).get(ATTEMPT)
        return attempt if isinstance(attempt, int) and attempt >= 1 else 1

    def published_at(self, now: float) -> float | None:
        """Unix time in seconds of the first publish, at most `now`; None where the publisher gave no plausible one."""
        milliseconds = (self.properties.headers or {}).get(PUBLISHED_AT_MS)
        stated = [milliseconds / 1000 if isinstance(milliseconds, int) else None, self.properties.timestamp]
        return next((min(time, now) for time in stated
                     if time is not None and now - MAX_AGE_SECONDS <= time <= now + MAX_CLOCK_SKEW_SECONDS), None)
