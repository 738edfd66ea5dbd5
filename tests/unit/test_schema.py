"""What is a message and what is not, as both services read it: from bytes of JSON."""

import json

import pytest
from pydantic import ValidationError

from services.messaging.schema import MAX_ID_BYTES, MAX_PROCESSING_SECONDS, Message

# What JSON calls a number may be more than a float can hold; Python's own NaN is no JSON, yet often sent.
NOT_FINITE = ["NaN", "Infinity", "-Infinity", "1e999"]


def body(**fields) -> str:
    return json.dumps({"id": "m1", "payload": "content"} | fields)


def parse(**fields) -> Message:
    return Message.model_validate_json(body(**fields))


def refused_field(text: str) -> str:
    """The path of the one field that the message is refused for."""
    with pytest.raises(ValidationError) as caught:
        Message.model_validate_json(text)
    [problem] = caught.value.errors()
    return ".".join(map(str, problem["loc"]))


def test_the_least_message():
    message = parse()
    assert (message.id, message.payload, message.processing_time) == ("m1", "content", 0)


@pytest.mark.parametrize("one", ["x", "x" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2), "a b/ü-☃", " "])
def test_ids_that_fit(one):
    assert parse(id=one).id == one


@pytest.mark.parametrize("one", [
    "", "x" * (MAX_ID_BYTES + 1), "é" * (MAX_ID_BYTES // 2 + 1), "☃" * 86,
    "two\nlines", "nul\0", "tab\t", "line\u2028separator", 7, True, None, ["m1"],
])
def test_ids_that_do_not_fit(one):
    assert refused_field(body(id=one)) == "id"


@pytest.mark.parametrize("seconds", [0, 0.0, 0.001, 1, MAX_PROCESSING_SECONDS])
def test_processing_times_that_are_allowed(seconds):
    assert parse(processing_time=seconds).processing_time == seconds


@pytest.mark.parametrize("seconds", [-0.001, MAX_PROCESSING_SECONDS + 0.001, True, False, "1", None, [1]])
def test_processing_times_that_are_not(seconds):
    assert refused_field(body(processing_time=seconds)) == "processing_time"


@pytest.mark.parametrize("number", NOT_FINITE)
def test_a_processing_time_is_finite(number):
    assert refused_field(f'{{"id": "m1", "payload": 1, "processing_time": {number}}}') == "processing_time"


@pytest.mark.parametrize("payload", ["", 0, False, 1.5, 2**80, [], {}, {"deep": [None, {"é": "☃"}]}])
def test_a_payload_is_any_json_and_crosses_the_broker_as_it_is(payload):
    message = parse(payload=payload)
    assert message.payload == payload
    assert Message.model_validate_json(message.model_dump_json()) == message


def test_a_payload_is_not_null():
    assert refused_field(body(payload=None)) == "payload"


@pytest.mark.parametrize("number", NOT_FINITE)
@pytest.mark.parametrize("payload", ["{}", '{{"deep": [{}]}}'])
def test_a_payload_holds_no_number_that_json_cannot_carry(number, payload):
    with pytest.raises(ValidationError):
        Message.model_validate_json(f'{{"id": "m1", "payload": {payload.format(number)}}}')


def test_unknown_fields_are_refused():
    assert refused_field(body(prioritty=1)) == "prioritty"


@pytest.mark.parametrize("missing", ["id", "payload"])
def test_missing_fields_are_named(missing):
    fields = {"id": "m1", "payload": 1}
    del fields[missing]
    assert refused_field(json.dumps(fields)) == missing


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "null", "\ufeff{}"])
def test_what_is_no_object_is_refused(text):
    assert refused_field(text) == ""
