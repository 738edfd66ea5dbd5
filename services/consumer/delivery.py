"""One message as the broker delivered it. Its properties may hold anything that a publisher can send."""

from typing import NamedTuple

from pika import BasicProperties
from pika.channel import Channel

from services.messaging.schema import ATTEMPT


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
