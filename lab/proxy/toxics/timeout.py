"""Stops all data, and closes the connection after a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class Timeout(Behaviour):
    """``timeout`` is in milliseconds and starts anew with all data; 0 never closes.

    What came in meanwhile is lost, hence to remove the toxic closes the connection.
    """

    kind = "timeout"
    go_name = "TimeoutToxic"
    closes_when_removed = True

    timeout: int = 0

    async def pipe(self, stub: Stub) -> None:
        seconds = self.timeout / 1000 if self.timeout > 0 else None
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(seconds):
                    if await stub.receive() is None:
                        return
