"""The message: what clients post, what crosses the broker, and what the consumer accepts."""

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

# AMQP 0-9-1 carries message-id as a short string: 255 bytes at most (specification, 4.2.5.3).
MAX_ID_BYTES = 255
# Far above any honest use, far below RabbitMQ's consumer_timeout of 30 minutes.
MAX_PROCESSING_SECONDS = 300.0

# Headers that travel with a message.
PUBLISHED_AT_MS = "x-published-at-ms"  # Unix time of the first publish in milliseconds: AMQP tables of pika hold no floats
ATTEMPT = "x-attempt"  # 1 for the first delivery, counted up by retries
PUBLISHED_BY = "x-published-by"  # the broker user that a message was published by, where it said so
DEAD_LETTER_REASON = "x-dead-letter-reason"
DEAD_LETTER_ERROR = "x-dead-letter-error"
PUBLISH_TAG = "x-publish-tag"  # the number of a publish on its channel: a returned message is known by it
OMITTED_HEADERS = "x-omitted-headers"  # names of headers that a copy lacks because they did not fit

# Why a consumer dead-letters a message at once: another attempt would end the same way.
POISON_REASONS = ("undecodable", "invalid", "unprocessable")


def _fits_amqp(value: str) -> str:
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"must be at most {MAX_ID_BYTES} bytes of UTF-8")
    # Ids stand in logs and ledgers, one line each.
    if not value.isprintable():
        raise ValueError("must not contain control characters or line breaks")
    return value


def _is_a_payload(value: JsonValue) -> JsonValue:
    if value is None:
        raise ValueError("must not be null")
    if not _is_finite(value):
        # They would be written as null: JSON has no such numbers (RFC 8259, 6).
        raise ValueError("must not contain NaN, Infinity or a number that is too large")
    return value


def _is_finite(value: JsonValue) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


# What the validators above say, for the API's description, as far as JSON Schema can say it: it counts
# characters, not bytes. str.isprintable() allows all but these two categories, and the space.
_ID_SCHEMA = {"maxLength": MAX_ID_BYTES, "pattern": r"^( |[^\p{C}\p{Z}])+$",
              "description": f"At most {MAX_ID_BYTES} bytes of UTF-8; no control characters, no line breaks."}
_PAYLOAD_SCHEMA = {"type": ["string", "number", "boolean", "object", "array"],
                   "description": "Any JSON but null."}


class Message(BaseModel):
    """A message as clients post it; `processing_time` is in seconds."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, json_schema_extra=_ID_SCHEMA), AfterValidator(_fits_amqp)]
    payload: Annotated[JsonValue, Field(json_schema_extra=_PAYLOAD_SCHEMA), AfterValidator(_is_a_payload)]
    processing_time: Annotated[
        float, Field(ge=0, le=MAX_PROCESSING_SECONDS, allow_inf_nan=False)
    ] = 0.0


def is_undecodable(error: ValidationError) -> bool:
    """Whether the text was no JSON at all, rather than JSON of another shape."""
    return error.error_count() == 1 and _details(error)[0]["type"] == "json_invalid"


def problems(error: ValidationError) -> dict[str, str]:
    """What is wrong with which field, for people: {"messages[3].id": "Field required"}."""
    return {_path(problem["loc"]): problem["msg"].removeprefix("Value error, ") for problem in _details(error)}


def _details(error: ValidationError) -> list:
    # Without what is not used here: a body can have a hundred thousand wrong fields.
    return error.errors(include_url=False, include_context=False, include_input=False)


def _path(location: tuple) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".") or "body"
