"""The HTTP API. A 2xx is an honest promise: the broker has confirmed what it speaks of."""

import time

from flask import Flask, Response, g, request
from flask.json.provider import JSONProvider
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json
from werkzeug.exceptions import HTTPException

from services.http.connections import RETRY_AFTER_SECONDS
from services.http.errors import headers_of, report
from services.messaging.health import add_health, now
from services.messaging.schema import Message, is_undecodable, problems

from . import metrics, openapi
from .bodies import Bodies, NoRoom
from .publisher import Outgoing, Publisher, Result
from .settings import ProducerSettings

_ERRORS = {
    Result.NACKED: "the broker refused the message; it is not stored",
    Result.UNROUTABLE: "no queue is bound for the message; it is not stored",
    Result.UNAVAILABLE: "the broker is away; the message is not stored",
    Result.BLOCKED: "the broker blocks publishers (memory or disk alarm); the message is not stored",
    Result.OVERLOADED: "too much waits for the broker already; the message is not stored",
    Result.UNKNOWN: "the broker did not confirm in time, so the outcome is unknown; "
                    "a retry with the same id is safe",
}


class _Json(JSONProvider):
    """JSON by pydantic's serializer: a fifth of the standard library's time."""

    def dumps(self, obj, **_options) -> str:
        return to_json(obj).decode()


class _Batch(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    messages: list[Message]


class BadRequest(Exception):
    """The body cannot be accepted; `fields` names what is wrong with each field."""

    def __init__(self, error: str, fields: dict[str, str] | None = None, status: int = 400):
        super().__init__(error)
        self.fields = fields or {}
        self.status = status


def create_app(settings: ProducerSettings, publisher: Publisher) -> Flask:
    """The WSGI application of one worker."""
    app = Flask("producer")
    app.json = _Json(app)
    bodies = Bodies(settings, publisher.bytes_in_flight)
    add_health(app, publisher.trouble)
    _measure_requests(app)
    _answer_errors_as_json(app)

    @app.post("/produce")
    def produce():
        body = bodies.read()
        message = _parse(Message, body)
        [result] = publisher.publish([Outgoing(message.id, body)])
        if result is Result.CONFIRMED:
            return {"status": "success", "message_id": message.id, "timestamp": now()}, 201
        return _failure(result, message_id=message.id)

    @app.post("/batch-produce")
    def batch_produce():
        messages = _parse(_Batch, bodies.read()).messages
        _check_batch(messages, settings.max_batch)
        results = publisher.publish([Outgoing(message.id, to_json(message)) for message in messages])
        produced = results.count(Result.CONFIRMED)
        if produced == len(messages):
            return {"status": "success", "messages_produced": produced}, 201
        report = {
            "messages_produced": produced,
            "results": [{"id": message.id, "status": result.value}
                        for message, result in zip(messages, results, strict=True)],
        }
        if produced:
            return {"status": "partial", **report}, 207
        # Where one outcome is unknown, 'not stored' would be a lie about the whole.
        worst = Result.UNKNOWN if Result.UNKNOWN in results else results[0]
        return _failure(worst, **report)

    @app.get("/metrics")
    def exposition():
        return Response(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    description = openapi.document(settings)

    @app.get("/openapi.json")
    def describe():
        return description

    return app


def _parse(model: type[BaseModel], body: bytes):
    """The validated body, whatever content type the client declared."""
    if not body.strip():
        raise BadRequest("the body is empty; send a JSON object")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _bad_request(error) from None


def _bad_request(error: ValidationError) -> BadRequest:
    fields = problems(error)
    if is_undecodable(error):
        return BadRequest(f"the body cannot be read: {fields['body']}")
    return BadRequest("; ".join(f"{path}: {text}" for path, text in fields.items()), fields)


def _check_batch(messages: list[Message], limit: int) -> None:
    if not messages:
        raise BadRequest("messages: must hold at least one message", {"messages": "must not be empty"})
    if len(messages) > limit:
        problem = f"holds {len(messages)} messages, the limit is {limit}; send smaller batches"
        raise BadRequest(f"messages: {problem}", {"messages": problem}, status=413)
    first_seen: dict[str, int] = {}
    for index, message in enumerate(messages):
        first = first_seen.setdefault(message.id, index)
        if first != index:
            problem = f"repeats the id of messages[{first}]"
            raise BadRequest(f"messages[{index}].id: {problem}", {f"messages[{index}].id": problem})


def _failure(result: Result, **more):
    body = {"status": "error", "error": _ERRORS[result], **more, "timestamp": now()}
    if result is Result.UNKNOWN:
        return body, 504
    return body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)}


def _measure_requests(app: Flask) -> None:
    @app.before_request
    def start():
        g.started = time.perf_counter()

    @app.after_request
    def observe(response: Response) -> Response:
        # A client may ask for any path with any method: neither becomes a label.
        method, route = (request.method, request.url_rule.rule) if request.url_rule else ("any", "unmatched")
        metrics.request_seconds(method, route, response.status_code).observe(time.perf_counter() - g.started)
        return response


def _answer_errors_as_json(app: Flask) -> None:
    @app.errorhandler(BadRequest)
    def bad_request(error: BadRequest):
        return {"status": "error", "error": str(error), "fields": error.fields, "timestamp": now()}, error.status

    @app.errorhandler(NoRoom)
    def no_room(_error: NoRoom):
        metrics.PUBLISH_FAILURES.labels(Result.OVERLOADED.value).inc()  # nobody knows of how many messages
        return _failure(Result.OVERLOADED)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException):
        return report(error), error.code, headers_of(error)

    @app.errorhandler(Exception)
    def unexpected(error: Exception):
        app.logger.exception("request failed")
        return {"status": "error", "error": "internal error; see the producer's log", "timestamp": now()}, 500
