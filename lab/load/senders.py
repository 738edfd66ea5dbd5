"""The users of the page whose messages, or manners, are other than those of the steady traffic."""

import json
import logging
import os
import random
import time
import uuid

import pika
from locust import constant_pacing, constant_throughput, events, task
from locustfile import RATE, USERS, HonestUser, ledger, new_message
from pika.adapters.utils.connection_workflow import AMQPConnectorException

BATCH_SIZE = 20
BATCH_SECONDS = 1.0
# From one try to the next: with none, what is refused at once would only keep the processor of this machine busy.
TRY_SECONDS = 0.02
# A broker that is frozen answers nothing: then the connection must end by itself.
BROKER_SECONDS = 5
logging.getLogger("pika").setLevel(logging.CRITICAL)  # a failure stands in the statistics
UNREADABLE = b'{"id": "poison", "payload": '


class BatchClient(HonestUser):
    """Posts batches, and nothing else."""

    wait_time = constant_pacing(BATCH_SECONDS)

    @task
    def send(self) -> None:
        self.post_batch([new_message() for _ in range(BATCH_SIZE)])


class ImpatientClient(HonestUser):
    """Sends a message again and again until it is acknowledged, however long that takes: without backoff."""

    message: dict | None = None
    pace = constant_throughput(RATE / USERS)

    def wait_time(self) -> float:
        return TRY_SECONDS if self.message else self.pace()

    @task
    def send(self) -> None:
        again = self.message is not None
        self.message = self.message or new_message()
        if self.post_one(self.message, again) == 201:
            self.message = None


class PoisonClient(HonestUser):
    """Posts good messages, malformed ones now and then, and publishes some that no consumer can read."""

    wait_time = constant_throughput(RATE / USERS)

    @task(18)
    def send(self) -> None:
        self.post_one(new_message())

    @task(1)
    def send_malformed(self) -> None:
        with self.client.post("/produce", data=_malformed(), headers={"Content-Type": "application/json"},
                              name="/produce: malformed (400 is right)", catch_response=True) as response:
            if response.status_code == 400:
                response.success()
            else:
                response.failure(f"answered with {response.status_code}")

    @task(1)
    def publish_unreadable(self) -> None:
        message_id = f"poison-{uuid.uuid4()}"
        ledger.record("sent", [message_id])
        started, failure, outcome = time.perf_counter(), None, "acknowledged"
        try:
            _publish(message_id)
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError) as error:
            failure, outcome = error, "rejected"
        except (pika.exceptions.AMQPError, AMQPConnectorException, OSError) as error:
            failure, outcome = error, "unknown"
        ledger.record(outcome, [message_id])
        events.request.fire(
            request_type="AMQP", name="past the producer, unreadable", response_length=0, exception=failure,
            response_time=(time.perf_counter() - started) * 1000, context=self.context())


def _malformed() -> str:
    message = new_message()
    return random.choice([
        json.dumps(message)[:-1],
        json.dumps({**message, "processing_time": "fast"}),
        json.dumps({"id": message["id"]}),
    ])


def _publish(message_id: str) -> None:
    """Publish as a careless client does: a connection for each message, which is then confirmed.

    Raises pika's errors, and OSError, when it was not confirmed.
    """
    parameters = pika.ConnectionParameters(
        os.environ["RABBITMQ_HOST"], int(os.environ["RABBITMQ_PORT"]), heartbeat=BROKER_SECONDS,
        credentials=pika.PlainCredentials(os.environ["RABBITMQ_USER"], os.environ["RABBITMQ_PASS"]),
        socket_timeout=BROKER_SECONDS, stack_timeout=BROKER_SECONDS, blocked_connection_timeout=BROKER_SECONDS,
        client_properties={"connection_name": "load-poison"})
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(
            message_id=message_id, app_id="load", delivery_mode=pika.DeliveryMode.Persistent.value)
        channel.basic_publish("messages", "messages", UNREADABLE, properties, mandatory=True)
