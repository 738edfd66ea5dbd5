"""What Prometheus derives from what strangers send, on a real broker: freshness, and every way into the dead-letter queue."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pika
import pytest
import yaml

from lab import slo
from tests.conftest import Lab, wait_until

IN_MILLISECONDS = 1_767_225_600_000
DEPTH = 'rabbitmq_detailed_queue_messages{queue="messages.dlq"}'
# The broker reports a queue every 5 s; then come a scrape and an evaluation.
SEEN_SECONDS = 45


@pytest.fixture
def broker(lab: Lab) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", lab.settings.rabbitmq_port,
            credentials=pika.PlainCredentials(lab.settings.rabbitmq_user, lab.settings.rabbitmq_pass))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@pytest.fixture
def poisoned_consumer(lab: Lab) -> Iterator[None]:
    """Another consumer in Prometheus' eyes: its newest publish time is in milliseconds."""
    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"last_processed_publish_timestamp_seconds {IN_MILLISECONDS}\n".encode())

        def log_message(self, *_arguments):
            pass

    targets = lab.settings.run_dir / "prometheus" / "targets" / "traffic.yml"
    before = targets.read_text(encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        targets.write_text(yaml.safe_dump([*yaml.safe_load(before), {"targets": [f"127.0.0.1:{server.server_port}"]}]), encoding="utf-8")
        poison = f"last_processed_publish_timestamp_seconds == {IN_MILLISECONDS}"
        wait_until(lambda: lab.prometheus.vector(poison), what="a scrape of the poisoned consumer")
        yield
        targets.write_text(before, encoding="utf-8")
        server.shutdown()


def send(broker, count: int, exchange: str = "messages", key: str = "messages", **properties) -> None:
    for number in range(count):
        body = f'{{"id": "sent-{time.time_ns()}-{number}", "payload": "x", "processing_time": 1}}'.encode()
        broker.basic_publish(exchange, key, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)


def freshness(lab: Lab) -> slo.Reading:
    [reading] = [reading for reading in slo.read(lab.prometheus) if reading.slo.name == "freshness"]
    return reading


def dead_lettered(lab: Lab, reason: str) -> int:
    return round(lab.prometheus.value(f'queue:dead_letters:increase1m{{reason="{reason}"}}') or 0)


def arrived(lab: Lab) -> int:
    """By the length of the queue."""
    return round(lab.prometheus.value("queue:dead_letters_arrived:increase1m"))


def test_times_in_the_future_do_not_hide_that_processing_has_stopped(lab, broker, poisoned_consumer):
    send(broker, 1, timestamp=IN_MILLISECONDS, headers={"x-published-at-ms": 1000 * IN_MILLISECONDS})
    lab.command("stop", "consumer")
    wait_until(lambda: (freshness(lab).value or 0) > 30, 90, "a lag of 30 s")
    assert not freshness(lab).holds
    lab.command("start", "consumer")
    wait_until(lambda: freshness(lab).holds, what="a fresh queue")


def reject(lab: Lab, broker) -> None:
    lab.command("stop", "consumer")
    send(broker, 3)
    for _ in range(3):
        method, _properties, _body = broker.basic_get("messages")
        broker.basic_reject(method.delivery_tag, requeue=False)


def publish_straight(_lab: Lab, broker) -> None:
    send(broker, 3, exchange="messages.dlx")


def expire_one_by_one(_lab: Lab, broker) -> None:
    """At least once. The consumers have work for some seconds with the first ones; a queue expires messages at its head only."""
    send(broker, 100, expiration="200")


def expire_by_policy(lab: Lab, broker) -> None:
    """At most once, as a policy has it that does not ask for more. It applies to what is published after it."""
    lab.command("exec", "rabbitmq", "rabbitmqctl", "set_policy", "short", "^messages$",
                '{"message-ttl": 100, "dead-letter-exchange": "messages.dlx"}', "--priority", "10")
    lab.command("stop", "consumer")
    send(broker, 3)


@pytest.mark.parametrize("act, reason", [
    (reject, "rejected"), (publish_straight, "other"), (expire_one_by_one, "expired"), (expire_by_policy, "expired"),
])
def test_every_way_into_the_dead_letter_queue_has_its_reason(lab: Lab, broker, act: Callable, reason: str):
    wait_until(lambda: lab.prometheus.value(DEPTH) == 0, SEEN_SECONDS, "the purge by the last case's reset")
    wait_until(lambda: dead_lettered(lab, reason) == 0, 90, "a minute without the last case's dead letters")
    act(lab, broker)
    wait_until(lambda: dead_lettered(lab, reason) >= 3, SEEN_SECONDS, f"3 dead letters, reason {reason}")
    wait_until(lambda: lab.prometheus.value(DEPTH) >= 3, SEEN_SECONDS, "3 messages in the queue, by its length")
    alert = f'ALERTS{{alertname="DeadLettersArriving", alertstate="firing", reason="{reason}"}}'
    wait_until(lambda: lab.prometheus.vector(alert), SEEN_SECONDS, "the alert")


def test_looking_at_dead_letters_and_replaying_them_is_no_arrival(lab: Lab, broker):
    send(broker, 3, exchange="messages.dlx", message_id="straight")
    wait_until(lambda: arrived(lab) >= 3, SEEN_SECONDS, "3 arrivals")
    wait_until(lambda: arrived(lab) == 0, 120, "a minute without arrivals")
    lab.command("dlq", "list")
    lab.command("dlq", "show", "straight")
    lab.command("dlq", "replay", "--all")
    wait_until(lambda: lab.prometheus.value(DEPTH) == 0, SEEN_SECONDS, "an empty dead-letter queue")
    assert arrived(lab) == 0
