"""How fast one consumer process empties a full queue, everything on (retries, ledger, metrics)."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.broker import PEERS_QUEUE, QUEUE, Broker, broker
from benchmarks.method import Invalid, Options, Row, interleave
from benchmarks.peers_python import peers_python
from lab.settings import ROOT

OUR_PREFETCH = 1000
WINDOW = 1000
TASKS_SHARE = 5  # Celery and Dramatiq fill and drain a fifth of the messages: rates are compared
SAMPLE_SECONDS = 0.02
STALL_SECONDS = 60


@dataclass(frozen=True)
class Consumer:
    """One consumer, and the ways of starting it of which the best counts."""

    variants: list[list[str]]
    queue: str = PEERS_QUEUE
    fill: str | None = None  # Python that publishes one task with the peer's own API; else a bare publisher fills
    environment: tuple[tuple[str, str], ...] = ()


def _module(*argv: str) -> list[str]:
    return [peers_python(), "-m", *argv]


def _consumers() -> dict[str, Consumer]:
    celery = ["celery", "-A", "benchmarks.peers.flask_celery:celery", "worker", "--loglevel", "ERROR",
              "--without-gossip", "--without-mingle", "--without-heartbeat"]
    dramatiq = ["dramatiq", "benchmarks.peers.flask_dramatiq", "--processes", "1", "--threads"]
    return {
        "ours": Consumer(
            [[sys.executable, str(ROOT / "services/consumer/app.py")]], QUEUE,
            environment=(("CONSUMER_PREFETCH", str(OUR_PREFETCH)), ("CONSUMER_NAME", "benchmark"))),
        "a bare pika consumer, prefetch 100, 300 or 1000": Consumer(
            [_module("benchmarks.peers.consume_pika", prefetch) for prefetch in ("100", "300", "1000")]),
        "aio-pika, prefetch 100 or 1000": Consumer(
            [_module("benchmarks.peers.consume_aio_pika", prefetch) for prefetch in ("100", "1000")]),
        "Celery, solo or 4 threads": Consumer(
            [_module(*celery, "--pool", "solo"), _module(*celery, "--pool", "threads", "--concurrency", "4")],
            "benchmark-celery", "from benchmarks.peers.flask_celery import process; publish = process.delay"),
        "Dramatiq, 1 or 8 threads": Consumer(
            [_module(*dramatiq, "1"), _module(*dramatiq, "8")], "benchmark-dramatiq",
            "from benchmarks.peers.flask_dramatiq import process; publish = process.send",
            (("dramatiq_queue_prefetch", "100"),)),
    }


def run(options: Options, progress: Callable[[str], None]) -> list[Row]:
    consumers = _consumers()
    with broker() as private:
        series = interleave(options.rounds, {
            name: lambda one=one: max(_drain(private, one, argv, options.messages) for argv in one.variants)
            for name, one in consumers.items()}, "messages/s", progress)
    ours, bare, *others = series
    return [Row(f"drain of {options.messages:,} messages, our prefetch {OUR_PREFETCH}", name, "messages/s",
                series[ours], series[name], goal=0.8 if name == bare else 1.0)
            for name in (bare, *others)]


def _drain(private: Broker, consumer: Consumer, argv: list[str], messages: int) -> float:
    environment = {"AMQP_URL": private.url, "LEDGER_DIR": str(private.settings.ledger_dir), **dict(consumer.environment)}
    if consumer.fill:
        messages //= TASKS_SHARE
        servers.output([peers_python(), "-c", f"{consumer.fill}\nfor order in range({messages}):\n"
                        "    publish({'id': str(order), 'payload': {'order': order}})"], environment)
    else:
        private.publish_bare(consumer.queue, messages, WINDOW, "dated")
    if (stored := private.count(consumer.queue)) != messages:
        raise Invalid(f"{messages} messages were published, {stored} are in the queue")
    with servers.process(private.settings, "consumer", argv, environment) as process:
        rate = _measure(private, consumer.queue, messages, process)
    # Stopping gave back what was not acked.
    if left := private.count(consumer.queue):
        private.purge(consumer.queue)
        raise Invalid(f"{left} of {messages} messages were not acked")
    return rate


def _measure(private: Broker, queue: str, messages: int, process: subprocess.Popen) -> float:
    """Messages a second between 95 % and 5 % of the queue: neither start-up nor prefetch count."""
    samples: list[tuple[float, int]] = []
    progressed = time.monotonic()
    while not samples or samples[-1][1] > 0:
        count = private.count(queue)
        if samples and count < samples[-1][1]:
            progressed = time.monotonic()
        samples.append((time.perf_counter(), count))
        if process.poll() is not None or time.monotonic() > progressed + STALL_SECONDS:
            raise Invalid(f"the consumer stands still: {servers.log_tail(private.settings, 'consumer')}")
        time.sleep(SAMPLE_SECONDS)
    time.sleep(1)  # for the acks of what is in flight
    steady = [sample for sample in samples if messages * 0.05 <= sample[1] <= messages * 0.95]
    if len(steady) < 2:
        raise Invalid("it was drained too fast to be measured")
    (began, most), (ended, least) = steady[0], steady[-1]
    return (most - least) / (ended - began)
