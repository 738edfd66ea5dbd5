"""FastAPI and FastStream: its broker keeps one connection a process; confirms are its default."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from faststream.rabbit import RabbitBroker

from benchmarks.peers.message import QUEUE, URL, Message

broker = RabbitBroker(URL)


@asynccontextmanager
async def lifespan(_app: FastAPI):
    async with broker:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/produce", status_code=201)
async def produce(message: Message):
    await broker.publish(message, queue=QUEUE, message_id=message.id, persist=True)
    return {"status": "success", "message_id": message.id}
