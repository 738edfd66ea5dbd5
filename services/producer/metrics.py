"""Metrics of the producer. The first two names are fixed by the specification."""

import functools
import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

PRODUCED = Counter("messages_produced", "Messages that the broker confirmed.")
REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds", "Time to answer a request.", ["method", "route", "status"])
# Its reasons are those of `publisher.Result`.
PUBLISH_FAILURES = Counter(
    "messages_publish_failures", "Messages that were not confirmed, by reason.", ["reason"])
CONFIRM_SECONDS = Histogram(
    "publish_confirm_duration_seconds", "Time from publish to the broker's confirm.")
IN_FLIGHT = Gauge(
    "messages_in_flight", "Messages published and not yet answered by the broker.",
    multiprocess_mode="livesum")


# Remembers the series: to look one up costs more than to observe.
request_seconds = functools.cache(REQUEST_SECONDS.labels)


def exposition() -> bytes:
    """All workers' metrics in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)
