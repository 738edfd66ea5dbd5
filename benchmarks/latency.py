"""p99 of `POST /produce` at a fixed rate: half of what the slower of both can do."""

import json
import sys
from collections.abc import Callable

from benchmarks import servers
from benchmarks.broker import broker
from benchmarks.contenders import AIO_PIKA, OURS, Contender, running
from benchmarks.method import Invalid, Options, Row, interleave

PEAK_CONNECTIONS = 128


def run(options: Options, progress: Callable[[str], None]) -> list[Row]:
    with broker() as private, running(private, OURS, AIO_PIKA) as contenders:
        peaks = interleave(options.rounds, {
            name: lambda one=one: one.load(PEAK_CONNECTIONS, options.seconds) for name, one in contenders.items()},
            "messages/s at the peak", progress)
        if problem := next((peak.problem for peak in peaks.values() if peak.problem), None):
            raise Invalid(problem)
        rate = round(min(max(peak.values) for peak in peaks.values()) / 2)
        series = interleave(options.rounds, {
            name: lambda one=one: _p99(one, rate, options.seconds) for name, one in contenders.items()},
            f"ms at {rate} messages/s", progress)
    return [Row(f"p99 of POST /produce at {rate} messages/s", AIO_PIKA, "ms", series[OURS], series[AIO_PIKA],
                goal=1.0, at_most=True)]


def _p99(contender: Contender, rate: int, seconds: int) -> float:
    port = contender.url.rsplit(":", 1)[1]
    answer = json.loads(servers.output(
        [sys.executable, "-m", "benchmarks.openloop", port, str(rate), str(seconds)], {}))
    contender.check_and_purge(answer["created"])
    if answer["created"] < answer["sent"]:
        raise Invalid(f"{answer['sent'] - answer['created']} of {answer['sent']} requests were not answered with 201")
    return answer["p99_ms"]
