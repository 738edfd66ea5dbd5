"""A place in a link's pipeline, where one toxic acts on one connection."""

import asyncio
import random

from lab.proxy.channel import Channel, Chunk
from lab.proxy.toxic import Toxic
from lab.proxy.toxics import Interrupted, Noop


class Stub:
    """Runs a toxic between two channels; can be interrupted to change the pipeline.

    A toxic is interrupted only while it receives or pauses, never while it sends: so no
    chunk is lost.
    """

    def __init__(self, toxic: Toxic, source: Channel, sink: Channel) -> None:
        self.toxic = toxic
        self.source = source
        self.sink = sink
        self.state = toxic.behaviour.new_state()
        self.closed = False
        self.task: asyncio.Task | None = None
        self._interrupted = False
        self._waiting: asyncio.Future | None = None

    async def run(self) -> None:
        """Runs the toxic, or by the chance that its toxicity leaves, nothing.

        The dice are thrown at every start, so also when the pipeline was changed.
        """
        toxic = self.toxic
        behaviour = toxic.behaviour if random.random() < toxic.toxicity else Noop()
        try:
            await behaviour.pipe(self)
        except Interrupted:
            return
        self.close()

    async def interrupt(self) -> bool:
        """Stops the toxic at its next safe point; False where the stream ended before."""
        if self.closed:
            return False
        self._interrupted = True
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(Interrupted())
        await asyncio.wait([self.task])
        self._interrupted = False
        return not self.closed

    def close(self) -> None:
        """Ends the stream here; what comes after it in the pipeline ends in turn."""
        self.closed = True
        self.sink.close()

    async def receive(self) -> Chunk | None:
        """The next chunk, None at the end of the stream; raises Interrupted."""
        self._check_interrupt()
        while not self.source.ready:
            await self._wait(self.source.arrival())
        return self.source.take()

    def __aiter__(self) -> "Stub":
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self.receive()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def send(self, chunk: Chunk) -> None:
        """Passes a chunk on; lasts as long as the rest of the pipeline is busy."""
        await self.sink.put(chunk)

    async def pause(self, seconds: float) -> None:
        """Lets time pass; raises Interrupted."""
        self._check_interrupt()
        if seconds <= 0:
            return
        over = asyncio.get_running_loop().create_future()
        timer = over.get_loop().call_later(seconds, _finish, over)
        try:
            await self._wait(over)
        finally:
            timer.cancel()

    def _check_interrupt(self) -> None:
        if self._interrupted:
            raise Interrupted

    async def _wait(self, future: asyncio.Future) -> None:
        self._waiting = future
        try:
            await future
        finally:
            self._waiting = None


def _finish(future: asyncio.Future) -> None:
    if not future.done():
        future.set_result(None)
