"""Takes deliveries, has them processed by a pool of threads, and acks what is done.

The main thread runs the connection's event loop and alone touches it, so heartbeats are
answered however long processing takes. Threads hand results back through a queue; one
wake-up of the loop serves all results that came in since the last.
"""

import functools
import logging
import struct
import threading
import time
import uuid
from collections import deque
from itertools import takewhile
from typing import NamedTuple

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.data import encode_value
from pika.exceptions import UnsupportedAMQPFieldException
from pydantic import ValidationError

from services.messaging import connection, topology
from services.messaging.coalescing import Coalescing
from services.messaging.confirms import ConfirmedChannel, Outcome
from services.messaging.metrics import from_zero
from services.messaging.schema import (
    ATTEMPT,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_REASON,
    PUBLISHED_AT_MS,
    PUBLISHED_BY,
    Message,
    is_undecodable,
    problems,
)

from . import metrics
from .handler import process
from .ledger import Ledger
from .pool import Pool
from .releases import release
from .retry import RetryPolicy
from .settings import ConsumerSettings

log = logging.getLogger(__name__)

REPUBLISH_DELAY_SECONDS = 1.0
CONFIRM_POLL_SECONDS = 0.05


class Delivery(NamedTuple):
    """One message as the broker delivered it on one channel."""

    channel: Channel
    tag: int
    redelivered: bool
    properties: pika.BasicProperties
    body: bytes

    @property
    def message_id(self) -> str:
        return self.properties.message_id

    @property
    def attempt(self) -> int:
        attempt = self.properties.headers.get(ATTEMPT)
        return attempt if isinstance(attempt, int) and attempt >= 1 else 1

    @property
    def published_at(self) -> float | None:
        """Unix time in seconds of the first publish, where the publisher told it."""
        milliseconds = self.properties.headers.get(PUBLISHED_AT_MS)
        return milliseconds / 1000 if isinstance(milliseconds, int) else self.properties.timestamp


class _Connection(Coalescing, SelectConnection):
    pass


class Worker:
    """One consumer process."""

    def __init__(self, settings: ConsumerSettings):
        self._settings = settings
        self._release = release(settings.consumer_release)
        self._policy = RetryPolicy(settings.max_attempts, settings.retry_base_delay)
        self._ledger = Ledger(settings.ledger_dir, settings.consumer_name)
        self._pool = Pool(settings.consumer_concurrency, self._work)
        self._finished: deque[tuple[Delivery, Exception | None]] = deque()
        self._wake_up_pending = False
        self._channel: Channel | None = None
        self._confirmed: ConfirmedChannel | None = None
        # Delivery tags of the present channel, rising; a dict, as it keeps that order.
        self._in_flight: dict[int, None] = {}
        from_zero(metrics.RETRIED, range(1, settings.max_attempts))
        metrics.IN_FLIGHT.set_function(lambda: len(self._in_flight))
        self._watermark = 0.0
        self._stopping = False
        self._link = connection.Link(
            connection.parameters(settings, settings.consumer_name), _Connection,
            self._policy.delays_ms(), on_ready=self._consume, on_lost=self._forget_channel)
        self._link.start()

    def trouble(self) -> str | None:
        """Why nothing can be consumed now, or None. Callable from any thread."""
        if self._stopping:
            return "shutting down"
        if not self._link.ready:
            return f"no connection to the broker ({self._link.last_error})"
        return None

    def run(self) -> None:
        """Consume until `stop` is called; return when what was in flight is finished or given back."""
        metrics.PREFETCH.set(self._settings.consumer_prefetch)
        metrics.BUILD.labels(self._settings.consumer_release).set(1)
        log.info("consumer starts", extra={"release": self._settings.consumer_release})
        self._link.ioloop.start()

    def stop(self) -> None:
        """Make `run` return. Callable from any thread, but not from a signal's handler."""
        self._link.ioloop.add_callback_threadsafe(self._shut_down)

    # -- on the event loop ------------------------------------------------------------------

    def _consume(self, channel: Channel) -> None:
        if self._stopping:
            return
        self._channel = channel
        self._confirmed = ConfirmedChannel(channel)
        channel.add_on_cancel_callback(lambda _frame: self._cancelled(channel))
        channel.basic_qos(prefetch_count=self._settings.consumer_prefetch, callback=lambda _frame:
                          channel.basic_consume(topology.QUEUE, self._on_delivery))

    def _cancelled(self, channel: Channel) -> None:
        # The queue was deleted or its leader moved: a fresh connection declares it again.
        log.error("consumer cancelled by broker")
        channel.connection.close(reply_text="consumer was cancelled")

    def _forget_channel(self) -> None:
        # The broker delivers everything unacked again, to whoever consumes.
        self._channel = self._confirmed = None
        self._in_flight.clear()

    def _on_delivery(self, channel: Channel, method, properties: pika.BasicProperties, body: bytes) -> None:
        properties.headers = properties.headers or {}
        delivery = Delivery(channel, method.delivery_tag, method.redelivered, properties, body)
        self._in_flight[delivery.tag] = None
        if method.redelivered:
            metrics.REDELIVERED.inc()
        try:
            message = Message.model_validate_json(body)
        except ValidationError as error:
            properties.message_id = properties.message_id or f"unknown-{uuid.uuid4()}"
            details = "; ".join(f"{path}: {text}" for path, text in problems(error).items())
            self._reject_poison(delivery, "undecodable" if is_undecodable(error) else "invalid", details)
        else:
            properties.message_id = message.id
            if refusal := self._release.refusal(message):
                self._reject_poison(delivery, "invalid", refusal)
            elif not self._stopping:  # else it goes back when the connection closes
                self._pool.submit((delivery, message))

    def _reject_poison(self, delivery: Delivery, reason: str, details: str) -> None:
        metrics.PROCESSING_ERRORS.labels(reason).inc()
        self._dead_letter(delivery, reason, details)

    def _drain_finished(self) -> None:
        """Act on every result that the threads handed over so far."""
        self._wake_up_pending = False
        done = []
        while self._finished:
            delivery, error = self._finished.popleft()
            if error is None:
                done.append(delivery)
            else:
                self._retry_or_dead_letter(delivery, error)
        self._ledger.append("processed", [delivery.message_id for delivery in done],
                            {delivery.message_id for delivery in done if delivery.redelivered})
        self._count_successes(done)
        self._settle(done)

    def _count_successes(self, done: list[Delivery]) -> None:
        if not done:
            return
        now = time.time()
        metrics.CONSUMED.inc(len(done))
        metrics.LAST_SUCCESS.set(now)
        for delivery in done:
            age, published_at = None, delivery.published_at
            if published_at is not None:
                age = max(0.0, now - published_at)
                metrics.END_TO_END_SECONDS.observe(age)
                self._watermark = max(self._watermark, published_at)
            log.info("message processed", extra={
                "message_id": delivery.message_id, "attempt": delivery.attempt, "end_to_end_seconds": age})
        metrics.WATERMARK.set(self._watermark)

    def _retry_or_dead_letter(self, delivery: Delivery, error: Exception) -> None:
        delay_ms = self._policy.delay_ms(delivery.attempt)
        if delay_ms is None:
            self._dead_letter(delivery, "attempts_exhausted", str(error))
            return
        log.warning("processing failed, will retry", extra={
            "message_id": delivery.message_id, "attempt": delivery.attempt, "error": str(error),
            "retry_in_ms": delay_ms})
        metrics.RETRIED.labels(delivery.attempt).inc()
        self._republish(delivery, "", topology.retry_queue(delay_ms), {ATTEMPT: delivery.attempt + 1})

    def _dead_letter(self, delivery: Delivery, reason: str, error: str) -> None:
        log.error("message dead-lettered", extra={
            "message_id": delivery.message_id, "attempt": delivery.attempt, "reason": reason,
            "error": error, "app_id": delivery.properties.app_id, "user_id": delivery.properties.user_id})
        metrics.DEAD_LETTERED.labels(reason).inc()
        self._ledger.append("dead-lettered", [delivery.message_id])
        self._republish(delivery, topology.DEAD_LETTER_EXCHANGE, topology.QUEUE,
                        {DEAD_LETTER_REASON: reason, DEAD_LETTER_ERROR: error[:1000]})

    def _republish(self, delivery: Delivery, exchange: str, routing_key: str, headers: dict) -> None:
        """Publish the message elsewhere; only when the broker confirmed that, ack the original."""
        if delivery.channel is not self._channel:
            return  # its channel is gone: the broker delivers it again
        properties = delivery.properties
        properties.headers = {name: _writable(value) for name, value in properties.headers.items()} | headers
        if properties.user_id:
            # The broker accepts only our own name there; whose message it was must stay known.
            # https://www.rabbitmq.com/docs/validated-user-id
            properties.headers[PUBLISHED_BY], properties.user_id = properties.user_id, None
        properties.expiration = None  # the publisher's TTL must not shorten the life of a dead letter
        properties.delivery_mode = pika.DeliveryMode.Persistent.value

        def on_outcome(outcome: Outcome) -> None:
            if outcome is Outcome.CONFIRMED:
                self._ack([delivery])
            elif outcome is not Outcome.UNKNOWN:
                log.error("republish refused, will try again", extra={
                    "message_id": delivery.message_id, "attempt": delivery.attempt, "outcome": outcome.value,
                    "exchange": exchange, "routing_key": routing_key})
                self._link.ioloop.call_later(REPUBLISH_DELAY_SECONDS, functools.partial(
                    self._republish, delivery, exchange, routing_key, headers))

        self._confirmed.publish(exchange, routing_key, delivery.body, properties, on_outcome)

    def _settle(self, done: list[Delivery]) -> None:
        """Tell the broker of what was processed."""
        given_back = [delivery for delivery in done if self._release.gives_back(delivery.message_id)]
        self._ack([delivery for delivery in done if delivery not in given_back] if given_back else done)
        for delivery in given_back:
            if delivery.channel is self._channel and self._channel.is_open:
                self._channel.basic_nack(delivery.tag, requeue=True)
                del self._in_flight[delivery.tag]

    def _ack(self, done: list[Delivery]) -> None:
        """Ack what is done: the oldest deliveries, as far as all of them are done, by a single frame."""
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        tags = {delivery.tag for delivery in done if delivery.channel is channel}
        oldest = list(takewhile(tags.__contains__, self._in_flight))
        if oldest:
            channel.basic_ack(oldest[-1], multiple=True)
        for tag in tags.difference(oldest):
            channel.basic_ack(tag)
        for tag in tags:
            del self._in_flight[tag]

    # -- shutdown: take nothing new, finish what runs, give back what has not begun ---------

    def _shut_down(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        log.info("shutting down", extra={"in_flight": len(self._in_flight)})
        deadline = time.monotonic() + self._settings.shutdown_grace
        self._pool.close()
        if self._channel is not None and self._channel.is_open:
            for tag in self._channel.consumer_tags:
                self._channel.basic_cancel(tag)
        leave = functools.partial(self._leave, deadline)
        threading.Thread(target=self._tell_when_idle, args=[leave], daemon=True).start()
        self._link.ioloop.call_later(self._settings.shutdown_grace, leave)

    def _tell_when_idle(self, leave) -> None:
        self._pool.join()
        self._link.ioloop.add_callback_threadsafe(leave)

    def _leave(self, deadline: float) -> None:
        waits_for_confirms = self._confirmed is not None and self._confirmed.in_flight
        if waits_for_confirms and time.monotonic() < deadline:
            self._link.ioloop.call_later(CONFIRM_POLL_SECONDS, functools.partial(self._leave, deadline))
            return
        # Closing gives back to the broker what is not acked.
        self._link.stop(then=self._link.ioloop.stop)

    # -- in a thread of the pool ------------------------------------------------------------

    def _work(self, task: tuple[Delivery, Message]) -> None:
        delivery, message = task
        error = None
        started = time.perf_counter()
        try:
            self._release.before_processing(message)
            process(message, self._settings)
        except Exception as failure:  # whatever it is, the message must be retried
            error = failure
            metrics.PROCESSING_ERRORS.labels("handler").inc()
        metrics.PROCESSING_SECONDS.observe(time.perf_counter() - started)
        self._finished.append((delivery, error))
        if not self._wake_up_pending:
            self._wake_up_pending = True
            self._link.ioloop.add_callback_threadsafe(self._drain_finished)


def _writable(value):
    """The value of a header, as text where pika can read but not write it: a double beyond 32 bits, say."""
    try:
        encode_value([], value)
    except (struct.error, UnsupportedAMQPFieldException):
        return str(value)
    return value
