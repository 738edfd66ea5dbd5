"""Metrics of the connection to the broker, the same in both services."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, disable_created_metrics

disable_created_metrics()  # nobody asks for the _created series


def from_zero(counter: Counter, values: Iterable) -> Counter:
    """Make the series of every value of the only label, so that rate() sees their first increase."""
    for value in values:
        counter.labels(value)
    return counter


# The multiprocess modes hold for the producer, whose worker processes share one exposition.
CONNECTIONS_OPEN = Gauge(
    "amqp_connections_open", "Connections to the broker that are ready for work.",
    multiprocess_mode="livesum")
CONNECTIONS_ESTABLISHED = Counter(
    "amqp_connections_established", "Connections to the broker that became ready for work.")
CONNECTION_BLOCKED = Gauge(
    "amqp_connection_blocked", "1 while the broker holds publishers back (memory or disk alarm).",
    multiprocess_mode="livemax")
SENT_BYTES = Counter("amqp_sent_bytes", "Bytes sent to the broker, over whatever link.")
RECEIVED_BYTES = Counter("amqp_received_bytes", "Bytes received from the broker, over whatever link.")
BLOCKED_SECONDS = Counter(
    "amqp_connection_blocked_seconds", "Time for which the broker held publishers back.")
CONNECTION_LOSSES = Counter(
    "amqp_connection_losses", "Connections lost and attempts that failed, by cause.", ["cause"])
ROUND_TRIP = Gauge(
    "amqp_round_trip_seconds", "Time of the last AMQP request and its reply, or the age of one unanswered.",
    multiprocess_mode="livemax")
