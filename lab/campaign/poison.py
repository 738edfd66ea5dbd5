"""Publishes poison straight to the broker while a run is on: messages that no consumer can read."""

import threading
import time
import uuid

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from lab.settings import LabSettings

BODY = b'{"id": "poison", "payload": '
RATE = 2.0  # messages per second
RETRY_SECONDS = 0.5
# A broker that is frozen answers nothing: then the connection must end by itself.
TIMEOUT_SECONDS = 5


class Poisoner:
    """Runs in a thread from `start` to `stop`; `sent` and `confirmed` are ids."""

    def __init__(self, settings: LabSettings):
        self._parameters = pika.ConnectionParameters(
            "127.0.0.1", settings.rabbitmq_port, heartbeat=TIMEOUT_SECONDS,
            credentials=pika.PlainCredentials(settings.rabbitmq_user, settings.rabbitmq_pass),
            socket_timeout=TIMEOUT_SECONDS, stack_timeout=TIMEOUT_SECONDS,
            blocked_connection_timeout=TIMEOUT_SECONDS, client_properties={"connection_name": "campaign-poison"})
        self.sent: set[str] = set()
        self.confirmed: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._publish()
            except (pika.exceptions.AMQPError, AMQPConnectorException, OSError):
                time.sleep(RETRY_SECONDS)

    def _publish(self) -> None:
        with pika.BlockingConnection(self._parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            while not self._over.is_set():
                one = f"poison-{uuid.uuid4()}"
                self.sent.add(one)
                properties = pika.BasicProperties(
                    message_id=one, app_id="campaign", delivery_mode=pika.DeliveryMode.Persistent.value)
                channel.basic_publish("messages", "messages", BODY, properties, mandatory=True)
                self.confirmed.add(one)
                connection.sleep(1 / RATE)
