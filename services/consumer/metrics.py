"""Metrics of the consumer. The first three names are fixed by the specification."""

from prometheus_client import Counter, Gauge, Histogram

from services.messaging.metrics import from_zero
from services.messaging.schema import POISON_REASONS

CONSUMED = Counter("messages_consumed", "Messages processed with success.")
PROCESSING_SECONDS = Histogram(
    "message_processing_duration_seconds", "Time of one attempt to process a message.")
PROCESSING_ERRORS = from_zero(Counter(
    "message_processing_errors", "Attempts that failed, by reason.", ["reason"]), (*POISON_REASONS, "handler"))
RETRIED = Counter("messages_retried", "Messages sent to a delay queue, by the attempt that failed.", ["attempt"])
DEAD_LETTERED = from_zero(Counter(
    "messages_dead_lettered", "Messages sent to the dead-letter queue, by reason.", ["reason"]),
    (*POISON_REASONS, "attempts_exhausted"))
REDELIVERED = Counter("messages_redelivered", "Deliveries that the broker had made before.")
END_TO_END_SECONDS = Histogram(
    "message_end_to_end_seconds", "Time from the first publish to the end of processing.",
    buckets=(.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300))
WATERMARK = Gauge(
    "last_processed_publish_timestamp_seconds", "Newest publish time among the processed messages.")
LAST_SUCCESS = Gauge("last_success_timestamp_seconds", "When a message was last processed with success.")
BUILD = Gauge("consumer_build_info", "The release that runs; always 1.", ["release"])
PREFETCH = Gauge("consumer_prefetch", "How many unacked messages the broker may send.")
IN_FLIGHT = Gauge("messages_in_flight", "Messages delivered and not yet acked.")
