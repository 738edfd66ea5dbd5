"""One message harms no other: hostile properties, lost connections and deleted queues, on a real broker."""

import json
import struct
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pika
import pytest
import requests

from lab.campaign.ledgers import drain
from lab.campaign.wire import block, entry, nested_tables, persistent
from lab.grading.ledger import lines
from lab.stack.baseline import Management
from lab.toxiproxy import toxiproxy
from services.messaging.topology import DEAD_LETTER_QUEUE, EXCHANGE, QUEUE, retry_queue
from tests.conftest import Lab, metric, private_lab, wait_until

FIRST_RETRY = retry_queue(1000)


@contextmanager
def broker(lab: Lab) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    parameters = pika.ConnectionParameters(
        "127.0.0.1", lab.settings.rabbitmq_port,
        credentials=pika.PlainCredentials(lab.settings.rabbitmq_user, lab.settings.rabbitmq_pass))
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def send(lab: Lab, body: bytes, properties: pika.BasicProperties | None = None, **named) -> None:
    """Publish past the producer."""
    properties = properties or pika.BasicProperties(delivery_mode=2, **named)
    with broker(lab) as channel:
        channel.basic_publish(EXCHANGE, QUEUE, body, properties, mandatory=True)


def order(seconds: float = 0) -> dict:
    return {"id": f"order-{uuid.uuid4()}", "payload": "x", "processing_time": seconds}


def post(lab: Lab, path: str, body: dict) -> int:
    return requests.post(f"{lab.settings.producer_url}{path}", json=body, timeout=30).status_code


def consumer(lab: Lab, name: str) -> float:
    return metric(f"http://127.0.0.1:{lab.settings.consumer_port}", name)


def depth(lab: Lab, queue: str) -> int | None:
    """Messages in the queue; None where there is no such queue."""
    with broker(lab) as channel:
        try:
            return channel.queue_declare(queue, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:
            return None


def processed(lab: Lab, event: str = "processed") -> Counter:
    """How often each id was processed, or came to that other end."""
    return Counter(line["id"] for line in lines(lab.stack.ledger_dir(), "processed-*.jsonl") if line["event"] == event)


def connections(lab: Lab) -> tuple[float, float]:
    """What must not grow: connections that the consumer lost, and deliveries that the broker repeated."""
    return consumer(lab, "amqp_connection_losses_total"), consumer(lab, "messages_redelivered_total")


def ends(lab: Lab) -> float:
    return consumer(lab, "messages_consumed_total") + consumer(lab, "messages_dead_lettered_total")


GOOD, TORN = b'{"id": "hostile", "payload": 1}', b'{"id": "hostile", "pay'
TIMESTAMPS = [struct.pack(">Q", number) for number in (1767225600000, 2**63, 2**64 - 1)]
RAW_HEADERS = [
    *(entry(b"when", b"T" + number) for number in TIMESTAMPS),
    entry(b"deep", nested_tables(4000)),
    entry(b"list", b"A" + block(b"t\x01" * 1000)),
    entry(b"\xff\xfe", b"S" + block(b"\xff")),
    entry(b"", b"V") + entry(b"", b"V"),
    entry(b"short", b"s\xff\xff") + entry(b"after", b"u\xff\xff"),
    entry(b"pi", b"D" + struct.pack(">Bi", 200, 314)) + entry(b"double", b"d" + struct.pack(">d", 1e300)),
]
PROPERTIES = [
    {"message_id": "Müller-1".encode("latin-1"), "app_id": b"\xff", "type": b"\xfe", "correlation_id": b"\xfd"},
    {"message_id": b"\xff" * 255},
    {"message_id": "two\nlines\x1b[31m"},
    {"timestamp": 1767225600000}, {"timestamp": 2**64 - 1}, {"timestamp": 0},
    {"headers": {"x-big": "a" * 130_960}},
    {"headers": {f"header-{number}": "a" * 1000 for number in range(120)}},
    {"headers": {"CC": ["messages.dlq"], "BCC": ["messages.dlq"]}},
    {"headers": {"x-death": "forged"}},
    {"headers": {"x-death": [{"queue": "messages", "reason": "expired", "count": 5}]}},
    {"headers": {"x-attempt": 2**62, "x-published-at-ms": -1, "x-delivery-count": 19, "x-publish-tag": "?"}},
    {"reply_to": "amq.rabbitmq.reply-to.forged", "priority": 255, "content_encoding": "gzip"},
]
BODIES = [
    b"", b"\xef\xbb\xbf{}", b"[" * 100_000, GOOD.decode().encode("utf-16"), b'{"id": "hostile", "payload": 1e999}',
    json.dumps({f"key-{number}": 1 for number in range(50_000)}).encode(),
]


@pytest.mark.racing
def test_no_message_costs_its_neighbours_their_delivery(lab):
    lab.stack.stop("traffic")
    assert drain(lab.settings) == {}
    before = wait_until(lambda: (ends(lab), connections(lab)), what="the consumer")
    orders = [order(seconds=2) for _ in range(8)]
    assert post(lab, "/batch-produce", {"messages": orders}) == 201
    sent = 0
    for body in (GOOD, TORN):
        for header in RAW_HEADERS:
            send(lab, body, persistent(header))
            sent += 1
        for properties in PROPERTIES:
            send(lab, body, **properties)
            sent += 1
    for body in BODIES:
        send(lab, body)
        sent += 1
    ended, (losses, redelivered) = before
    wait_until(lambda: ends(lab) >= ended + len(orders) + sent, what="an end of every message")
    assert connections(lab) == (losses, redelivered)
    assert [processed(lab)[one["id"]] for one in orders] == [1] * len(orders)


def test_a_publish_time_in_the_future_does_not_count(lab):
    for number in (1767225600000, 2**63, 2**64 - 1):
        consumed = consumer(lab, "messages_consumed_total")
        send(lab, GOOD, timestamp=number)
        send(lab, GOOD, headers={"x-published-at-ms": min(number, 2**63 - 1)})
        wait_until(lambda consumed=consumed: consumer(lab, "messages_consumed_total") >= consumed + 2, what="processing")
    assert consumer(lab, "last_processed_publish_timestamp_seconds") <= consumer(lab, "last_success_timestamp_seconds")


def test_a_copy_takes_no_headers_along_that_the_broker_acts_on(lab):
    """A retry with an x-death of the first publisher's would be dropped as a cycle, one with BCC go elsewhere, too."""
    lab.stack.stop("traffic")
    lab.command("set", "CONSUMER_FAILURE_RATE=1")
    lab.command("set", "MAX_ATTEMPTS=2")
    lab.command("restart", "consumer")
    with broker(lab) as channel:
        channel.queue_declare("elsewhere")
        try:
            send(lab, b'{"id": "cycle", "payload": 1}',
                 headers={"x-death": [{"queue": QUEUE, "reason": "expired", "count": 5}]})
            send(lab, b'{"id": "copies", "payload": 1}', headers={"BCC": ["elsewhere"]})
            wait_until(lambda: {"cycle", "copies"} <= set(processed(lab, "dead-lettered")), what="two dead letters")
            # The exchange of the original has no way there; the default one, which retries cross, has one to every queue.
            assert channel.queue_declare("elsewhere", passive=True).method.message_count == 0
        finally:
            channel.queue_delete("elsewhere")


@pytest.mark.parametrize("queue", [FIRST_RETRY, DEAD_LETTER_QUEUE])
def test_a_queue_for_copies_that_was_deleted_is_declared_again(lab, queue):
    # Under load the broker itself may fail and close the connection: RabbitMQ 3.10 does where a publish meets a deletion.
    lab.stack.stop("traffic")
    assert drain(lab.settings) == {}
    lab.command("set", "CONSUMER_FAILURE_RATE=1")
    lab.command("set", "MAX_ATTEMPTS=2")
    lab.command("restart", "consumer")
    wait_until(lambda: consumer(lab, "amqp_connections_open"), what="the consumer's connection")
    losses = consumer(lab, "amqp_connection_losses_total")
    with broker(lab) as channel:
        channel.queue_delete(queue)
    wait_until(lambda: post(lab, "/produce", order()) == 201 and depth(lab, queue), what="a message in the queue")
    assert consumer(lab, "amqp_connection_losses_total") == losses


def test_a_dead_letter_queue_that_was_unbound_is_left_as_it_is(lab):
    lab.stack.stop("traffic")
    refused = "republish refused"
    with broker(lab) as channel:
        channel.queue_unbind(DEAD_LETTER_QUEUE, "messages.dlx")
        send(lab, TORN)
        wait_until(lambda: refused in lab.command("logs", "consumer").stdout, what="a refusal")
        bindings = Management(lab.settings).call("GET", "bindings", "/", "e", "messages.dlx", "q", DEAD_LETTER_QUEUE)
        assert bindings == []
        channel.queue_bind(DEAD_LETTER_QUEUE, "messages.dlx")
        wait_until(lambda: depth(lab, DEAD_LETTER_QUEUE), what="the dead letter")


@pytest.mark.parametrize("delete", [
    pytest.param(lambda channel: channel.exchange_delete(EXCHANGE), id="exchange"),
    pytest.param(lambda channel: channel.queue_delete(QUEUE), id="queue"),
])
def test_what_is_deleted_under_load_is_declared_again_and_clients_get_true_answers(lab, delete):
    lab.command("set", "CONSUMER_FAILURE_RATE=0.3")
    lab.command("restart", "consumer")
    pids = [one.pid for one in lab.stack.status() if one.name.startswith("consumer")]
    link = toxiproxy(lab.stack).get_proxy("producer-link")
    link.add_toxic(name="slow", type="latency", attributes={"latency": 100})
    over, answers = threading.Event(), Counter()

    def client(path: str, count: int) -> None:
        while not over.is_set():
            body = order() if path == "/produce" else {"messages": [order() for _ in range(count)]}
            answers[post(lab, path, body)] += 1

    clients = [threading.Thread(target=client, args=("/produce" if number % 2 else "/batch-produce", 10))
               for number in range(12)]
    try:
        for thread in clients:
            thread.start()
        for _ in range(3):
            confirmed = answers[201]
            wait_until(lambda confirmed=confirmed: answers[201] > confirmed + 20, what="confirmed requests")
            with broker(lab) as channel:
                delete(channel)
        confirmed = answers[201]
        wait_until(lambda: answers[201] > confirmed + 20, what="confirmed requests afterwards")
    finally:
        over.set()
        for thread in clients:
            thread.join()
        link.destroy_toxic("slow")
    assert set(answers) <= {201, 207, 503, 504}
    assert [one.pid for one in lab.stack.status() if one.name.startswith("consumer")] == pids


def test_a_link_that_breaks_more_often_than_a_message_takes_does_not_stop_the_work(lab):
    lab.stack.stop("traffic")
    link = toxiproxy(lab.stack).get_proxy("consumer-link")
    orders = [order(seconds=4) for _ in range(12)]
    assert post(lab, "/batch-produce", {"messages": orders}) == 201

    def are_done() -> bool:
        return all(processed(lab)[one["id"]] for one in orders)

    while not are_done():
        wait_until(lambda: consumer(lab, "messages_in_flight") or are_done(), what="a delivery, or the end of all work")
        link.disable()
        link.enable()
    assert [processed(lab)[one["id"]] for one in orders] == [1] * len(orders)
    wait_until(lambda: depth(lab, QUEUE) == 0 and not consumer(lab, "messages_in_flight"), what="an ack of each")


def test_a_prefetch_beyond_the_brokers_patience_is_worked_off(tmp_path_factory):
    """The broker closes the channel of a consumer that does not ack in time; what it had begun must not be in vain."""
    folder = tmp_path_factory.mktemp("impatient")
    with private_lab(folder, CONSUMER_PREFETCH=200, LAB_TRAFFIC_RATE=1) as lab:
        lab.command("up")
        lab.stack.stop("traffic")
        for setting in ("consumer_timeout, 6000", "channel_tick_interval, 1000"):
            lab.command("exec", "rabbitmq", "rabbitmqctl", "eval", f"application:set_env(rabbit, {setting}).")
        lab.command("restart", "consumer")
        orders = [order(seconds=2) for _ in range(24)]
        assert post(lab, "/batch-produce", {"messages": orders}) == 201
        wait_until(lambda: all(processed(lab)[one["id"]] for one in orders), seconds=120, what="processing")
        assert consumer(lab, "amqp_connection_losses_total") > 0
        assert max(processed(lab)[one["id"]] for one in orders) <= 2
