"""FastAPI and aio-pika: one robust connection a process, one channel with confirms."""

from contextlib import asynccontextmanager

import aio_pika
from fastapi import FastAPI

from benchmarks.peers.message import QUEUE, URL, Message


@asynccontextmanager
async def lifespan(app: FastAPI):
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/produce", status_code=201)
async def produce(message: Message):
    await app.state.exchange.publish(
        aio_pika.Message(message.model_dump_json().encode(), message_id=message.id,
                         content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT),
        routing_key=QUEUE)
    return {"status": "success", "message_id": message.id}
