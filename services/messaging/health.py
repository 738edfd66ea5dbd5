"""The health endpoints, the same in both services."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask


def now() -> str:
    """UTC in the form that the specification shows: 2024-01-01T00:00:00."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def add_health(app: Flask, trouble: Callable[[], str | None]) -> None:
    """Serve /health and /health/ready, which fail while there is `trouble`, and /health/live, which does not."""

    @app.get("/health")
    @app.get("/health/ready")
    def health():
        reason = trouble()
        if reason:
            return {"status": "unhealthy", "reason": reason, "timestamp": now()}, 503
        return {"status": "healthy", "timestamp": now()}

    @app.get("/health/live")
    def live():
        return {"status": "healthy", "timestamp": now()}
