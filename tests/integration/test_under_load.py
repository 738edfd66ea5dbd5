"""The services under load: a large backlog, a broker that is stuck."""

import itertools
import json
import os
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pika
import psutil
import pytest
import requests
from pika.adapters.select_connection import SelectConnection

from lab.campaign.ledgers import drain
from lab.grading.ledger import DEAD_LETTER_QUEUE
from lab.stack.baseline import Management
from services.messaging import topology
from services.messaging.confirms import ConfirmedChannel, Outcome
from tests.conftest import Lab, wait_until

MIB = 1024 * 1024

BACKLOG = int(os.environ.get("BACKLOG", "100000"))
# What the consumer may grow by however long the backlog is: allocators keep some of what was freed. A leak of
# 200 bytes a message shows with the 90,000 messages of the usual run; what is kept of a message is more than that.
MEMORY_GROWTH = 16 * MIB

STUCK_CLIENTS = 100
# Less than the confirm timeout, and enough for every worker to be given as much as it takes.
INSIST_SECONDS = 4
# The container's limit in docker-compose.yml.
PRODUCER_MEMORY = 256 * MIB


class Backlog:
    """Publishes messages straight to the broker, many at once: `publish` returns when all are confirmed."""

    WINDOW = 2000  # messages without a confirm

    def __init__(self, lab: Lab, count: int):
        self._numbers = iter(range(count))
        self._missing = count
        self._connection = SelectConnection(
            pika.ConnectionParameters("127.0.0.1", lab.settings.rabbitmq_port, credentials=pika.PlainCredentials(
                lab.settings.rabbitmq_user, lab.settings.rabbitmq_pass)),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._begin),
            on_close_callback=lambda connection, _error: connection.ioloop.stop())

    def publish(self) -> None:
        self._connection.ioloop.start()
        assert self._missing == 0, f"{self._missing} are not confirmed"

    def _begin(self, channel) -> None:
        self._channel = ConfirmedChannel(channel)
        for number in itertools.islice(self._numbers, self.WINDOW):
            self._publish(number)

    def _publish(self, number: int) -> None:
        one = f"backlog-{number}"
        self._channel.publish(
            topology.EXCHANGE, topology.QUEUE, json.dumps({"id": one, "payload": {"order": number}}).encode(),
            pika.BasicProperties(message_id=one, delivery_mode=pika.DeliveryMode.Persistent.value), self._answered)

    def _answered(self, outcome: Outcome) -> None:
        self._missing -= outcome is Outcome.CONFIRMED
        if (number := next(self._numbers, None)) is not None:
            self._publish(number)
        elif not self._channel.in_flight:
            self._connection.close()


@pytest.fixture
def idle_lab(lab):
    """The lab without its steady traffic, and with nothing left of it."""
    lab.stack.stop("traffic")
    assert drain(lab.settings) == {}
    return lab


def processed(lab: Lab) -> int:
    """How many lines the consumers' ledgers have."""
    return sum(path.read_bytes().count(b"\n") for path in lab.stack.ledger_dir().glob("processed-*.jsonl"))


def process_of(lab: Lab, name: str) -> psutil.Process:
    return psutil.Process(next(status.pid for status in lab.stack.status() if status.name == name))


@pytest.mark.racing
def test_a_backlog_is_drained_with_flat_memory(idle_lab):
    idle_lab.stack.stop("consumer-1")
    done_before = processed(idle_lab)
    Backlog(idle_lab, BACKLOG).publish()
    idle_lab.stack.start("consumer-1")
    consumer = process_of(idle_lab, "consumer-1")

    def drained(share: float) -> bool:
        return processed(idle_lab) - done_before >= share * BACKLOG

    wait_until(lambda: drained(0.1), BACKLOG / 100, "a tenth of the backlog")
    at_first, samples = consumer.memory_info().rss, []
    wait_until(lambda: samples.append(consumer.memory_info().rss) or drained(1), BACKLOG / 100, "the whole backlog")
    print(f"consumer: {at_first / MIB:.1f} MiB after a tenth, {max(samples) / MIB:.1f} MiB at most after that")
    assert max(samples) - at_first < MEMORY_GROWTH
    assert processed(idle_lab) - done_before == BACKLOG
    assert Management(idle_lab.settings).call("GET", "queues", "/", DEAD_LETTER_QUEUE).get("messages", 0) == 0


def post(lab: Lab, size: int = 1) -> requests.Response:
    """Post a message with a payload of so many bytes."""
    return requests.post(f"{lab.settings.producer_url}/produce", timeout=30,
                         json={"id": f"test-{uuid.uuid4()}", "payload": "x" * size})


def memory(lab: Lab) -> int:
    """The producer's bytes of memory, as a container is charged for them: what processes share counts once."""
    master = process_of(lab, "producer")
    return sum(process.memory_full_info().pss for process in [master, *master.children()])


def insist(lab: Lab, until: float) -> list[requests.Response]:
    """A client that takes no 503 for an answer: it posts a large message again and again."""
    answers = []
    while not answers or time.monotonic() < until:
        answers.append(post(lab, MIB - 200))
    return answers


def test_a_stuck_broker_costs_the_producer_bounded_memory(idle_lab):
    idle_lab.stack.restart("producer")  # what it has had so far is not this test's
    idle_lab.stack.pause("rabbitmq")
    try:
        with ThreadPoolExecutor(STUCK_CLIENTS) as pool:
            until = time.monotonic() + INSIST_SECONDS
            clients = [pool.submit(insist, idle_lab, until) for _ in range(STUCK_CLIENTS)]
            samples = []
            wait_until(lambda: samples.append(memory(idle_lab)) or all(client.done() for client in clients),
                       what="an answer for every client")
    finally:
        idle_lab.stack.resume("rabbitmq")
    answers = [answer for client in clients for answer in client.result()]
    statuses = Counter(answer.status_code for answer in answers)
    print(f"producer: {max(samples) / MIB:.0f} MiB at most; answers: {statuses}")
    assert set(statuses) == {503, 504}  # some had to wait for the broker, the others were sent away
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    assert max(samples) < PRODUCER_MEMORY
    wait_until(lambda: post(idle_lab).status_code == 201, what="201")
