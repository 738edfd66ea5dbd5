"""The program of the `importer` fault: publishes broken messages past the producer, for ever.

It behaves like a careless client of its own: it logs in as its own user, names its connection,
and comes back when its connection is closed. It needs nothing of the lab, and reads from the
environment RABBITMQ_HOST, RABBITMQ_PORT, IMPORTER_RATE (messages per second) and IMPORTER_DEFECT.
"""

import json
import logging
import os
import sys
import time

import pika

USER = "legacy-importer"
RECONNECT_SECONDS = 2.0


def main() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    broker = pika.ConnectionParameters(
        os.environ["RABBITMQ_HOST"], int(os.environ["RABBITMQ_PORT"]),
        credentials=pika.PlainCredentials(USER, USER), client_properties={"connection_name": USER}, heartbeat=10)
    while True:
        try:
            _publish(broker, float(os.environ["IMPORTER_RATE"]), os.environ["IMPORTER_DEFECT"])
        except (pika.exceptions.AMQPError, OSError) as error:
            logging.info("connection lost (%r), trying again", error)
            time.sleep(RECONNECT_SECONDS)


def _publish(broker: pika.ConnectionParameters, rate: float, defect: str) -> None:
    connection = pika.BlockingConnection(broker)
    channel = connection.channel()
    channel.confirm_delivery()
    number = 0
    while True:
        number += 1
        channel.basic_publish("messages", "messages", _body(defect, number), pika.BasicProperties(
            message_id=f"import-{time.time_ns()}", app_id=USER, user_id=USER, delivery_mode=2))
        connection.sleep(1 / rate)


def _body(defect: str, number: int) -> bytes:
    if defect == "truncated-json":
        return f'{{"id": "import-{number}", "payload": {{"customer": '.encode()
    return json.dumps({"identifier": number, "content": "row", "processing_time": "fast"}).encode()


if __name__ == "__main__":
    main()
