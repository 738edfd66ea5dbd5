"""`POST /batch-produce` of 100 messages, against a bare pika publisher with pipelined confirms."""

from collections.abc import Callable

from benchmarks import wrk
from benchmarks.broker import PEERS_QUEUE, broker
from benchmarks.contenders import OURS, running
from benchmarks.method import Options, Row, interleave

BATCH = 100
CONNECTIONS = 8
WINDOWS = (1000, 5000)  # unconfirmed messages of the bare publisher; the better one counts
BARE = f"a bare pika publisher, window {' or '.join(map(str, WINDOWS))}"


def run(options: Options, progress: Callable[[str], None]) -> list[Row]:
    with broker() as private, running(private, OURS) as contenders:
        ours = contenders[OURS]

        def batches() -> float:
            rate, answers = wrk.requests_per_second(
                f"{ours.url}/batch-produce", CONNECTIONS, options.seconds, BATCH)
            ours.check_and_purge(answers * BATCH)
            return rate * BATCH

        def bare() -> float:
            rates = []
            for window in WINDOWS:
                rates.append(private.publish_bare(PEERS_QUEUE, options.messages, window))
                private.purge(PEERS_QUEUE)
            return max(rates)

        series = interleave(options.rounds, {OURS: batches, BARE: bare}, "messages/s", progress)
    return [Row(f"POST /batch-produce of {BATCH}, {CONNECTIONS} connections", BARE, "messages/s",
                series[OURS], series[BARE], goal=0.8)]
