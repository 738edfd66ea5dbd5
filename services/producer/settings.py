"""Settings of the producer."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from services.http.limits import Limits
from services.messaging.settings import BrokerSettings


class ProducerSettings(BrokerSettings):
    """Times are in seconds, sizes in bytes."""

    producer_bind: str = "127.0.0.1"
    producer_port: int = Field(5000, ge=1, le=65535)
    producer_workers: int = Field(2, ge=1, le=32)
    flask_env: Literal["production", "development"] = "production"
    confirm_timeout: float = Field(5.0, gt=0, le=120)
    # A batch's messages are serialised again, and may grow to 3.8 times their size ("1e15," becomes
    # "1000000000000000.0,"); the broker takes messages of up to 4 MiB (max_message_size in rabbitmq/sre-lab.conf).
    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=1024 * 1024)
    max_batch: int = Field(1000, ge=1)
    # How long a client may take: for a request's headers, for its body, and to take the answer.
    head_timeout: float = Field(10.0, gt=0, le=3600)
    body_timeout: float = Field(30.0, gt=0, le=3600)
    send_timeout: float = Field(10.0, gt=0, le=3600)
    # Bytes a second that a body must arrive at.
    min_body_rate: float = Field(1024.0, gt=0, le=1e9)
    # Of one worker. Each one takes a file descriptor.
    max_connections: int = Field(1000, ge=10, le=50_000)
    # Both bound what a stuck broker can make a worker hold: messages, and the bytes of their bodies.
    max_in_flight: int = Field(5000, ge=1)
    max_in_flight_bytes: int = Field(16 * 1024 * 1024, ge=1)

    @property
    def limits(self) -> Limits:
        """What one client may cost."""
        return Limits(max_connections=self.max_connections, head_timeout=self.head_timeout,
                      body_timeout=self.body_timeout, min_body_rate=self.min_body_rate, send_timeout=self.send_timeout)

    @field_validator("max_in_flight_bytes")
    @classmethod
    def _holds_a_body(cls, value: int, info: ValidationInfo) -> int:
        largest = info.data.get("max_body_bytes", 0)
        if value < largest:
            raise ValueError(f"must be at least MAX_BODY_BYTES ({largest}), or no body of that size ever passes")
        return value
