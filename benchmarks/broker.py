"""A private, real RabbitMQ for one figure, in a temporary folder and on free ports."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pika

from benchmarks import servers
from benchmarks.peers_python import peers_python
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack import baseline, health
from lab.stack.native.programs import RABBITMQ_BIN, programs
from tests.conftest import private_lab

QUEUE = "messages"  # our services'
PEERS_QUEUE = "benchmark"


class Broker:
    """What the figures need of it; contenders reach it straight, without Toxiproxy."""

    def __init__(self, settings: LabSettings):
        self.settings = settings
        self.url = (f"amqp://{quote(settings.rabbitmq_user)}:{quote(settings.rabbitmq_pass, safe='')}"
                    f"@127.0.0.1:{settings.rabbitmq_port}/%2F?heartbeat=0")
        self._channel = pika.BlockingConnection(pika.URLParameters(self.url)).channel()
        for queue in (QUEUE, PEERS_QUEUE):
            self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})

    def count(self, queue: str) -> int:
        """How many messages are ready there."""
        return self._channel.queue_declare(queue, passive=True).method.message_count

    def purge(self, queue: str) -> None:
        self._channel.queue_purge(queue)

    def publish_bare(self, queue: str, count: int, window: int, *options: str) -> float:
        """Have the bare pika publisher fill a queue; messages a second."""
        module = ["-m", "benchmarks.peers.publish_pika", queue, str(count), str(window), *options]
        return float(servers.output([peers_python(), *module], {"AMQP_URL": self.url}))


@contextmanager
def broker() -> Iterator[Broker]:
    """The broker with the lab's own configuration and baseline; nothing is left of it afterwards."""
    if not (RABBITMQ_BIN / "rabbitmq-server").exists():
        raise LabError("RabbitMQ is not installed: run `make benchmark`")
    with (TemporaryDirectory(prefix="sre-lab-benchmark-") as folder,
          # Nobody logs a line for each message.
          private_lab(Path(folder), RABBITMQ_HOST="127.0.0.1", LOG_LEVEL="WARNING") as lab,
          ExitStack() as running):
        settings = lab.settings
        settings.run_dir.mkdir()
        for name in ("epmd", "rabbitmq"):
            program = programs(settings)[name]
            command = program.command(settings)
            running.enter_context(servers.process(settings, name, command.argv, command.environment))
        problem = health.wait(lambda: health.check(program.health_url),
                              time.monotonic() + program.start_wait)
        if problem:
            raise LabError(f"RabbitMQ {problem}: {servers.log_tail(settings, 'rabbitmq')}")
        baseline.apply_broker(settings)
        yield Broker(settings)
