"""Message properties that pika refuses to write, byte by byte. https://www.rabbitmq.com/docs/amqp-0-9-1-errata"""

import struct

from pika import BasicProperties

PERSISTENT = b"\x02"


class Encoded(BasicProperties):
    """Properties whose bytes are given."""

    def __init__(self, encoded: bytes):
        super().__init__()
        self._encoded = encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


def short_string(content: bytes) -> bytes:
    return bytes([len(content)]) + content


def block(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def entry(name: bytes, value: bytes) -> bytes:
    return short_string(name) + value


def headers(*entries: bytes) -> bytes:
    """The bytes of properties that have these headers, and nothing else."""
    return struct.pack(">H", BasicProperties.FLAG_HEADERS) + block(b"".join(entries))


def persistent(*entries: bytes) -> Encoded:
    """A persistent message's properties with these headers."""
    flags = BasicProperties.FLAG_HEADERS | BasicProperties.FLAG_DELIVERY_MODE
    return Encoded(struct.pack(">H", flags) + block(b"".join(entries)) + PERSISTENT)


def nested_tables(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"F" + block(entry(b"d", value))
    return value
