"""Delays all data by a time, give or take some jitter."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour, Interrupted

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class Latency(Behaviour):
    """``latency`` and ``jitter`` are in milliseconds.

    The delay counts from when a chunk was received, so a chunk does not wait for the one
    before it; 1024 of them may be on their way (GetBufferSize in latency.go).
    """

    kind = "latency"
    go_name = "LatencyToxic"
    buffer_chunks = 1024

    latency: int = 0
    jitter: int = 0

    async def pipe(self, stub: Stub) -> None:
        async for chunk in stub:
            wait = self._delay() - (time.monotonic() - chunk.received)
            try:
                await stub.pause(wait)
            except Interrupted:
                await stub.send(chunk)
                raise
            # The next toxic must not take this delay for its own.
            await stub.send(chunk._replace(received=chunk.received + wait))

    def _delay(self) -> float:
        jitter = random.randrange(-self.jitter, self.jitter) if self.jitter > 0 else 0
        return (self.latency + jitter) / 1000
