"""The program of the `importer` fault: publishes broken messages past the producer, for ever.

It behaves like a careless client of its own: it logs in as its own user, names its connection,
and comes back when its connection is closed.
"""

import json
import logging
import sys
import time

import pika

from lab import settings as lab_settings
from lab.faults.importer import CONFIG, USER

RECONNECT_SECONDS = 2.0


def main() -> None:
    settings = lab_settings.load()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    config = json.loads((settings.run_dir / CONFIG).read_text())
    while True:
        try:
            _publish(settings, config["rate"], config["defect"])
        except pika.exceptions.AMQPError as error:
            logging.info("connection lost (%r), trying again", error)
            time.sleep(RECONNECT_SECONDS)


def _publish(settings: lab_settings.LabSettings, rate: float, defect: str) -> None:
    connection = pika.BlockingConnection(pika.ConnectionParameters(
        "127.0.0.1", settings.rabbitmq_port, credentials=pika.PlainCredentials(USER, USER),
        client_properties={"connection_name": USER}, heartbeat=10))
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
