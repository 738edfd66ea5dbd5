"""Message properties from publishers that nobody controls: read whatever arrives, write only what the broker takes.

pika's own reader raises for values that the broker accepts and delivers (a timestamp beyond the year
9999, a NaN, deep nesting), and an exception there costs the connection with everything in flight on
it. Importing this module replaces that reader by one that returns a result for any bytes.
"""

import struct
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pika import BasicProperties
from pika.data import encode_value
from pika.exceptions import ShortStringTooLong, UnsupportedAMQPFieldException

from .schema import OMITTED_HEADERS, PUBLISH_TAG, PUBLISHED_AT_MS, PUBLISHED_BY

# Tables and arrays nested deeper than this are kept as bytes. No honest message comes close.
MAX_DEPTH = 16
# Longest name or text in a property (AMQP 0-9-1 specification, 4.2.5.3).
MAX_SHORT_STRING_BYTES = 255
# Publish times beyond these bounds are a publisher's mistake (milliseconds for seconds, a clock that is wrong), and
# would make the system look fresh, or the delay of a message absurd.
MAX_CLOCK_SKEW_SECONDS = 1.0
MAX_AGE_SECONDS = 366 * 86400.0

# Letter and form of each number in a table, as RabbitMQ uses them (which is not as the specification has them):
# https://www.rabbitmq.com/docs/amqp-0-9-1-errata#section_3
_NUMBERS = {ord(letter): struct.Struct(form) for letter, form in {
    "t": ">?", "b": ">b", "B": ">B", "s": ">h", "U": ">h", "u": ">H", "I": ">i", "i": ">I",
    "l": ">q", "L": ">q", "f": ">f", "d": ">d"}.items()}
_UINT8, _UINT16, _UINT32, _UINT64, _DECIMAL = map(struct.Struct, (">B", ">H", ">I", ">Q", ">Bi"))

# In the order in which they are sent; the first has the highest bit (specification, 4.2.6.1).
_PROPERTIES = tuple((1 << (15 - index), name) for index, name in enumerate((
    "content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to",
    "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id")))

# Properties that a copy keeps. Not kept: `expiration` would shorten the life of a dead letter, the broker refuses a
# `user_id` that is not the publisher's own, and closes the channel for some values of `reply_to`.
# https://www.rabbitmq.com/docs/validated-user-id, https://www.rabbitmq.com/docs/direct-reply-to
_KEPT_TEXTS = ("content_type", "content_encoding", "correlation_id", "message_id", "type", "app_id")
_KEPT_NUMBERS = ("priority", "timestamp")
# Headers that the broker acts on. CC and BCC send copies to other queues; because of an old x-death it takes a retry
# for a cycle and drops the message: https://www.rabbitmq.com/docs/dlx#automatic-dead-letter-cycles
_INTERPRETED = {"CC", "BCC", "x-death", "x-delivery-count", "x-acquired-count", PUBLISH_TAG}
_INTERPRETED_PREFIXES = ("x-first-death-", "x-last-death-")
_MOST_NAMED = 20


def _decode(self: BasicProperties, encoded: bytes, offset: int = 0) -> BasicProperties:
    """Read all properties; where the bytes end too early or make no sense, keep what came before."""
    for _flag, name in _PROPERTIES:
        setattr(self, name, None)
    try:
        _read_all(self, encoded, offset)
    except (struct.error, IndexError, ValueError):
        pass  # the body is what counts, and it is intact
    return self


BasicProperties.decode = _decode


def _read_all(properties: BasicProperties, encoded: bytes, offset: int) -> None:
    flags = word = _UINT16.unpack_from(encoded, offset)[0]
    offset += 2
    while word & 1:  # more flags follow; the specification gives them no meaning
        word = _UINT16.unpack_from(encoded, offset)[0]
        offset += 2
    for flag, name in _PROPERTIES:
        if flags & flag:
            value, offset = _READERS.get(name, _short_string)(encoded, offset)
            setattr(properties, name, value)


def _short_string(encoded: bytes, offset: int) -> tuple[str, int]:
    start = offset + 1
    end = start + encoded[offset]
    return str(encoded[start:end], "utf-8", "backslashreplace"), end


def _octet(encoded: bytes, offset: int) -> tuple[int, int]:
    return _UINT8.unpack_from(encoded, offset)[0], offset + 1


def _uint64(encoded: bytes, offset: int) -> tuple[int, int]:
    return _UINT64.unpack_from(encoded, offset)[0], offset + 8


def _block(encoded: bytes, offset: int) -> tuple[bytes, int]:
    """Bytes that are preceded by their length."""
    start = offset + 4
    end = start + _UINT32.unpack_from(encoded, offset)[0]
    if end > len(encoded):
        raise ValueError("the length goes beyond the end")
    return encoded[start:end], end


def _headers(encoded: bytes, offset: int) -> tuple[dict[str, Any], int]:
    content, end = _block(encoded, offset)
    return _table(content, depth=1), end


def _table(content: bytes, depth: int) -> dict[str, Any]:
    """Of a name that occurs twice, the last value counts."""
    table, offset = {}, 0
    try:
        while offset < len(content):
            name, offset = _short_string(content, offset)
            table[name], offset = _value(content, offset, depth)
    except (struct.error, IndexError, ValueError):
        pass  # its length is known, so what follows the table can be read all the same
    return table


def _array(content: bytes, depth: int) -> list:
    array, offset = [], 0
    while offset < len(content):
        value, offset = _value(content, offset, depth)
        array.append(value)
    return array


def _value(encoded: bytes, offset: int, depth: int) -> tuple[Any, int]:
    kind, offset = encoded[offset], offset + 1
    if number := _NUMBERS.get(kind):
        return number.unpack_from(encoded, offset)[0], offset + number.size
    match chr(kind):
        case "S":
            content, offset = _block(encoded, offset)
            return _text_or_bytes(content), offset
        case "x":
            return _block(encoded, offset)
        case "F" | "A" as letter:
            content, offset = _block(encoded, offset)
            return _nested(letter, content, depth + 1), offset
        case "T":
            seconds, offset = _uint64(encoded, offset)
            return _time(seconds), offset
        case "D":
            decimals, digits = _DECIMAL.unpack_from(encoded, offset)
            return Decimal(digits).scaleb(-decimals), offset + _DECIMAL.size
        case "V":
            return None, offset
    raise ValueError(f"no type of a field: {kind}")


def _nested(letter: str, content: bytes, depth: int) -> dict | list | bytes:
    if depth > MAX_DEPTH:
        return content
    return _table(content, depth) if letter == "F" else _array(content, depth)


def _text_or_bytes(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _time(seconds: int) -> datetime | int:
    """The number itself where no calendar has it: publishers send milliseconds, too."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return seconds


_READERS = {"headers": _headers, "delivery_mode": _octet, "priority": _octet, "timestamp": _uint64}


def short(text: str) -> str:
    """The text, cut to the length that a property can have."""
    return text.encode("utf-8", "backslashreplace")[:MAX_SHORT_STRING_BYTES].decode(errors="ignore")


def published_at(properties: BasicProperties, now: float) -> float | None:
    """Unix time in seconds of the first publish, at most `now`; None where the publisher gave no plausible one."""
    milliseconds = (properties.headers or {}).get(PUBLISHED_AT_MS)
    stated = [milliseconds / 1000 if isinstance(milliseconds, int) else None, properties.timestamp]
    return next((min(time, now) for time in stated
                 if time is not None and now - MAX_AGE_SECONDS <= time <= now + MAX_CLOCK_SKEW_SECONDS), None)


def room(frame_max: int) -> int:
    """Bytes for the headers that a copy takes over, where a frame holds `frame_max`: properties must fit one frame.

    Half of it, as the broker adds headers when it dead-letters a message, and each further copy some.
    """
    return frame_max // 2


def onward(properties: BasicProperties, headers: Mapping[str, Any], room: int,
           without: Collection[str] = ()) -> BasicProperties:
    """The properties of a persistent copy: what the broker accepts of the original's, and `headers` beside its own.

    Headers named in `without` are not taken over. `room` is how many bytes the others may take;
    those that do not fit are left out, and OMITTED_HEADERS names them.
    """
    dropped = _INTERPRETED.union(headers, without)
    copy = BasicProperties(delivery_mode=2, headers=_carried(properties, dropped, room) | dict(headers))
    for name in _KEPT_TEXTS:
        if (value := getattr(properties, name)) is not None:
            setattr(copy, name, short(value))
    for name in _KEPT_NUMBERS:
        setattr(copy, name, getattr(properties, name))
    if properties.user_id:
        copy.headers[PUBLISHED_BY] = short(properties.user_id)
    return copy


def _carried(properties: BasicProperties, dropped: set[str], room: int) -> dict[str, Any]:
    """The original's headers as far as they fit: the smallest first, so that one huge header displaces no other."""
    entries = {name: _writable(value) for name, value in (properties.headers or {}).items()
               if name not in dropped and not name.startswith(_INTERPRETED_PREFIXES)}
    sizes = {name: len(name.encode()) + 1 + _encoded_size(value) for name, value in entries.items()}
    omitted = []
    for name in sorted(entries, key=sizes.__getitem__):
        room -= sizes[name]
        if room < 0 or len(name.encode()) > MAX_SHORT_STRING_BYTES:
            omitted.append(name)
            del entries[name]
    if omitted:
        entries[OMITTED_HEADERS] = [short(name) for name in omitted[:_MOST_NAMED]]
    return entries


def _writable(value: Any) -> Any:
    """The value, as text where pika can read but not write it: a number with a fraction, say."""
    try:
        _encoded_size(value)
    except (struct.error, ShortStringTooLong, UnsupportedAMQPFieldException):
        return str(value)
    return value


def _encoded_size(value: Any) -> int:
    return encode_value([], value)
