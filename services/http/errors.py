"""Errors as clients get them: JSON with the reason, wherever they were noticed."""

from werkzeug.exceptions import HTTPException

from services.messaging.health import now

_HEADERS = {"Allow", "Retry-After"}


def report(error: HTTPException) -> dict[str, str]:
    return {"status": "error", "error": error.description, "timestamp": now()}


def headers_of(error: HTTPException) -> list[tuple[str, str]]:
    return [(name, value) for name, value in error.get_headers() if name in _HEADERS]
