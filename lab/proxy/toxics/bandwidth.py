"""Passes data at a limited rate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour, Interrupted

if TYPE_CHECKING:
    from lab.proxy.channel import Chunk
    from lab.proxy.stub import Stub

SLICE_MS = 100  # what takes longer goes out in slices of that much time


@dataclass
class Bandwidth(Behaviour):
    """``rate`` is in KB/s, a KB being 1000 bytes; 0 lets nothing pass."""

    kind = "bandwidth"
    go_name = "BandwidthToxic"

    rate: int = 0

    async def pipe(self, stub: Stub) -> None:
        debt = 0.0  # seconds yet to wait; below 0 after a pause that took too long
        async for chunk in stub:
            debt = debt + len(chunk.data) / (self.rate * 1000) if self.rate > 0 else 0.0
            debt = await self._send(stub, chunk, debt)

    async def _send(self, stub: Stub, chunk: Chunk, debt: float) -> float:
        """Sends a chunk when its time has come; gives back the debt that is left."""
        data = chunk.data
        slice_bytes = max(self.rate, 0) * SLICE_MS
        try:
            while len(data) > slice_bytes:
                await stub.pause(SLICE_MS / 1000)
                await stub.send(chunk._replace(data=data[:slice_bytes]))
                data = data[slice_bytes:]
                debt -= SLICE_MS / 1000
            started = time.monotonic()
            await stub.pause(debt)
            debt -= time.monotonic() - started
        except Interrupted:
            await stub.send(chunk._replace(data=data))
            raise
        await stub.send(chunk._replace(data=data))
        return debt
