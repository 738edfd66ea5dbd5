"""Keeps a connection from closing until some time has passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class SlowClose(Behaviour):
    """``delay`` is in milliseconds."""

    kind = "slow_close"
    go_name = "SlowCloseToxic"

    delay: int = 0

    async def pipe(self, stub: Stub) -> None:
        async for chunk in stub:
            await stub.send(chunk)
        await stub.pause(self.delay / 1000)
