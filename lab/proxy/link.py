"""One direction of one connection: source, a pipeline of toxics, destination."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise

from lab.proxy.channel import Channel, Chunk
from lab.proxy.connection import Connection
from lab.proxy.metrics import Traffic
from lab.proxy.stub import Stub
from lab.proxy.toxic import Direction, Toxic, pass_through

log = logging.getLogger(__name__)


class Link:
    """Copies from source to destination and closes the destination at the end.

    So the end of one direction ends the other too: as in Toxiproxy, a half-closed
    connection does not stay half open.
    """

    def __init__(
        self,
        direction: Direction,
        toxics: Sequence[Toxic],
        source: Connection,
        destination: Connection,
        traffic: Traffic,
        on_end: Callable[["Link"], None],
    ) -> None:
        self.direction = direction
        self._source = source
        self._destination = destination
        self._traffic = traffic
        self._on_end = on_end
        self._ended = False
        self._tasks: set[asyncio.Task] = set()
        chain = [pass_through(direction), *toxics]
        channels = [Channel(toxic.behaviour.buffer_chunks) for toxic in chain]
        ends = pairwise([*channels, Channel()])
        self._stubs = [Stub(toxic, *pair) for toxic, pair in zip(chain, ends)]
        if any(toxic.behaviour.resets for toxic in toxics):
            source.reset_on_close()
            destination.reset_on_close()

    def start(self) -> None:
        """Starts to copy, until the source's end or ``end``."""
        self._spawn(self._read(self._stubs[0].source))
        for stub in self._stubs:
            self._run(stub)
        self._spawn(self._write(self._stubs[-1].sink))

    def end(self) -> None:
        """Closes the destination and drops what is on its way; the caller runs on."""
        self._ended = True
        self._destination.close()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._on_end(self)

    async def add(self, toxic: Toxic) -> None:
        """Puts a toxic at the end of the pipeline."""
        await self._while_open(self._add(toxic))

    async def update(self, toxic: Toxic) -> None:
        """Starts a toxic anew, with its new attributes."""
        await self._while_open(self._update(toxic))

    async def remove(self, toxic: Toxic) -> None:
        """Takes a toxic out; what waits in front of it moves on first."""
        await self._while_open(self._remove(toxic))

    async def _read(self, pipeline: Channel) -> None:
        received = 0
        try:
            while data := await self._source.receive():
                await pipeline.put(Chunk.of(data))
                received += len(data)
        except OSError as error:
            log.debug("source terminated: %s", error)
        finally:
            self._traffic.received(self.direction.value, received)
        pipeline.close()

    async def _write(self, pipeline: Channel) -> None:
        sent = 0
        try:
            while (chunk := await pipeline.get()) is not None:
                await self._destination.send(chunk.data)
                sent += len(chunk.data)
        except OSError as error:
            log.debug("could not write to destination: %s", error)
            sent = 0  # the real one forgets the bytes of a connection that broke
        finally:
            self._traffic.sent(self.direction.value, sent)
        self.end()

    async def _add(self, toxic: Toxic) -> None:
        last = self._stubs[-1]
        if not await last.interrupt():
            return
        stub = Stub(toxic, Channel(toxic.behaviour.buffer_chunks), last.sink)
        last.sink = stub.source
        self._stubs.append(stub)
        self._run(stub)
        self._run(last)

    async def _update(self, toxic: Toxic) -> None:
        stub = self._stub_of(toxic)
        if stub and await stub.interrupt():
            self._run(stub)

    async def _remove(self, toxic: Toxic) -> None:
        stub = self._stub_of(toxic)
        if not stub or not await stub.interrupt():
            return
        if toxic.behaviour.closes_when_removed:
            stub.close()
            return
        previous = self._stubs[self._stubs.index(stub) - 1]
        # The previous toxic may be about to send, so keep its chunks moving until it stops.
        stub.toxic = pass_through(self.direction)
        self._run(stub)
        if await previous.interrupt() and await stub.interrupt():
            while stub.source.ready:
                await stub.send(stub.source.take())
            previous.sink = stub.sink
            self._stubs.remove(stub)
            self._run(previous)

    def _stub_of(self, toxic: Toxic) -> Stub | None:
        """The toxic's stub; None in a link that was about to end when the toxic came."""
        return next((stub for stub in self._stubs if stub.toxic is toxic), None)

    def _run(self, stub: Stub) -> None:
        stub.task = self._spawn(stub.run())

    async def _while_open(self, change: Coroutine) -> None:
        """Waits for a change, or for the end of the link that makes it pointless."""
        if self._ended:
            change.close()
        else:
            await asyncio.wait([self._spawn(change)])

    def _spawn(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
