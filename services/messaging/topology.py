"""Exchanges and queues. Both services declare them, so that either may start first.

What an operator must be able to change at run time (the main queue's dead-letter exchange,
delivery limit, TTL, length limit) is set by policy on the broker, not by arguments here:
arguments cannot be changed without deleting the queue.
https://www.rabbitmq.com/docs/parameters#why-policies-exist
"""

from collections.abc import Callable, Iterable

from pika.channel import Channel

EXCHANGE = "messages"
QUEUE = "messages"
DEAD_LETTER_EXCHANGE = "messages.dlx"
DEAD_LETTER_QUEUE = "messages.dlq"

_QUORUM = {"x-queue-type": "quorum"}


def retry_queue(delay_ms: int) -> str:
    """Name of the queue in which a message waits `delay_ms` before it returns to the main queue."""
    return f"messages.retry.{delay_ms}ms"


def declare(channel: Channel, retry_delays_ms: Iterable[int], on_done: Callable[[], None]) -> None:
    """Declare everything on `channel`, one step after the other, then call `on_done`."""
    steps = [
        lambda then: channel.exchange_declare(EXCHANGE, "direct", durable=True, callback=then),
        lambda then: channel.queue_declare(QUEUE, durable=True, arguments=_QUORUM, callback=then),
        lambda then: channel.queue_bind(QUEUE, EXCHANGE, QUEUE, callback=then),
        lambda then: channel.exchange_declare(
            DEAD_LETTER_EXCHANGE, "fanout", durable=True, callback=then),
        lambda then: channel.queue_declare(
            DEAD_LETTER_QUEUE, durable=True, arguments=_QUORUM, callback=then),
        lambda then: channel.queue_bind(DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, callback=then),
        *(_retry_step(channel, delay) for delay in retry_delays_ms),
    ]

    def next_step(_frame=None):
        if steps:
            steps.pop(0)(next_step)
        else:
            on_done()

    next_step()


def _retry_step(channel: Channel, delay_ms: int) -> Callable:
    arguments = _QUORUM | {
        "x-message-ttl": delay_ms,
        "x-dead-letter-exchange": EXCHANGE,
        "x-dead-letter-routing-key": QUEUE,
        # Without it, dead-lettering may drop a message when its target is away; it needs reject-publish.
        # https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return lambda then: channel.queue_declare(
        retry_queue(delay_ms), durable=True, arguments=arguments, callback=then)
