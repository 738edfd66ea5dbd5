"""Settings of the producer."""

from typing import Literal

from pydantic import Field

from services.messaging.settings import BrokerSettings


class ProducerSettings(BrokerSettings):
    """Times are in seconds, sizes in bytes."""

    producer_bind: str = "127.0.0.1"
    producer_port: int = Field(5000, ge=1, le=65535)
    producer_workers: int = Field(2, ge=1, le=32)
    flask_env: Literal["production", "development"] = "production"
    confirm_timeout: float = Field(5.0, gt=0, le=120)
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_batch: int = Field(1000, ge=1)
    # How long a client may take to send its body.
    body_timeout: float = Field(30.0, gt=0, le=3600)
    # Both bound what a stuck broker can make a worker hold: messages, and the bytes of their bodies.
    max_in_flight: int = Field(5000, ge=1)
    max_in_flight_bytes: int = Field(32 * 1024 * 1024, ge=1024)
