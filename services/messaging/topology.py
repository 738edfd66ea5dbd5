"""Exchanges and queues. Both services declare them, so that either may start first.

What an operator must be able to change at run time (the main queue's dead-letter exchange,
delivery limit, TTL, length limit) is set by policy on the broker, not by arguments here:
arguments cannot be changed without deleting the queue.
https://www.rabbitmq.com/docs/parameters#why-policies-exist
"""

import re
from collections.abc import Callable, Iterable

from pika.channel import Channel

from .closing import unless_closing

EXCHANGE = "messages"
QUEUE = "messages"
DEAD_LETTER_EXCHANGE = "messages.dlx"
DEAD_LETTER_QUEUE = "messages.dlq"
# The names of the producer's connections begin so.
PRODUCER_NAME = "producer@"

_RETRY_QUEUE = re.compile(r"messages\.retry\.\d+ms")
# Exchange to type, and (exchange, queue, routing key) of each binding.
EXCHANGES = {EXCHANGE: "direct", DEAD_LETTER_EXCHANGE: "fanout"}
BINDINGS = {(EXCHANGE, QUEUE, QUEUE), (DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, DEAD_LETTER_QUEUE)}

_QUORUM = {"x-queue-type": "quorum"}
_NOT_FOUND = 404

Step = Callable[[Callable], None]


def retry_queue(delay_ms: int) -> str:
    """Name of the queue in which a message waits `delay_ms` before it returns to the main queue."""
    return f"messages.retry.{delay_ms}ms"


def is_ours(queue: str) -> bool:
    """Whether `declare` makes a queue of this name, for some retry delay."""
    return queue in (QUEUE, DEAD_LETTER_QUEUE) or _RETRY_QUEUE.fullmatch(queue) is not None


def queue_arguments(retry_delays_ms: Iterable[int]) -> dict[str, dict]:
    """The arguments of every queue, by its name."""
    return {QUEUE: _QUORUM, DEAD_LETTER_QUEUE: _QUORUM,
            **{retry_queue(delay): _retry_arguments(delay) for delay in retry_delays_ms}}


def declare(channel: Channel, retry_delays_ms: Iterable[int], on_done: Callable[[], None]) -> None:
    """Declare everything on `channel`, one step after the other, then call `on_done`."""
    steps = [*_main(channel), *_dead_letters(channel)]
    for delay in retry_delays_ms:
        steps += _retry(channel, delay)
    _take(steps, on_done)


def restore(channel: Channel, queue: str, retry_delays_ms: Iterable[int], on_done: Callable[[], None]) -> None:
    """Declare a queue that copies are published to, if it is missing; then call `on_done`.

    A queue that exists is left as its operator has it, bindings included. Uses up `channel`.
    """
    retries = {retry_queue(delay): delay for delay in retry_delays_ms}

    @unless_closing
    def missing(other: Channel) -> None:
        steps = _retry(other, retries[queue]) if queue in retries else _dead_letters(other)
        other.add_on_close_callback(lambda *_: on_done())
        _take(steps, other.close)

    @unless_closing
    def closed(_channel: Channel, reason: Exception) -> None:
        if getattr(reason, "reply_code", None) == _NOT_FOUND:
            channel.connection.channel(on_open_callback=missing)
        else:
            on_done()

    channel.add_on_close_callback(closed)
    channel.queue_declare(queue, passive=True, callback=lambda _frame: channel.close())


def _main(channel: Channel) -> list[Step]:
    return [
        lambda then: channel.exchange_declare(EXCHANGE, EXCHANGES[EXCHANGE], durable=True, callback=then),
        lambda then: channel.queue_declare(QUEUE, durable=True, arguments=_QUORUM, callback=then),
        lambda then: channel.queue_bind(QUEUE, EXCHANGE, QUEUE, callback=then),
    ]


def _dead_letters(channel: Channel) -> list[Step]:
    return [
        lambda then: channel.exchange_declare(
            DEAD_LETTER_EXCHANGE, EXCHANGES[DEAD_LETTER_EXCHANGE], durable=True, callback=then),
        lambda then: channel.queue_declare(DEAD_LETTER_QUEUE, durable=True, arguments=_QUORUM, callback=then),
        lambda then: channel.queue_bind(DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, callback=then),
    ]


def _retry_arguments(delay_ms: int) -> dict:
    return _QUORUM | {
        "x-message-ttl": delay_ms,
        "x-dead-letter-exchange": EXCHANGE,
        "x-dead-letter-routing-key": QUEUE,
        # Without it, dead-lettering may drop a message when its target is away; it needs reject-publish.
        # https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _retry(channel: Channel, delay_ms: int) -> list[Step]:
    return [lambda then: channel.queue_declare(
        retry_queue(delay_ms), durable=True, arguments=_retry_arguments(delay_ms), callback=then)]


def _take(steps: list[Step], on_done: Callable[[], None]) -> None:
    @unless_closing
    def next_step(_frame=None) -> None:
        if steps:
            steps.pop(0)(next_step)
        else:
            on_done()

    next_step()
