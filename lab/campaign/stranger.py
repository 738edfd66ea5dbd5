"""Publishes straight to the broker, past the producer, while a run is on."""

import itertools
import threading
import time
import uuid
from collections.abc import Iterator

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from lab.amqp import parameters
from lab.campaign.hostile import Hostile
from lab.settings import LabSettings
from services.messaging import topology

UNREADABLE = b'{"id": "poison", "payload": '
RETRY_SECONDS = 0.5
# A broker that is frozen answers nothing: then the connection must end by itself.
HEARTBEAT_SECONDS = 5


def poison() -> Iterator[Hostile]:
    """Bodies that no consumer can read; all else about them is as it should be."""
    for _ in itertools.count():
        mark = f"poison-{uuid.uuid4()}"
        yield Hostile(mark, UNREADABLE, pika.BasicProperties(
            message_id=mark, app_id="campaign", delivery_mode=pika.DeliveryMode.Persistent.value))


class Stranger:
    """Sends `messages` from `start` to `stop`, `rate` a second; `sent` and `confirmed` are their marks."""

    def __init__(self, settings: LabSettings, messages: Iterator[Hostile], rate: float):
        self._parameters = parameters(settings, "campaign", heartbeat=HEARTBEAT_SECONDS)
        self._messages = messages
        self._pause = 1 / rate
        self.sent: set[str] = set()
        self.confirmed: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when the last message is answered. Does nothing where it was not started."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._publish()
            except (pika.exceptions.AMQPError, AMQPConnectorException, OSError):
                # The broker is away, or it refuses a message and closes the connection: the next one, then.
                time.sleep(RETRY_SECONDS)

    def _publish(self) -> None:
        with pika.BlockingConnection(self._parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            while not self._over.is_set():
                one = next(self._messages)
                self.sent.add(one.mark)
                channel.basic_publish(topology.EXCHANGE, topology.QUEUE, one.body, one.properties, mandatory=True)
                self.confirmed.add(one.mark)
                connection.sleep(self._pause)
