"""Confirmed `POST /produce` under many connections, against the frameworks that do the same."""

from collections.abc import Callable

from benchmarks.broker import broker
from benchmarks.contenders import AIO_PIKA, CONSTANT, OURS, SERVERS, running
from benchmarks.method import Options, Row, interleave

CONNECTIONS = (32, 128)
GOALS = {CONSTANT: 0.8, AIO_PIKA: 1.25}
AHEAD = 1.0


def run(options: Options, progress: Callable[[str], None]) -> list[Row]:
    rows = []
    with broker() as private, running(private, *SERVERS) as contenders:
        for connections in CONNECTIONS:
            progress(f"{connections} connections")
            series = interleave(options.rounds, {
                name: lambda one=one: one.load(connections, options.seconds)
                for name, one in contenders.items()}, "messages/s", progress)
            rows += [Row(f"POST /produce, {connections} connections", name, "messages/s", series[OURS],
                         series[name], GOALS.get(name, AHEAD))
                     for name in SERVERS if name != OURS]
    return rows
