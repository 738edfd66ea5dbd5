"""Flask with a pika connection for each request: what tutorials show."""

import pika
from flask import Flask, request

from benchmarks.peers.message import QUEUE, URL, Message

app = Flask("benchmark")


@app.post("/produce")
def produce():
    message = Message.model_validate_json(request.get_data())
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish(
        "", QUEUE, message.model_dump_json().encode(),
        pika.BasicProperties(message_id=message.id, content_type="application/json",
                             delivery_mode=pika.DeliveryMode.Persistent.value), mandatory=True)
    connection.close()
    return {"status": "success", "message_id": message.id}, 201
