"""Where each message is, on a real lab: what `lab ledger` says while messages wait, and what a reset finds of them."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pika
import pytest
import requests

from lab.amqp import parameters
from lab.engine.reset import emptied_at
from lab.grading import ledger
from lab.grading.ledger import CONFIRM_SECONDS, Account, Ledgers
from services.messaging import topology
from tests.conftest import Lab, wait_until

EXIT_LOSS = 3
BACKLOG = 60
LONG_SECONDS = 300  # longer than any reset takes: its first part lets the consumer work


def ids(count: int) -> list[str]:
    return [f"order-{uuid.uuid4()}" for _number in range(count)]


def post(lab: Lab, messages: list[str], seconds: float = 0) -> None:
    answer = requests.post(f"{lab.settings.producer_url}/batch-produce", timeout=30, json={"messages": [
        {"id": one, "payload": 1, "processing_time": seconds} for one in messages]})
    assert answer.status_code == 201, answer.text


def since(lab: Lab) -> float:
    """From when on `lab ledger` counts."""
    return emptied_at(lab.settings) + CONFIRM_SECONDS


def ledgers(lab: Lab) -> Ledgers:
    return ledger.read(lab.stack.ledger_dir(), since(lab), time.time())


def backlog_without_consumer(lab: Lab) -> None:
    """The consumer is stopped, and clients have sent more than a handful since."""
    lab.command("stop", "consumer")
    wait_until(lambda: len(ledgers(lab).unaccounted) > BACKLOG, what="a backlog")


def events_of(lab: Lab, messages: list[str]) -> set[str]:
    return {line["event"] for line in ledger.lines(lab.stack.ledger_dir(), "processed-*.jsonl") if line["id"] in messages}


def found(lab: Lab, messages: list[str], begin: float) -> set[str]:
    """Those of the messages that a stocktaking since `begin` has found."""
    return ledger.stock(lab.stack.ledger_dir(), begin).found.keys() & set(messages)


def state(lab: Lab, queue: str) -> tuple[int, int]:
    """How many messages are ready, and how many consumers there are."""
    with broker(lab) as channel:
        now = channel.queue_declare(queue, passive=True).method
        return now.message_count, now.consumer_count


@contextmanager
def broker(lab: Lab) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with pika.BlockingConnection(parameters(lab.settings, "test")) as connection:
        yield connection.channel()


# -- while messages wait --------------------------------------------------------------------------


def test_a_stopped_consumer_is_never_taken_for_a_loss(lab):
    lab.command("stop", "consumer")
    waiting: list[int] = []

    def look() -> bool:
        for found in (ledger.account(lab.settings, lab.stack, since(lab)), ledger.settled(lab.settings, lab.stack, since(lab))):
            assert found.intact, found
            waiting.append(found.unknown)
        return max(waiting) > 3 * BACKLOG

    wait_until(look, 120, "a long backlog")
    assert " lost  " in lab.command("ledger").stdout


def test_a_purge_is_a_loss_whatever_lies_in_a_queue_that_is_not_the_labs(lab):
    with broker(lab) as channel:
        channel.queue_declare("junk", durable=True)
        channel.confirm_delivery()
        for _number in range(400):
            channel.basic_publish("", "junk", b"1")
    backlog_without_consumer(lab)
    lab.command("exec", "rabbitmq", "rabbitmqctl", "purge_queue", "messages")
    lab.command("start", "consumer")
    done = lab.command("ledger", check=False)
    assert done.returncode == EXIT_LOSS, done.stdout + done.stderr
    with broker(lab) as channel:
        channel.queue_delete("junk")


def test_what_cannot_be_counted_is_unknown_until_the_reset_has_looked(lab):
    backlog_without_consumer(lab)
    lab.command("exec", "rabbitmq", "rabbitmqctl", "purge_queue", "messages")
    begin, until = since(lab), time.time()
    purged = len(ledgers(lab).unaccounted)
    lab.command("exec", "rabbitmq", "rabbitmq-plugins", "disable", "rabbitmq_management")
    try:
        unknown = ledger.settled(lab.settings, lab.stack, begin)
        assert unknown.intact and unknown.unknown >= purged
    finally:
        lab.command("exec", "rabbitmq", "rabbitmq-plugins", "enable", "rabbitmq_management")
    lab.command("reset")
    final: Account = ledger.completed(lab.stack.ledger_dir(), begin, until)
    assert final.unknown == 0 and final.lost >= BACKLOG and set(final.lost_examples)


# -- what a reset leaves --------------------------------------------------------------------------


def test_what_is_in_work_at_a_reset_is_found_and_never_processed(lab):
    begin, slow = time.time(), ids(8)
    post(lab, slow, seconds=LONG_SECONDS)
    wait_until(lambda: state(lab, topology.QUEUE)[0] == 0, what="delivery")
    lab.command("reset")
    assert found(lab, slow, begin) == set(slow)
    [after] = ids(1)
    post(lab, [after])
    wait_until(lambda: events_of(lab, [after]), what="processing of what came after the reset")
    assert events_of(lab, slow) == set()
    assert state(lab, topology.QUEUE)[1] == 1


def test_a_backlog_is_found_wherever_it_waits(lab):
    lab.command("stop", "consumer")
    begin, waiting = time.time(), ids(40)
    post(lab, waiting[:20], seconds=LONG_SECONDS)
    with broker(lab) as channel:
        channel.confirm_delivery()
        for queue, some in ((topology.retry_queue(8000), waiting[20:30]), (topology.DEAD_LETTER_QUEUE, waiting[30:])):
            for one in some:
                channel.basic_publish("", queue, b"\xff", pika.BasicProperties(message_id=one, delivery_mode=2))
        channel.basic_publish("", topology.QUEUE, b"\x00")
    lab.command("reset")
    assert found(lab, waiting, begin) == set(waiting)
    assert state(lab, topology.DEAD_LETTER_QUEUE)[0] == 0


def test_what_another_reader_holds_is_found_too(lab):
    begin, kept = time.time(), ids(5)
    with pika.BlockingConnection(parameters(lab.settings, "hoarder")) as hoarder:
        channel = hoarder.channel()
        channel.confirm_delivery()
        for one in kept:
            channel.basic_publish("", topology.DEAD_LETTER_QUEUE, b"{}", pika.BasicProperties(message_id=one))
        channel.basic_consume(topology.DEAD_LETTER_QUEUE, lambda *_delivery: None)
        hoarder.process_data_events(1)
        lab.command("reset")
        with pytest.raises(pika.exceptions.AMQPError):
            wait_until(lambda: hoarder.process_data_events(1), what="the end of its connection")
    assert found(lab, kept, begin) == set(kept)


def test_what_the_broker_could_not_route_is_found_once_it_can(lab):
    begin, stuck = time.time(), ids(3)
    with broker(lab) as channel:
        channel.queue_unbind(topology.QUEUE, topology.EXCHANGE, topology.QUEUE)
        channel.confirm_delivery()
        for one in stuck:
            channel.basic_publish("", topology.retry_queue(1000), b"{}", pika.BasicProperties(message_id=one))
    url = f"{lab.settings.management_url}/api/queues/%2F/{topology.retry_queue(1000)}"
    credentials = (lab.settings.rabbitmq_user, lab.settings.rabbitmq_pass)
    wait_until(lambda: requests.get(url, auth=credentials, timeout=10).json().get("messages_dlx"), what="held messages")
    lab.command("reset")
    assert found(lab, stuck, begin) == set(stuck)


def test_a_queue_that_poses_as_the_labs_and_cannot_be_read_stops_no_reset(lab):
    name = topology.retry_queue(7)
    with broker(lab) as channel:
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "stream"})
        channel.confirm_delivery()
        channel.basic_publish("", name, b"1")
    lab.command("reset")
    assert state(lab, topology.QUEUE)[1] == 1
