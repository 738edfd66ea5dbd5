"""One AMQP connection that is kept: it connects, declares the topology, probes, and reconnects."""

import functools
import logging
import random
import time
from collections.abc import Callable, Iterable

import pika
from pika import exceptions
from pika.adapters.base_connection import BaseConnection
from pika.channel import Channel

from . import metrics, properties, topology  # noqa: F401  (importing `properties` installs its reader)
from .closing import unless_closing
from .settings import BrokerSettings

log = logging.getLogger(__name__)

# Exponential backoff with jitter, so that many clients do not come back at the same moment.
# https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
BACKOFF_BASE_SECONDS = 0.25
BACKOFF_CAP_SECONDS = 5.0
# A connection that lasted this long ends a row of failures.
STABLE_SECONDS = BACKOFF_CAP_SECONDS
PROBE_INTERVAL_SECONDS = 2.0
BLOCKED_INTERVAL_SECONDS = 1.0
SLOW_ROUND_TRIP_SECONDS = 0.25  # worth a line in the log; a few milliseconds are usual
# How long the broker may take to say goodbye; over a dead link it never does.
CLOSE_SECONDS = 3.0

# The first that fits: some are kinds of others.
_CAUSES = {
    exceptions.AMQPHeartbeatTimeout: "heartbeat_timeout",
    exceptions.AuthenticationError: "authentication",
    exceptions.ProbableAuthenticationError: "authentication",
    exceptions.ProbableAccessDeniedError: "access_denied",
    exceptions.ConnectionClosedByBroker: "closed_by_broker",
    exceptions.ConnectionClosedByClient: "channel_error",
    exceptions.StreamLostError: "stream_lost",
}
_OTHER_CAUSE = "connect_failed"
metrics.from_zero(metrics.CONNECTION_LOSSES, {*_CAUSES.values(), _OTHER_CAUSE})


def backoff(failures: int) -> float:
    """Seconds to wait before attempt number `failures` + 1: between half and all of the step."""
    step = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** min(failures, 16))
    return step * random.uniform(0.5, 1.0)


def parameters(settings: BrokerSettings, name: str) -> pika.ConnectionParameters:
    """pika's connection parameters; `name` is what the broker's management shows."""
    return pika.ConnectionParameters(
        host=settings.rabbitmq_host,
        port=settings.rabbitmq_port,
        credentials=pika.PlainCredentials(settings.rabbitmq_user, settings.rabbitmq_pass),
        heartbeat=settings.rabbitmq_heartbeat,
        connection_attempts=1,  # the backoff here decides when to try again
        socket_timeout=5,
        stack_timeout=10,
        client_properties={"connection_name": name},
    )


class Link:
    """Keeps one connection to the broker open, with one channel for work and one for probes.

    `connection_class` is a pika adapter; every callback runs on its event loop.
    `on_ready(channel)` is called whenever the topology is declared and work can start,
    `on_lost()` whenever a connection that was ready is gone.
    """

    def __init__(self, connection_parameters: pika.ConnectionParameters,
                 connection_class: type[BaseConnection], retry_delays_ms: Iterable[int],
                 on_ready: Callable[[Channel], None], on_lost: Callable[[], None]):
        self._parameters = connection_parameters
        self._connection_class = connection_class
        self._retry_delays_ms = tuple(retry_delays_ms)
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._connection: BaseConnection | None = None
        self._failures = 0
        self._ready_since: float | None = None  # monotonic seconds; None while nothing can work
        self._restoring: set[str] = set()
        self._stopping = False
        self._on_stopped: Callable[[], None] = lambda: None
        self._blocked_at = 0.0  # monotonic seconds up to which a block is counted
        self.blocked = False  # the broker's memory or disk alarm holds publishers back
        self.last_error: str | None = "not connected yet"

    @property
    def ioloop(self):
        """The adapter's event loop; there once `start` was called."""
        return self._connection.ioloop

    @property
    def ready(self) -> bool:
        return self._ready_since is not None

    def start(self) -> None:
        # The first connection makes the event loop; the later ones must share it, or its pipe leaks.
        loop = self._connection.ioloop if self._connection else None
        self._connection = self._connection_class(
            self._parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._closed,
            on_close_callback=self._closed,
            custom_ioloop=loop,
        )

    def stop(self, then: Callable[[], None] = lambda: None) -> None:
        """Close for good, and call `then` when that is done, or when the broker has not answered in time.

        A second call does nothing.
        """
        if self._stopping:
            return
        self._stopping, self._on_stopped = True, then
        if self._connection.is_closed:
            then()
            return
        self.ioloop.call_later(CLOSE_SECONDS, then)
        if not self._connection.is_closing:
            self._connection.close()

    def restore(self, queue: str) -> None:
        """Declare a queue that somebody deleted; does nothing while that is under way already."""
        if queue in self._restoring or not self._connection.is_open:
            return
        self._restoring.add(queue)
        log.warning("checks whether a queue is missing", extra={"queue": queue})
        self._connection.channel(on_open_callback=lambda channel: topology.restore(
            channel, queue, self._retry_delays_ms, on_done=lambda: self._restoring.discard(queue)))

    @unless_closing
    def _opened(self, connection: BaseConnection) -> None:
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        connection.channel(on_open_callback=self._declare)

    @unless_closing
    def _declare(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        topology.declare(channel, self._retry_delays_ms, lambda: self._become_ready(channel))

    @unless_closing
    def _become_ready(self, channel: Channel) -> None:
        self._ready_since, self.last_error = time.monotonic(), None
        metrics.CONNECTIONS_OPEN.set(1)
        metrics.CONNECTIONS_ESTABLISHED.inc()
        log.info("broker connected", extra={"host": self._parameters.host, "port": self._parameters.port})
        self._connection.channel(on_open_callback=_Probe)
        self._count_bytes(self._connection, 0, 0)
        self._on_ready(channel)

    def _count_bytes(self, connection: BaseConnection, sent: int, received: int) -> None:
        """Add what crossed the connection since it had sent and received that much."""
        if not connection.is_open:
            return  # pika has set its counts back to 0: what crossed in the last two seconds is not known
        metrics.SENT_BYTES.inc(connection.bytes_sent - sent)
        metrics.RECEIVED_BYTES.inc(connection.bytes_received - received)
        self.ioloop.call_later(PROBE_INTERVAL_SECONDS, functools.partial(
            self._count_bytes, connection, connection.bytes_sent, connection.bytes_received))

    @unless_closing
    def _channel_closed(self, channel: Channel, reason: Exception) -> None:
        # A channel that the broker closed (a wrong declaration, say) is of no use: start afresh.
        if not self._stopping and channel.connection.is_open:
            log.error("channel closed by broker", extra={"error": str(reason)})
            channel.connection.close(reply_text="channel was closed")
            self.last_error = str(reason)

    def _closed(self, _connection: BaseConnection, error: BaseException) -> None:
        ready_since, self._ready_since = self._ready_since, None
        self._restoring.clear()
        self._set_blocked(False)
        metrics.CONNECTIONS_OPEN.set(0)
        if ready_since is not None:
            self._on_lost()
            # Not as soon as it is ready: over a link that breaks again and again, each new connection
            # delivers what the last one could not ack.
            if time.monotonic() - ready_since >= STABLE_SECONDS:
                self._failures = 0
        if self._stopping:
            self._on_stopped()
            return
        cause = _cause(error)
        self.last_error = cause.replace("_", " ")
        metrics.CONNECTION_LOSSES.labels(cause).inc()
        delay = backoff(self._failures)
        self._failures += 1
        log.warning("broker away", extra={
            "cause": cause, "error": str(error) or repr(error), "retry_in_seconds": round(delay, 2)})
        self.ioloop.call_later(delay, self._reconnect)

    def _reconnect(self) -> None:
        if not self._stopping:
            self.start()

    def _set_blocked(self, blocked: bool) -> None:
        if blocked == self.blocked:
            return
        log.warning("broker blocks publishers" if blocked else "broker unblocks publishers")
        self.blocked = blocked
        metrics.CONNECTION_BLOCKED.set(blocked)
        if blocked:
            self._blocked_at = time.monotonic()
            self._watch_block()
        else:
            self._count_blocked()

    def _watch_block(self) -> None:
        """Count on while it lasts: a counter that stands still would tell of no block."""
        if self.blocked:
            self._count_blocked()
            self.ioloop.call_later(BLOCKED_INTERVAL_SECONDS, self._watch_block)

    def _count_blocked(self) -> None:
        now = time.monotonic()
        metrics.BLOCKED_SECONDS.inc(now - self._blocked_at)
        self._blocked_at = now


class _Probe:
    """Measures the AMQP round trip: a request that changes nothing, on a channel of its own."""

    def __init__(self, channel: Channel):
        self._channel = channel
        self._asked_at: float | None = None
        self._tick()

    def _tick(self) -> None:
        if not self._channel.is_open:
            return
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._channel.basic_qos(prefetch_count=1, callback=self._answered)
        else:
            # Still no answer: its age is the best that is known of the round trip.
            metrics.ROUND_TRIP.set(time.monotonic() - self._asked_at)
        self._channel.connection.ioloop.call_later(PROBE_INTERVAL_SECONDS, self._tick)

    def _answered(self, _frame) -> None:
        seconds, self._asked_at = time.monotonic() - self._asked_at, None
        metrics.ROUND_TRIP.set(seconds)
        if seconds > SLOW_ROUND_TRIP_SECONDS:
            log.warning("broker answers late", extra={"round_trip_seconds": round(seconds, 3)})


def _cause(error: BaseException) -> str:
    """A short name for why a connection ended: a label, so from a closed list."""
    chain = list(_chain(error))
    return next((name for kind, name in _CAUSES.items() if any(isinstance(part, kind) for part in chain)),
                _OTHER_CAUSE)


def _chain(error: BaseException | None):
    """The error and what it wraps: pika's connection workflow nests the real cause."""
    while error is not None:
        yield error
        nested = getattr(error, "exceptions", None)
        error = nested[-1] if nested else getattr(error, "exception", None)
