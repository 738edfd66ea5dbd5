"""Publishes messages and waits for the broker's confirms. Runs on gevent: no call blocks a worker."""

import logging
import os
import socket
import time
from enum import StrEnum
from typing import NamedTuple

import gevent
import pika
from gevent.event import Event
from pika.adapters.gevent_connection import GeventConnection

from services.messaging import connection, topology
from services.messaging.closing import NOT_OPEN
from services.messaging.coalescing import Coalescing
from services.messaging.confirms import ConfirmedChannel
from services.messaging.metrics import from_zero
from services.messaging.schema import PUBLISHED_AT_MS

from . import metrics
from .settings import ProducerSettings


class Result(StrEnum):
    """What became of one message; every value but CONFIRMED and UNKNOWN means: not stored."""

    CONFIRMED = "confirmed"
    NACKED = "nacked"
    UNROUTABLE = "unroutable"
    UNAVAILABLE = "unavailable"
    BLOCKED = "blocked"
    OVERLOADED = "overloaded"
    UNKNOWN = "unknown"


log = logging.getLogger(__name__)

from_zero(metrics.PUBLISH_FAILURES, set(Result) - {Result.CONFIRMED})


class Outgoing(NamedTuple):
    """A valid message: its id, and its JSON as the consumer will read it."""

    id: str
    body: bytes


class _Connection(Coalescing, GeventConnection):
    pass


class Publisher:
    """One connection of one worker process."""

    def __init__(self, settings: ProducerSettings):
        self._settings = settings
        self._channel: ConfirmedChannel | None = None
        self._link = connection.Link(
            connection.parameters(settings, f"{topology.PRODUCER_NAME}{socket.gethostname()}:{os.getpid()}"),
            _Connection, retry_delays_ms=(), on_ready=self._ready, on_lost=self._lost)
        self._link.start()

    def _ready(self, channel: pika.channel.Channel) -> None:
        self._channel = ConfirmedChannel(channel)

    def _lost(self) -> None:
        self._channel = None
        metrics.IN_FLIGHT.set(0)

    def trouble(self) -> str | None:
        """Why nothing can be published now, or None."""
        if self._channel is None:
            return f"no connection to the broker ({self._link.last_error})"
        if self._link.blocked:
            return "the broker blocks publishers (memory or disk alarm)"
        return None

    def bytes_in_flight(self) -> int:
        """The size of the messages that the broker has not answered yet."""
        return self._channel.bytes_in_flight if self._channel else 0

    def publish(self, messages: list[Outgoing]) -> list[Result]:
        """Publish all, wait for the confirms at most `confirm_timeout` seconds; return each one's result."""
        refusal = self._refusal(len(messages))
        results = [refusal] * len(messages) if refusal else self._publish_and_wait(messages)
        metrics.PRODUCED.inc(results.count(Result.CONFIRMED))
        for message, result in zip(messages, results, strict=True):
            if result is Result.CONFIRMED:
                log.info("message confirmed", extra={"message_id": message.id})
            else:
                metrics.PUBLISH_FAILURES.labels(result.value).inc()
                log.warning("message not confirmed", extra={"message_id": message.id, "reason": result.value})
        return results

    def _refusal(self, count: int) -> Result | None:
        if self._channel is None:
            return Result.UNAVAILABLE
        if self._link.blocked:
            return Result.BLOCKED
        if self._channel.in_flight + count > self._settings.max_in_flight:
            return Result.OVERLOADED
        return None

    def _publish_and_wait(self, messages: list[Outgoing]) -> list[Result]:
        results = [Result.UNKNOWN] * len(messages)
        pending = len(messages)
        all_answered = Event()
        channel, started = self._channel, time.monotonic()

        def settle(index: int, result: Result) -> None:
            nonlocal pending
            results[index] = result
            pending -= 1
            if not pending:
                all_answered.set()

        for index, message in enumerate(messages):
            try:
                channel.publish(topology.EXCHANGE, topology.QUEUE, message.body, _properties(message.id),
                                lambda outcome, index=index: settle(index, Result(outcome.value)))
            except NOT_OPEN:
                settle(index, Result.UNAVAILABLE)
        metrics.IN_FLIGHT.set(channel.in_flight)
        if all_answered.wait(self._settings.confirm_timeout):
            metrics.CONFIRM_SECONDS.observe(time.monotonic() - started)
        metrics.IN_FLIGHT.set(channel.in_flight)
        return list(results)

    def close(self) -> None:
        """Close the connection and let the event loop say goodbye to the broker."""
        self._link.stop()
        gevent.sleep(0.1)


def _properties(message_id: str) -> pika.BasicProperties:
    now = time.time()
    return pika.BasicProperties(
        message_id=message_id,
        app_id="producer",
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent.value,
        timestamp=int(now),
        headers={PUBLISHED_AT_MS: round(now * 1000)},
    )
