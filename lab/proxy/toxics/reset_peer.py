"""Resets the connection some time after data came, and passes none of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class ResetPeer(Behaviour):
    """``timeout`` is in milliseconds.

    A connection that was open when the toxic came is closed, not reset: only a new one is
    set to discard its data on close (ToxicLink.Start in link.go).
    """

    kind = "reset_peer"
    go_name = "ResetToxic"
    resets = True

    timeout: int = 0

    async def pipe(self, stub: Stub) -> None:
        await stub.receive()
        await asyncio.sleep(self.timeout / 1000)
