"""Messages that no honest client sends: random properties, headers, sizes and encodings, drawn from a seed.

Each has a mark, which copies keep in the property `correlation_id` and which is the body's id where
that can be read: what became of a message can be found, whatever else it has.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pika import BasicProperties

from lab.campaign.wire import Encoded, block, entry, nested_tables, short_string

PREFIX = "hostile-"
SUFFIXES = ("", "", "ü", "漢字", "🙂", "ﷺ", "e\u0301")
MOST_HEADERS = 6
# Bytes of properties that just fit a frame of 128 KiB, beside its own 8 and the header frame's 12: one header more
# and they do not.
FULL_FRAME = 131_072 - 8 - 12
FILLING = 0.05  # the share of messages whose headers fill the frame
TIMES = (0, 1, 1767225600, 1767225600000, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
FORGED = (
    {"CC": ["messages.dlq"]}, {"BCC": ["messages.dlq", "messages.retry.1000ms"]},
    {"x-death": "forged"}, {"x-death": [{"queue": "messages", "reason": "expired", "count": 5}]},
    {"x-attempt": 2**62}, {"x-attempt": -1}, {"x-attempt": "2"}, {"x-delivery-count": 19},
    {"x-published-at-ms": 2**63 - 1}, {"x-published-at-ms": -1}, {"x-publish-tag": 1}, {"x-publish-tag": "one"},
)


class Hostile(NamedTuple):
    mark: str
    body: bytes
    properties: BasicProperties


def messages(seed: int) -> Iterator[Hostile]:
    """Always the same ones for one seed, without end."""
    source, number = random.Random(seed), 0
    while True:
        number += 1
        mark = f"{PREFIX}{seed}-{number}-{source.choice(SUFFIXES)}"
        yield Hostile(mark, _body(source, mark), _properties(source, mark))


# -- properties: the bytes of each, in the order of its flag --------------------------------------


def _properties(source: random.Random, mark: str) -> BasicProperties:
    encoded = {
        BasicProperties.FLAG_DELIVERY_MODE: bytes([source.choice((*[2] * 40, 1, 0, 255))]),
        BasicProperties.FLAG_CORRELATION_ID: short_string(mark.encode()),
    }
    if source.random() < 0.7:
        encoded[BasicProperties.FLAG_HEADERS] = block(_headers(source))
    for flag in (BasicProperties.FLAG_CONTENT_TYPE, BasicProperties.FLAG_CONTENT_ENCODING, BasicProperties.FLAG_MESSAGE_ID,
                 BasicProperties.FLAG_TYPE, BasicProperties.FLAG_APP_ID, BasicProperties.FLAG_CLUSTER_ID):
        if source.random() < 0.4:
            encoded[flag] = short_string(_text(source, most=255))
    if source.random() < 0.4:
        encoded[BasicProperties.FLAG_TIMESTAMP] = struct.pack(">Q", _time(source))
    if source.random() < 0.2:
        encoded[BasicProperties.FLAG_PRIORITY] = bytes([source.randrange(256)])
    if source.random() < 0.2:
        encoded[BasicProperties.FLAG_REPLY_TO] = short_string(source.choice((b"amq.rabbitmq.reply-to.x", b"\xff", b"q")))
    if source.random() < 0.2:
        encoded[BasicProperties.FLAG_EXPIRATION] = short_string(source.choice((b"1", b"200", b"86400000")))
    if source.random() < FILLING:
        encoded[BasicProperties.FLAG_HEADERS] = b""
        encoded[BasicProperties.FLAG_HEADERS] = block(_filling(FULL_FRAME - 2 - 4 - sum(map(len, encoded.values()))))
    flags = sum(encoded)
    return Encoded(struct.pack(">H", flags) + b"".join(encoded[flag] for flag in sorted(encoded, reverse=True)))


def _headers(source: random.Random) -> bytes:
    chance = source.random()
    if chance < 0.2:
        # pika writes these as they are.
        forged = BasicProperties(headers=source.choice(FORGED)).encode()
        return b"".join(forged)[2 + 4:]
    if chance < 0.25:
        return entry(b"deep", nested_tables(source.randint(10, 5000)))
    return b"".join(entry(_text(source, most=128), _field(source, depth=0))
                    for _ in range(source.randint(0, MOST_HEADERS)))


def _filling(size: int) -> bytes:
    """One header of that many bytes, its name and type included."""
    overhead = len(entry(b"huge", b"S" + block(b"")))
    return entry(b"huge", b"S" + block(b"a" * (size - overhead)))


def _field(source: random.Random, depth: int) -> bytes:
    """The value of a header, of any type that RabbitMQ knows."""
    letter = source.choice("tbBsuIilfdTDSSxV" if depth > 3 else "tbBsuIilfdTDSSxVAF")
    return letter.encode() + _FIELDS[letter](source, depth)


def _double(source: random.Random) -> float:
    return source.choice((0.5, -1e300, 5e-324, source.uniform(-1e9, 1e9)))


_FIELDS: dict[str, Callable[[random.Random, int], bytes]] = {
    "t": lambda source, _depth: source.randbytes(1),
    "b": lambda source, _depth: source.randbytes(1),
    "B": lambda source, _depth: source.randbytes(1),
    "s": lambda source, _depth: source.randbytes(2),
    "u": lambda source, _depth: source.randbytes(2),
    "I": lambda source, _depth: source.randbytes(4),
    "i": lambda source, _depth: source.randbytes(4),
    "l": lambda source, _depth: source.randbytes(8),
    # The broker closes the connection of a publisher that sends infinity, or what is not a number.
    "f": lambda source, _depth: struct.pack(">f", source.uniform(-1e9, 1e9)),
    "d": lambda source, _depth: struct.pack(">d", _double(source)),
    "T": lambda source, _depth: struct.pack(">Q", _time(source)),
    "D": lambda source, _depth: source.randbytes(5),
    "S": lambda source, _depth: block(_text(source, most=1000)),
    "x": lambda source, _depth: block(source.randbytes(source.randint(0, 1000))),
    "V": lambda _source, _depth: b"",
    "A": lambda source, depth: block(b"".join(_field(source, depth + 1) for _ in range(source.randint(0, 4)))),
    "F": lambda source, depth: block(b"".join(
        entry(_text(source, most=60), _field(source, depth + 1)) for _ in range(source.randint(0, 4)))),
}


def _time(source: random.Random) -> int:
    return source.choice((*TIMES, source.getrandbits(64)))


def _text(source: random.Random, most: int) -> bytes:
    """Bytes where a text is expected: names, other scripts, other encodings, control characters, nothing at all."""
    text = source.choice((b"name", b"", "Müller".encode("latin-1"), "漢字".encode(), b"two\nlines\x1b[31m\x00",
                          source.randbytes(source.randint(0, most)), b"a" * most))
    return text[:most]


# -- bodies -----------------------------------------------------------------------------------------


def _body(source: random.Random, mark: str) -> bytes:
    good = {"id": mark, "payload": source.choice(("text", 7, [], {"order": 100}, ["x"] * 1000))}
    return source.choice((_good, _good, _good, _large, _torn, _not_json, _another_shape, _many_fields))(source, good)


def _good(_source: random.Random, good: dict) -> bytes:
    return json.dumps(good).encode()


def _large(source: random.Random, good: dict) -> bytes:
    return json.dumps(good | {"payload": "x" * source.randint(200_000, 1_500_000)}).encode()


def _torn(source: random.Random, good: dict) -> bytes:
    whole = json.dumps(good).encode()
    return whole[:source.randrange(len(whole))]


def _not_json(source: random.Random, good: dict) -> bytes:
    text = json.dumps(good, ensure_ascii=False)
    return source.choice((
        b"", b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), text.encode("latin-1", "replace") + b"\xff",
        b"[" * source.randint(1, 100_000), source.randbytes(source.randint(1, 10_000)), b'{"id": "x", "payload": 1e999}'))


def _another_shape(source: random.Random, good: dict) -> bytes:
    return json.dumps(source.choice((
        [], None, 7, [good] * 100, good | {"id": 7}, good | {"id": "x" * 256}, good | {"payload": None},
        good | {"processing_time": "fast"}, good | {"processing_time": -1}))).encode()


def _many_fields(source: random.Random, good: dict) -> bytes:
    return json.dumps(good | {f"field {number}": number for number in range(source.randint(1, 100_000))}).encode()
