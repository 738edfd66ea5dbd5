"""Publisher confirms: the outcome of each publish, reported once."""

from collections.abc import Callable
from enum import StrEnum

from pika import BasicProperties, spec
from pika.channel import Channel

from .schema import PUBLISH_TAG


class Outcome(StrEnum):
    CONFIRMED = "confirmed"  # on disk of the quorum queue
    NACKED = "nacked"  # the broker refused it: it is not stored
    UNROUTABLE = "unroutable"  # no queue is bound for it: it is not stored
    UNKNOWN = "unknown"  # the channel closed before the broker said


class ConfirmedChannel:
    """A channel in confirm mode.

    Matches the broker's acks, nacks and returns to the publishes that caused them.
    The broker sends basic.return before the ack of an unroutable mandatory message:
    https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed
    A return has no delivery tag, so each message carries its own in the header PUBLISH_TAG:
    ids do not identify a publish, as clients retry with the same id.
    """

    def __init__(self, channel: Channel):
        self._channel = channel
        self._next_tag = 1  # delivery tags count from 1 in confirm mode
        self._outstanding: dict[int, tuple[int, Callable[[Outcome], None]]] = {}
        self._bytes_in_flight = 0
        self._returned: set[int] = set()
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_close)
        channel.confirm_delivery(self._on_confirm)

    @property
    def in_flight(self) -> int:
        """How many publishes the broker has not answered yet."""
        return len(self._outstanding)

    @property
    def bytes_in_flight(self) -> int:
        """The size of their bodies, which are held in memory until then."""
        return self._bytes_in_flight

    def publish(self, exchange: str, routing_key: str, body: bytes,
                properties: BasicProperties, on_outcome: Callable[[Outcome], None]) -> None:
        """Publish with `mandatory`; `on_outcome` is called exactly once, later.

        Raises one of NOT_OPEN when the channel is closed or closing; then nothing was sent and
        `on_outcome` is not called.
        """
        properties.headers = {**(properties.headers or {}), PUBLISH_TAG: self._next_tag}
        self._channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
        self._outstanding[self._next_tag] = (len(body), on_outcome)
        self._bytes_in_flight += len(body)
        self._next_tag += 1

    def _on_return(self, _channel, _method, properties: BasicProperties, _body) -> None:
        self._returned.add(properties.headers[PUBLISH_TAG])

    def _on_confirm(self, frame) -> None:
        confirm = frame.method
        outcome = Outcome.CONFIRMED if isinstance(confirm, spec.Basic.Ack) else Outcome.NACKED
        if not confirm.multiple:
            self._settle(confirm.delivery_tag, outcome)
            return
        # Tags were inserted in rising order, so the settled ones stand first.
        for tag in [tag for tag in self._outstanding if tag <= confirm.delivery_tag]:
            self._settle(tag, outcome)

    def _settle(self, tag: int, outcome: Outcome) -> None:
        size, on_outcome = self._outstanding.pop(tag)
        self._bytes_in_flight -= size
        if tag in self._returned:
            self._returned.discard(tag)
            outcome = Outcome.UNROUTABLE
        on_outcome(outcome)

    def _on_close(self, _channel, _reason) -> None:
        outstanding, self._outstanding = self._outstanding, {}
        self._bytes_in_flight = 0
        for _size, on_outcome in outstanding.values():
            on_outcome(Outcome.UNKNOWN)
