"""What all peers share: where the broker is, the durable queue they use, and the message."""

import os
from typing import Any

from pydantic import BaseModel

URL = os.environ["AMQP_URL"]
QUEUE = "benchmark"
QUORUM = {"x-queue-type": "quorum"}


class Message(BaseModel):
    id: str
    payload: Any
    processing_time: float = 0.0
