"""Closes the connection once it has passed so much data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class Passed:
    """How many bytes a connection has sent through the toxic."""

    bytes: int = 0


@dataclass
class LimitData(Behaviour):
    """``bytes`` is the most that a connection passes; updates keep its count."""

    kind = "limit_data"
    go_name = "LimitDataToxic"

    bytes: int = 0

    def new_state(self) -> Passed:
        return Passed()

    async def pipe(self, stub: Stub) -> None:
        passed: Passed = stub.state
        async for chunk in stub:
            data = chunk.data[: max(self.bytes - passed.bytes, 0)]
            if data:
                await stub.send(chunk._replace(data=data))
                passed.bytes += len(data)
            if passed.bytes >= self.bytes:
                return
