"""Passes all data through as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy.toxics.base import Behaviour

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class Noop(Behaviour):
    kind = "noop"
    go_name = "NoopToxic"

    async def pipe(self, stub: Stub) -> None:
        async for chunk in stub:
            await stub.send(chunk)
