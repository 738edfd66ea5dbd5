"""Takes deliveries, has them processed by a pool of threads, and acks what is done.

The main thread runs the connection's event loop and alone touches it, so heartbeats are
answered however long processing takes. Threads hand results back through a queue; one
wake-up of the loop serves all results that came in since the last.
"""

import functools
import logging
import threading
import time
import uuid
from collections import deque
from itertools import takewhile

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pydantic import ValidationError

from services.messaging import connection, topology
from services.messaging.closing import unless_closing
from services.messaging.coalescing import Coalescing
from services.messaging.confirms import ConfirmedChannel, Outcome
from services.messaging.metrics import from_zero
from services.messaging.properties import onward, published_at, room, short
from services.messaging.schema import (
    ATTEMPT,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_REASON,
    Message,
    is_undecodable,
    problems,
)

from . import metrics
from .delivery import Delivery
from .handler import process
from .ledger import Ledger
from .pool import Pool
from .releases import release
from .retry import RetryPolicy
from .settings import ConsumerSettings
from .tasks import Task, Tasks

log = logging.getLogger(__name__)

REPUBLISH_DELAY_SECONDS = 1.0
CONFIRM_POLL_SECONDS = 0.05
MAX_ERROR_CHARACTERS = 1000


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
        self._tasks = Tasks()
        self._finished: deque[tuple[Task, Exception | None]] = deque()
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

    @unless_closing
    def _consume(self, channel: Channel) -> None:
        if self._stopping:
            return
        self._channel = channel
        self._confirmed = ConfirmedChannel(channel)
        channel.add_on_cancel_callback(lambda _frame: self._cancelled(channel))
        start = unless_closing(lambda _frame: channel.basic_consume(topology.QUEUE, self._on_delivery))
        channel.basic_qos(prefetch_count=self._settings.consumer_prefetch, callback=start)

    @unless_closing
    def _cancelled(self, channel: Channel) -> None:
        # The queue was deleted or its leader moved: a fresh connection declares it again.
        log.error("consumer cancelled by broker")
        channel.connection.close(reply_text="consumer was cancelled")

    def _forget_channel(self) -> None:
        # The broker delivers everything unacked again, to any consumer: what has not begun need not begin here.
        self._channel = self._confirmed = None
        self._in_flight.clear()
        for task in self._pool.drop_waiting():
            self._tasks.end(task)

    def _on_delivery(self, channel: Channel, method, properties: pika.BasicProperties, body: bytes) -> None:
        message_id = short(properties.message_id or f"unknown-{uuid.uuid4()}")
        delivery = Delivery(channel, method.delivery_tag, method.redelivered, message_id, properties, body)
        self._in_flight[delivery.tag] = None
        if delivery.redelivered:
            metrics.REDELIVERED.inc()
        try:
            self._take(delivery)
        except Exception as error:  # one message must not cost its neighbours the connection
            log.exception("delivery failed", extra={"message_id": message_id})
            bare = delivery._replace(properties=pika.BasicProperties(message_id=message_id))
            self._reject_poison(bare, "unprocessable", repr(error))

    def _take(self, delivery: Delivery) -> None:
        try:
            message = Message.model_validate_json(delivery.body)
        except ValidationError as error:
            details = "; ".join(f"{path}: {text}" for path, text in problems(error).items())
            self._reject_poison(delivery, "undecodable" if is_undecodable(error) else "invalid", details)
            return
        delivery = delivery._replace(message_id=message.id)
        if refusal := self._release.refusal(message):
            self._reject_poison(delivery, "invalid", refusal)
        elif not self._stopping:  # else it goes back when the connection closes
            if not self._release.reads_payload:
                message.payload = None  # parsed, it can take twenty times its size; a whole prefetch waits here
            self._process(Task(delivery, message))

    def _process(self, task: Task) -> None:
        if task.delivery.redelivered:
            if self._tasks.was_processed(task):
                log.info("already processed", extra={"message_id": task.message.id})
                self._ack([task.delivery])
                return
            if self._tasks.take_over(task):
                return
        self._tasks.begin(task)
        self._pool.submit(task)

    def _reject_poison(self, delivery: Delivery, reason: str, details: str) -> None:
        metrics.PROCESSING_ERRORS.labels(reason).inc()
        self._dead_letter(delivery, reason, details)

    def _drain_finished(self) -> None:
        """Act on every result that the threads handed over so far."""
        self._wake_up_pending = False
        done = []
        while self._finished:
            task, error = self._finished.popleft()
            self._tasks.end(task)
            if error is None:
                done.append(task)
            elif task.delivery.channel is self._channel:  # else the broker delivers it again
                self._retry_or_dead_letter(task.delivery, error)
        deliveries = [task.delivery for task in done]
        self._ledger.append("processed", [delivery.message_id for delivery in deliveries],
                            {delivery.message_id for delivery in deliveries if delivery.redelivered})
        self._count_successes(deliveries)
        self._settle(done)

    def _count_successes(self, done: list[Delivery]) -> None:
        if not done:
            return
        now = time.time()
        metrics.CONSUMED.inc(len(done))
        metrics.LAST_SUCCESS.set(now)
        for delivery in done:
            age, published = None, published_at(delivery.properties, now)
            if published is not None:
                age = now - published
                metrics.END_TO_END_SECONDS.observe(age)
                self._watermark = max(self._watermark, published)
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
        error = error[:MAX_ERROR_CHARACTERS]
        log.error("message dead-lettered", extra={
            "message_id": delivery.message_id, "attempt": delivery.attempt, "reason": reason,
            "error": error, "app_id": delivery.properties.app_id, "user_id": delivery.properties.user_id})
        metrics.DEAD_LETTERED.labels(reason).inc()
        self._ledger.append("dead-lettered", [delivery.message_id])
        self._republish(delivery, topology.DEAD_LETTER_EXCHANGE, topology.DEAD_LETTER_QUEUE,
                        {DEAD_LETTER_REASON: reason, DEAD_LETTER_ERROR: error})

    @unless_closing
    def _republish(self, delivery: Delivery, exchange: str, queue: str, headers: dict) -> None:
        """Publish a copy for `queue`; only when the broker has confirmed it, ack the original."""
        if delivery.channel is not self._channel:
            return  # its channel is gone: the broker delivers it again

        def on_outcome(outcome: Outcome) -> None:
            if outcome is Outcome.CONFIRMED:
                self._ack([delivery])
            elif outcome is not Outcome.UNKNOWN:
                log.error("republish refused, will try again", extra={
                    "message_id": delivery.message_id, "attempt": delivery.attempt, "outcome": outcome.value,
                    "exchange": exchange, "queue": queue})
                if outcome is Outcome.UNROUTABLE:
                    self._link.restore(queue)
                self._link.ioloop.call_later(REPUBLISH_DELAY_SECONDS, functools.partial(
                    self._republish, delivery, exchange, queue, headers))

        properties = onward(delivery.properties, headers, room(delivery.channel.connection.params.frame_max))
        properties.message_id = delivery.message_id
        self._confirmed.publish(exchange, queue, delivery.body, properties, on_outcome)

    def _settle(self, done: list[Task]) -> None:
        """Ack what was processed; a defective release gives some of it back."""
        given_back = [task for task in done if self._release.gives_back(task.message.id)]
        if given_back:
            done = [task for task in done if task not in given_back]
        for task in done:
            self._tasks.remember(task)
        self._ack([task.delivery for task in done])
        for delivery in (task.delivery for task in given_back):
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

    def _work(self, task: Task) -> None:
        error = None
        started = time.perf_counter()
        try:
            self._release.before_processing(task.message)
            process(task.message, self._settings)
        except Exception as failure:  # whatever it is, the message must be retried
            error = failure
            metrics.PROCESSING_ERRORS.labels("handler").inc()
        metrics.PROCESSING_SECONDS.observe(time.perf_counter() - started)
        self._finished.append((task, error))
        if not self._wake_up_pending:
            self._wake_up_pending = True
            self._link.ioloop.add_callback_threadsafe(self._drain_finished)
