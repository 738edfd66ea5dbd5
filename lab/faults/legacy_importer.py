"""The program of the `importer` fault: publishes messages past the producer.

It behaves like a careless client of its own: it logs in as its own user, names its connection,
and comes back when its connection is closed. It needs nothing of the lab, and reads from the
environment RABBITMQ_HOST, RABBITMQ_PORT, IMPORTER_RATE (messages per second), IMPORTER_DEFECT,
IMPORTER_COUNT (how many it sends; 0: it never ends) and IMPORTER_BYTES (the size of an oversized one).
"""

import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Iterator

import pika

USER = "legacy-importer"
RECONNECT_SECONDS = 2.0


def main() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    broker = pika.ConnectionParameters(
        os.environ["RABBITMQ_HOST"], int(os.environ["RABBITMQ_PORT"]),
        credentials=pika.PlainCredentials(USER, USER), client_properties={"connection_name": USER}, heartbeat=10)
    bodies = _bodies(
        int(os.environ["IMPORTER_COUNT"]), os.environ["IMPORTER_DEFECT"], int(os.environ["IMPORTER_BYTES"]))
    while True:
        try:
            _publish(broker, bodies, 1 / float(os.environ["IMPORTER_RATE"]))
        except (pika.exceptions.AMQPError, OSError) as error:
            logging.info("connection lost (%r), trying again", error)
            time.sleep(RECONNECT_SECONDS)


def _publish(broker: pika.ConnectionParameters, bodies: Iterator[bytes], pause: float) -> None:
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.confirm_delivery()
    for body in bodies:
        channel.basic_publish("messages", "messages", body, pika.BasicProperties(
            message_id=f"import-{time.time_ns()}", app_id=USER, user_id=USER, delivery_mode=2))
        connection.sleep(pause)
    logging.info("the import is done")
    while True:
        connection.sleep(60)


def _bodies(count: int, defect: str, size: int) -> Iterator[bytes]:
    for number in range(1, count + 1) if count else itertools.count(1):
        yield _body(defect, number, size)


def _body(defect: str, number: int, size: int) -> bytes:
    if defect == "truncated-json":
        return f'{{"id": "import-{number}", "payload": {{"customer": '.encode()
    if defect == "oversized":
        return json.dumps({"id": f"import-{number}", "payload": "x" * size, "processing_time": 0.01}).encode()
    return json.dumps({"identifier": number, "content": "row", "processing_time": "fast"}).encode()


if __name__ == "__main__":
    main()
