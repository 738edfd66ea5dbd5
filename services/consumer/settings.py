"""Settings of the consumer."""

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from services.messaging.settings import BrokerSettings

from .releases import CURRENT, RELEASES


class ConsumerSettings(BrokerSettings):
    """Times are in seconds."""

    consumer_name: str = Field(socket.gethostname(), min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    consumer_bind: str = "127.0.0.1"
    consumer_port: int = Field(8000, ge=1, le=65535)
    # How many messages the broker may send ahead of the acks.
    # https://www.rabbitmq.com/docs/consumer-prefetch
    consumer_prefetch: int = Field(10, ge=1, le=65535)
    consumer_concurrency: int = Field(4, ge=1, le=256)
    # Added to each message's own processing_time, and the share of attempts that fail on purpose:
    # they stand in for a slow or flaky dependency.
    consumer_extra_delay: float = Field(0.0, ge=0, le=300)
    consumer_failure_rate: float = Field(0.0, ge=0, le=1)
    consumer_release: Literal[RELEASES] = CURRENT
    max_attempts: int = Field(5, ge=1, le=20)
    retry_base_delay: float = Field(1.0, ge=0.01, le=3600)
    # Both forms of the stack kill what has not ended after 20 s; saying goodbye to the broker takes 3 of them at most.
    shutdown_grace: float = Field(10.0, ge=0, le=15)
    # Where the ledger of processed ids is written; none is written when it is not set.
    ledger_dir: Path | None = None
