"""Message properties from strangers: anything can be read, and a copy holds only what the broker takes."""

import struct
from datetime import UTC, datetime
from decimal import Decimal

import pika.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, spec

from lab.campaign.wire import block, entry, headers, nested_tables, short_string
from services.messaging.properties import MAX_AGE_SECONDS, MAX_DEPTH, onward, published_at, short
from services.messaging.schema import PUBLISHED_AT_MS

ROOM = 65536
NOW = 1_800_000_000.0


def with_headers(*entries: bytes) -> BasicProperties:
    """Properties as they are read when these entries arrive."""
    return read(headers(*entries))


def read(encoded: bytes) -> BasicProperties:
    """By way of a whole frame, as pika reads it from a connection."""
    content = struct.pack(">HHQ", spec.Basic.INDEX, 0, 0) + encoded
    wire = struct.pack(">BHL", spec.FRAME_HEADER, 1, len(content)) + content + bytes([spec.FRAME_END])
    size, frame = pika.frame.decode_frame(wire)
    assert size == len(wire)
    return frame.properties


@pytest.mark.parametrize(("value", "read_as"), [
    (b"T" + struct.pack(">Q", 1767225600), datetime(2026, 1, 1, tzinfo=UTC)),
    (b"T" + struct.pack(">Q", 1767225600000), 1767225600000),  # milliseconds
    (b"T" + struct.pack(">Q", 2**63), 2**63),
    (b"T" + struct.pack(">Q", 2**64 - 1), 2**64 - 1),
    (b"d" + struct.pack(">d", 1.5), 1.5),
    (b"d" + struct.pack(">d", float("inf")), float("inf")),
    (b"f" + struct.pack(">f", 0.5), 0.5),
    (b"s" + struct.pack(">h", -2), -2),
    (b"u" + struct.pack(">H", 65535), 65535),
    (b"i" + struct.pack(">I", 2**32 - 1), 2**32 - 1),
    (b"l" + struct.pack(">q", -1), -1),
    (b"t\x01", True),
    (b"D" + struct.pack(">Bi", 2, 314), Decimal("3.14")),
    (b"D" + struct.pack(">Bi", 255, -1), Decimal("-1e-255")),
    (b"S" + block(b"text"), "text"),
    (b"S" + block(b"M\xfcller"), b"M\xfcller"),
    (b"x" + block(b"\x00\xff"), b"\x00\xff"),
    (b"A" + block(b"V" + b"S" + block(b"x")), [None, "x"]),
    (b"F" + block(entry(b"a", b"b\xff")), {"a": -1}),
])
def test_every_type_is_read_and_what_follows_it_too(value, read_as):
    assert with_headers(entry(b"x", value), entry(b"next", b"t\x01")).headers == {"x": read_as, "next": True}


def test_not_a_number_is_read():
    assert str(with_headers(entry(b"x", b"d" + struct.pack(">d", float("nan")))).headers["x"]) == "nan"


def test_texts_that_are_not_utf8_are_read_with_escapes():
    properties = read(struct.pack(">H", BasicProperties.FLAG_MESSAGE_ID | BasicProperties.FLAG_APP_ID)
                      + short_string("Müller-1".encode("latin-1")) + short_string(b"app"))
    assert (properties.message_id, properties.app_id) == (r"M\xfcller-1", "app")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000])
def test_deep_nesting_ends_in_bytes(depth):
    properties = with_headers(entry(b"deep", nested_tables(depth)), entry(b"next", b"t\x01"))
    assert properties.headers["next"] is True
    inner = properties.headers["deep"]
    while isinstance(inner, dict):
        inner = inner["d"]
    assert isinstance(inner, bytes)


def test_a_table_that_makes_no_sense_does_not_hide_the_other_properties():
    properties = read(struct.pack(">H", BasicProperties.FLAG_HEADERS | BasicProperties.FLAG_MESSAGE_ID)
                      + block(entry(b"ok", b"t\x01") + b"\x05ab") + short_string(b"one"))
    assert (properties.headers, properties.message_id) == ({"ok": True}, "one")


@given(st.binary(max_size=300))
def test_any_bytes_are_read(encoded):
    assert isinstance(read(encoded), BasicProperties)


def tables(children):
    return st.lists(st.builds(entry, st.binary(max_size=255), children), max_size=4).map(
        lambda entries: b"F" + block(b"".join(entries)))


FIELDS = st.recursive(
    st.one_of(
        st.binary(min_size=8, max_size=8).flatmap(lambda eight: st.sampled_from([
            b"T" + eight, b"l" + eight, b"L" + eight, b"d" + eight, b"f" + eight[:4], b"I" + eight[:4], b"i" + eight[:4],
            b"D" + eight[:5], b"s" + eight[:2], b"u" + eight[:2], b"b" + eight[:1], b"B" + eight[:1], b"t" + eight[:1]])),
        st.binary(max_size=100).map(lambda content: b"S" + block(content)),
        st.binary(max_size=100).map(lambda content: b"x" + block(content)),
        st.just(b"V")),
    lambda children: tables(children) | st.lists(children, max_size=4).map(lambda values: b"A" + block(b"".join(values))),
    max_leaves=10)


@given(st.lists(st.tuples(st.binary(max_size=255), FIELDS), max_size=6), st.binary(max_size=255),
       st.integers(0, 2**64 - 1))
def test_a_copy_of_anything_can_be_written_and_read_again(entries, text, number):
    encoded = (struct.pack(">H", BasicProperties.FLAG_HEADERS | BasicProperties.FLAG_MESSAGE_ID
                           | BasicProperties.FLAG_TIMESTAMP | BasicProperties.FLAG_USER_ID)
               + block(b"".join(entry(name, value) for name, value in entries))
               + short_string(text) + struct.pack(">Q", number) + short_string(text))
    copy = onward(read(encoded), {"x-attempt": 2}, ROOM)
    again = read(b"".join(copy.encode()))
    assert again.headers["x-attempt"] == 2
    assert again.message_id == copy.message_id
    assert again.timestamp == number
    assert set(again.headers) == set(copy.headers)


def test_a_copy_has_nothing_that_the_broker_acts_on():
    properties = BasicProperties(
        message_id="one", expiration="200", user_id="someone", reply_to="amq.rabbitmq.reply-to", delivery_mode=1,
        headers={"CC": ["other"], "BCC": ["other"], "x-death": [{"queue": "messages"}], "x-first-death-queue": "messages",
                 "x-delivery-count": 19, "x-publish-tag": 7, "mine": "kept"})
    copy = onward(properties, {"x-attempt": 2}, ROOM)
    assert copy.headers == {"mine": "kept", "x-attempt": 2, "x-published-by": "someone"}
    assert (copy.expiration, copy.user_id, copy.reply_to, copy.delivery_mode) == (None, None, None, 2)


def test_headers_that_do_not_fit_are_left_out_and_named():
    properties = BasicProperties(headers={"small": 1, "huge": "a" * 130_960, "other": "b"})
    copy = onward(properties, {}, ROOM)
    assert copy.headers == {"small": 1, "other": "b", "x-omitted-headers": ["huge"]}


def test_of_many_headers_as_many_as_fit_are_kept():
    properties = BasicProperties(headers={f"header-{number}": "a" * 1000 for number in range(100)})
    copy = onward(properties, {}, ROOM)
    assert 60 < len(copy.headers) < 70
    assert sum(map(len, copy.encode())) < ROOM + 2000


def test_an_own_header_replaces_a_forged_one():
    properties = BasicProperties(headers={"x-attempt": "a" * 1000})
    assert onward(properties, {"x-attempt": 2}, ROOM).headers == {"x-attempt": 2}


@given(st.text())
def test_a_shortened_text_fits_and_is_text(text):
    assert len(short(text).encode()) <= 255


@pytest.mark.parametrize(("headers", "timestamp", "expected"), [
    ({PUBLISHED_AT_MS: int(NOW * 1000) - 5000}, None, NOW - 5),
    ({PUBLISHED_AT_MS: int(NOW * 1000) + 500}, None, NOW),  # a clock that is a little ahead
    ({PUBLISHED_AT_MS: int(NOW * 1000) + 60_000}, None, None),
    ({PUBLISHED_AT_MS: int(NOW * 1000) + 60_000}, int(NOW) - 3, NOW - 3),
    ({PUBLISHED_AT_MS: 2**63 - 1}, None, None),
    ({PUBLISHED_AT_MS: -1}, None, None),
    ({PUBLISHED_AT_MS: True}, None, None),
    ({PUBLISHED_AT_MS: "text"}, int(NOW), NOW),
    ({PUBLISHED_AT_MS: None}, None, None),
    ({}, int(NOW * 1000), None),  # milliseconds where AMQP has seconds
    ({}, 2**64 - 1, None),
    ({}, 0, None),
    (None, int(NOW - MAX_AGE_SECONDS) - 1, None),
    (None, int(NOW) - 86400, NOW - 86400),
    (None, None, None),
])
def test_only_a_plausible_time_counts(headers, timestamp, expected):
    properties = BasicProperties(headers=headers, timestamp=timestamp)
    assert published_at(properties, NOW) == expected
