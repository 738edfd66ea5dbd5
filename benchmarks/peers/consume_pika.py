"""A bare pika consumer, one ack a message: `consume_pika PREFETCH`."""

import sys

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel

from benchmarks.peers.message import QUEUE, URL


def consume(channel: Channel) -> None:
    channel.basic_qos(prefetch_count=int(sys.argv[1]))
    channel.basic_consume(
        QUEUE, lambda channel, method, _properties, _body: channel.basic_ack(method.delivery_tag))


if __name__ == "__main__":
    SelectConnection(pika.URLParameters(URL), on_open_callback=lambda connection: connection.channel(
        on_open_callback=consume)).ioloop.start()
