"""Cuts data into small pieces, with a pause after each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.proxy import go_json
from lab.proxy.toxics.base import Behaviour, Interrupted

if TYPE_CHECKING:
    from lab.proxy.stub import Stub


@dataclass
class Slicer(Behaviour):
    """Sizes are in bytes, ``delay`` is in microseconds."""

    kind = "slicer"
    go_name = "SlicerToxic"
    attribute_type = go_json.INT

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0

    async def pipe(self, stub: Stub) -> None:
        async for chunk in stub:
            start = 0
            for end in self._cuts(0, len(chunk.data)):
                await stub.send(chunk._replace(data=chunk.data[start:end]))
                start = end
                try:
                    await stub.pause(self.delay / 1_000_000)
                except Interrupted:
                    await stub.send(chunk._replace(data=chunk.data[start:]))
                    raise

    def _cuts(self, start: int, end: int) -> Iterator[int]:
        """Where pieces end: halves, and halves of them, until they are small enough.

        A piece has at least one byte and every cut falls inside; the real Toxiproxy has
        neither guard, and dies of an average size of 0.
        """
        if end - start <= max(self.average_size + self.size_variation, 1):
            yield end
            return
        middle = start + (end - start) // 2
        if self.size_variation > 0:
            middle += random.randrange(-self.size_variation, self.size_variation)
        middle = min(max(middle, start + 1), end - 1)
        yield from self._cuts(start, middle)
        yield from self._cuts(middle, end)
