"""An aio-pika consumer, one ack a message, on uvloop: `consume_aio_pika PREFETCH`."""

import asyncio
import sys

import aio_pika
import uvloop

from benchmarks.peers.message import QUEUE, QUORUM, URL


async def process(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    async with message.process():
        pass


async def main() -> None:
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=int(sys.argv[1]))
        queue = await channel.declare_queue(QUEUE, durable=True, arguments=QUORUM)
        await queue.consume(process)
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main())
