"""What is a message and what is not, as both services read it: from bytes of JSON."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.messaging.schema import MAX_ID_BYTES, MAX_PROCESSING_SECONDS, Message, is_undecodable, problems

# What JSON calls a number may be more than a float can hold; Python's own NaN is no JSON, yet often sent.
NOT_FINITE = ["NaN", "Infinity", "-Infinity", "1e999"]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4), max_leaves=8)
CLEAN_TEXT = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=MAX_ID_BYTES)
RIGHT = {
    "id": CLEAN_TEXT.filter(lambda text: len(text.encode()) <= MAX_ID_BYTES),
    "payload": JSON.filter(lambda value: value is not None),
    "processing_time": st.floats(0, MAX_PROCESSING_SECONDS),
}
NOT_STRINGS = JSON.filter(lambda value: not isinstance(value, str))
BROKEN_FLOATS = st.sampled_from([float("nan"), float("inf"), float("-inf")])
WRONG = {
    "id": NOT_STRINGS | st.builds(
        "{}{}{}".format, st.text(max_size=5), st.characters(categories=["Cc", "Zl", "Zp"]), st.text(max_size=5),
    ) | st.text(min_size=MAX_ID_BYTES + 1, max_size=MAX_ID_BYTES + 40),
    "payload": st.none() | BROKEN_FLOATS | st.fixed_dictionaries({"deep": st.lists(BROKEN_FLOATS, min_size=1)}),
    "processing_time": (
        st.floats(max_value=0, exclude_max=True) | st.floats(min_value=MAX_PROCESSING_SECONDS, exclude_min=True)
        | BROKEN_FLOATS | JSON.filter(lambda value: type(value) not in {int, float})),
}
MESSAGES = st.fixed_dictionaries({"id": RIGHT["id"], "payload": RIGHT["payload"]},
                                 optional={"processing_time": RIGHT["processing_time"]})
# One right field made wrong, or one added that nobody knows.
SPOILS = st.one_of(
    *(st.tuples(st.just(field), values) for field, values in WRONG.items()),
    st.tuples(CLEAN_TEXT.filter(lambda name: name not in RIGHT), JSON))
# From noise to what is nearly a message.
BODIES = (
    st.binary() | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from([*RIGHT, "other"]), JSON).map(lambda value: json.dumps(value).encode()))


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


@given(BODIES)
@example(b'{"id": "m1", "payload": {"a": 1}}')
def test_whatever_comes_in_is_a_message_the_consumer_reads_too_or_is_refused_by_name(content):
    try:
        message = Message.model_validate_json(content)
    except ValidationError as error:
        assert all(path and text for path, text in problems(error).items())
        assert set(problems(error)) == {"body"} or isinstance(json.loads(content), dict)
        if is_undecodable(error):
            assert set(problems(error)) == {"body"}
    else:
        crossed = message.model_dump_json()
        assert Message.model_validate_json(crossed).model_dump_json() == crossed


@given(MESSAGES)
def test_a_right_message_is_accepted_and_reaches_the_consumer_unchanged(fields):
    message = Message.model_validate_json(json.dumps(fields))
    at_the_consumer = json.loads(message.model_dump_json())
    # As text: to Python 1, 1.0 and True are equal.
    assert json.dumps(at_the_consumer, sort_keys=True) == json.dumps({"processing_time": 0.0} | fields, sort_keys=True)
    assert Message.model_validate_json(message.model_dump_json()) == message


@given(MESSAGES, SPOILS)
@example({"id": "m1", "payload": 1}, (".", None))
def test_one_wrong_field_is_refused_and_named(fields, spoil):
    field, value = spoil
    with pytest.raises(ValidationError) as caught:
        Message.model_validate_json(json.dumps(fields | {field: value}))
    assert list(problems(caught.value)) == [field]


@given(MESSAGES, st.sampled_from(["id", "payload"]))
def test_a_missing_field_is_refused_and_named(fields, missing):
    del fields[missing]
    with pytest.raises(ValidationError) as caught:
        Message.model_validate_json(json.dumps(fields))
    assert problems(caught.value) == {missing: "Field required"}
