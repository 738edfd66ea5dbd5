"""Go's channel of stream chunks: what joins two neighbours of a link's pipeline."""

import asyncio
import time
from collections import deque
from typing import NamedTuple


class Chunk(NamedTuple):
    """Bytes on their way, with the time they were received (monotonic, in seconds)."""

    data: bytes
    received: float

    @classmethod
    def of(cls, data: bytes) -> "Chunk":
        return cls(data, time.monotonic())


class Channel:
    """A bounded queue for one sender and one receiver.

    With capacity 0 a put lasts until the chunk was taken: that carries back pressure from
    the destination through every toxic to the source.
    """

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = capacity
        self._chunks: deque[Chunk] = deque()
        self._closed = False
        self._taken: asyncio.Future | None = None
        self._arrived: asyncio.Future | None = None

    @property
    def ready(self) -> bool:
        """Whether take has an answer: a chunk, or None at the end."""
        return bool(self._chunks) or self._closed

    async def put(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        _wake(self._arrived)
        while len(self._chunks) > self._capacity:
            self._taken = asyncio.get_running_loop().create_future()
            await self._taken

    def take(self) -> Chunk | None:
        """The next chunk, None at the end of the stream; only where ``ready``."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        _wake(self._taken)
        return chunk

    async def get(self) -> Chunk | None:
        """Waits for the next chunk; None at the end of the stream."""
        while not self.ready:
            await self.arrival()
        return self.take()

    def arrival(self) -> asyncio.Future:
        """Done when ``ready`` may have become true."""
        self._arrived = asyncio.get_running_loop().create_future()
        return self._arrived

    def close(self) -> None:
        """Ends the stream, after the chunks that are in it."""
        self._closed = True
        _wake(self._arrived)


def _wake(waiter: asyncio.Future | None) -> None:
    if waiter and not waiter.done():
        waiter.set_result(None)
