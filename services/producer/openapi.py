"""The API's description of itself: OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.1.html."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from services.messaging.schema import Message

from .publisher import Result
from .settings import ProducerSettings

Timestamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$", description="UTC")]

MESSAGE = {"id": "msg1", "payload": "content", "processing_time": 1.5}
BATCH = {"messages": [{"id": "msg1", "payload": "content"}, {"id": "msg2", "payload": {"any": "JSON"}}]}
TIME = "2024-01-01T00:00:00"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Produced(_Answer):
    status: Literal["success"]
    message_id: str
    timestamp: Timestamp


class BatchProduced(_Answer):
    status: Literal["success"]
    messages_produced: int


class MessageResult(_Answer):
    id: str
    status: Result


class BatchPartlyProduced(_Answer):
    status: Literal["partial"]
    messages_produced: int
    results: list[MessageResult]


class Error(_Answer):
    """`fields` names what is wrong with each field of the body."""

    status: Literal["error"]
    error: str
    fields: dict[str, str] = {}
    timestamp: Timestamp


class NotProduced(_Answer):
    """What is known of the message, or of each one of a batch."""

    status: Literal["error"]
    error: str
    message_id: str = ""
    messages_produced: int = 0
    results: list[MessageResult] = []
    timestamp: Timestamp


class Healthy(_Answer):
    status: Literal["healthy"]
    timestamp: Timestamp


class Unhealthy(_Answer):
    status: Literal["unhealthy"]
    reason: str
    timestamp: Timestamp


_HEALTHY = {"status": "healthy", "timestamp": TIME}
_NOT_PRODUCED = {"status": "error", "error": "the broker is away; the message is not stored", "message_id": "msg1",
                 "timestamp": TIME}
_RETRY_AFTER = {"Retry-After": {
    "description": "Seconds to wait before the next try.", "required": True, "schema": {"type": "integer", "minimum": 1}}}
_ALLOW = {"Allow": {"description": "The methods that are.", "required": True, "schema": {"type": "string"}}}


def document(settings: ProducerSettings) -> dict[str, Any]:
    """The whole document, with the limits that the settings set."""
    models = (Message, Produced, BatchProduced, BatchPartlyProduced, Error, NotProduced, Healthy, Unhealthy)
    _, schemas = models_json_schema([(model, "validation") for model in models],
                                    ref_template="#/components/schemas/{model}")
    healthy = _answer("All is well.", Healthy, _HEALTHY)
    unhealthy = _answer("It cannot do its work; `reason` says why.", Unhealthy, {
        "status": "unhealthy", "reason": "no connection to the broker (stream lost)", "timestamp": TIME})
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "sre-lab producer", "version": "1",
            "description": "Takes messages and publishes them. A 2xx means that the broker has confirmed them. Any call "
                           "may also be answered 414, 501 or 505, where the server does not take such requests, and "
                           "503 where too many connections are open, with `Error`; the connection then ends.",
        },
        "paths": {
            "/health": {"get": _call("Whether messages can be published", {200: healthy, 503: unhealthy})},
            "/health/ready": {"get": _call("The same as /health", {200: healthy, 503: unhealthy})},
            "/health/live": {"get": _call("Whether the process answers at all", {200: healthy})},
            "/produce": {"post": _publishing("Publish one message", settings, _reference("Message"), MESSAGE, {
                201: _answer("The broker has confirmed the message.", Produced, {
                    "status": "success", "message_id": "msg1", "timestamp": TIME}),
            })},
            "/batch-produce": {"post": _publishing("Publish several messages", settings, _batch(settings), BATCH, {
                201: _answer("The broker has confirmed all messages.", BatchProduced, {
                    "status": "success", "messages_produced": 2}),
                207: _answer("It has confirmed a part; `results` says which.", BatchPartlyProduced, {
                    "status": "partial", "messages_produced": 1,
                    "results": [{"id": "msg1", "status": "confirmed"}, {"id": "msg2", "status": "nacked"}]}),
            })},
            "/metrics": {"get": _call("Metrics in Prometheus' text format", {
                200: {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}})},
            "/openapi.json": {"get": _call("This document", {
                200: {"description": "The document.", "content": {"application/json": {"schema": {"type": "object"}}}}})},
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _batch(settings: ProducerSettings) -> dict:
    messages = {"type": "array", "items": _reference("Message"), "minItems": 1, "maxItems": settings.max_batch,
                "description": "No id may occur twice."}
    return {"type": "object", "properties": {"messages": messages}, "required": ["messages"],
            "additionalProperties": False}


def _publishing(summary: str, settings: ProducerSettings, body: dict, example: dict, successes: dict) -> dict:
    content = {"application/json": {"schema": body, "example": example}}
    return {"requestBody": {"required": True, "content": content}} | _call(summary, successes | {
        400: _answer("The body is wrong; nothing was published.", Error, {
            "status": "error", "error": "id: Field required", "fields": {"id": "Field required"}, "timestamp": TIME}),
        413: _answer("The body or the batch is too large.", Error, _error(
            f"the body is larger than {settings.max_body_bytes} bytes")),
        503: _answer("Not stored, `error` says why: come back.", NotProduced, _NOT_PRODUCED, _RETRY_AFTER),
        504: _answer("Not confirmed in time, so nobody knows; a retry with the same id is safe.", NotProduced,
                     _NOT_PRODUCED | {"error": "the broker did not confirm in time, so the outcome is unknown"}),
    })


def _call(summary: str, answers: dict[int, dict]) -> dict:
    any_call = {
        400: _answer("Not HTTP/1.1.", Error, _error("the request line is malformed")),
        405: _answer("There is no such method here.", Error, _error("The method is not allowed."), _ALLOW),
        408: _answer("The request did not arrive in time.", Error, _error("the request did not arrive in time")),
        431: _answer("Too many headers, or too large.", Error, _error("there are more than 100 headers; send fewer")),
    }
    return {"summary": summary,
            "responses": {str(status): answer for status, answer in sorted((any_call | answers).items())}}


def _answer(description: str, model: type[BaseModel], example: dict, headers: dict | None = None) -> dict:
    content = {"application/json": {"schema": _reference(model.__name__), "example": example}}
    return {"description": description, "headers": headers or {}, "content": content}


def _error(text: str) -> dict:
    return {"status": "error", "error": text, "timestamp": TIME}


def _reference(schema: str) -> dict:
    return {"$ref": f"#/components/schemas/{schema}"}
