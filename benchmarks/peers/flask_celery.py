"""Flask and Celery: a task is published with confirms, to a quorum queue, from a pool of connections."""

from celery import Celery
from flask import Flask, request

from benchmarks.peers.message import QUORUM, URL, Message

celery = Celery("benchmark", broker=URL)
celery.conf.update(
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=16,  # one for each thread of the server
    task_default_queue="benchmark-celery",
    task_default_queue_type=QUORUM["x-queue-type"],
    task_ignore_result=True,
    task_acks_late=True,  # at least once, as everybody here
    worker_prefetch_multiplier=100,
)
app = Flask("benchmark")


@celery.task(name="process")
def process(message: dict) -> None:
    """No work: the way of a message is measured."""


@app.post("/produce")
def produce():
    message = Message.model_validate_json(request.get_data())
    process.delay(message.model_dump())
    return {"status": "success", "message_id": message.id}, 201
