"""The HTTP servers that are compared, each with its two worker processes, all up and idle together."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers, wrk
from benchmarks.broker import PEERS_QUEUE, QUEUE, Broker
from benchmarks.method import Invalid
from benchmarks.peers_python import peers_python
from lab.settings import ROOT
from tests.ports import free_ports

OURS = "ours"
CONSTANT = "the same server, constant answer"
AIO_PIKA = "FastAPI + aio-pika"
WARM_UPS = 10


def _ours(script: str):
    return lambda port: ([sys.executable, str(ROOT / script)], {"PRODUCER_PORT": str(port), "PYTHONPATH": str(ROOT)})


def _uvicorn(module: str):
    return lambda port: ([peers_python(), "-m", "uvicorn", f"benchmarks.peers.{module}:app", "--workers", "2",
                          "--port", str(port), "--no-access-log", "--log-level", "warning"], {})


def _gunicorn(module: str):
    # 32 threads made Celery and Dramatiq slower: more only wait for the interpreter's lock.
    return lambda port: ([peers_python(), "-m", "gunicorn", f"benchmarks.peers.{module}:app", "--workers", "2",
                          "--worker-class", "gthread", "--threads", "16", "--bind", f"127.0.0.1:{port}",
                          "--log-level", "warning", "--no-control-socket"], {})


# Name, how it is started, and the queue that it fills.
SERVERS = {
    OURS: (_ours("services/producer/app.py"), QUEUE),
    CONSTANT: (_ours("benchmarks/peers/constant.py"), None),
    AIO_PIKA: (_uvicorn("fastapi_aio_pika"), PEERS_QUEUE),
    "FastAPI + FastStream": (_uvicorn("fastapi_faststream"), PEERS_QUEUE),
    "Flask + Celery": (_gunicorn("flask_celery"), "benchmark-celery"),
    "Flask + Dramatiq": (_gunicorn("flask_dramatiq"), "benchmark-dramatiq"),
    "Flask, a pika connection per request": (_gunicorn("flask_pika"), PEERS_QUEUE),
}


@dataclass(frozen=True)
class Contender:
    """A server that runs."""

    url: str
    queue: str | None
    broker: Broker

    def load(self, connections: int, seconds: int) -> float:
        """Confirmed messages a second under wrk. Raises Invalid where a promise was not kept."""
        rate, answers = wrk.requests_per_second(f"{self.url}/produce", connections, seconds)
        self.check_and_purge(answers)
        return rate

    def warm_up(self) -> None:
        """Load it until all goes well: one of its workers may still be connecting when another one answers."""
        for attempt in range(1, WARM_UPS + 1):
            try:
                self.load(connections=32, seconds=1)
                return
            except Invalid:
                if attempt == WARM_UPS:
                    raise

    def check_and_purge(self, promised: int) -> None:
        """Every 201 must have its message in the queue; then nobody meets another one's backlog."""
        if self.queue:
            stored = self.broker.count(self.queue)
            self.broker.purge(self.queue)
            if stored < promised:
                raise Invalid(f"{promised} messages were promised, {stored} are in the queue")


@contextmanager
def running(broker: Broker, *names: str) -> Iterator[dict[str, Contender]]:
    """Those contenders, started and warm."""
    with ExitStack() as stack:
        found = {}
        for name, port in zip(names, stack.enter_context(free_ports(len(names))), strict=True):
            command, queue = SERVERS[name]
            argv, environment = command(port)
            url = stack.enter_context(servers.http_server(
                broker.settings, Path(name).name, argv, {"AMQP_URL": broker.url, **environment}, port))
            found[name] = Contender(url, queue, broker)
            found[name].warm_up()
        yield found
