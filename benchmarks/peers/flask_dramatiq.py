"""Flask and Dramatiq, with confirms; its queues are classic: it has no setting for another kind."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from flask import Flask, request

from benchmarks.peers.message import URL, Message

dramatiq.set_broker(RabbitmqBroker(url=URL, confirm_delivery=True))
app = Flask("benchmark")


@dramatiq.actor(queue_name="benchmark-dramatiq", actor_name="process")
def process(message: dict) -> None:
    """No work: the way of a message is measured."""


@app.post("/produce")
def produce():
    message = Message.model_validate_json(request.get_data())
    process.send(message.model_dump())
    return {"status": "success", "message_id": message.id}, 201
