"""A proxy: a listener, an upstream, and the connections between them."""

import asyncio
import logging
import socket

from lab.proxy import address
from lab.proxy.chain import ToxicChain
from lab.proxy.connection import Connection
from lab.proxy.errors import ProxyError
from lab.proxy.metrics import Metrics, Traffic

log = logging.getLogger(__name__)

ACCEPT_RETRY_SECONDS = 0.1  # when out of file descriptors


class Proxy:
    """Accepts clients while enabled; ``listen`` becomes the real address once it starts."""

    def __init__(self, name: str, listen: str, upstream: str, metrics: Metrics) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self.toxics = ToxicChain()
        self._metrics = metrics
        self._changing = asyncio.Lock()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task | None = None

    async def start(self) -> None:
        """Listens, unless it does; raises ProxyError where it cannot."""
        async with self._changing:
            await self._start()

    async def stop(self) -> None:
        """Stops listening and drops all connections; does nothing where it is stopped."""
        async with self._changing:
            await self._stop()

    async def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """Takes new settings; new addresses drop all connections. Raises ProxyError."""
        async with self._changing:
            if await self.differs(listen, upstream):
                await self._stop()
                self.listen, self.upstream = listen, upstream
            if enabled:
                await self._start()
            else:
                await self._stop()

    async def differs(self, listen: str, upstream: str) -> bool:
        """Whether these addresses are others than its own; raises ProxyError."""
        resolved = str(await address.resolve(listen))
        return self.listen != resolved or self.upstream != upstream

    def as_json(self) -> dict:
        """As the API shows it; the real one shows its logger, by accident, as an object."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": [toxic.as_json() for toxic in self.toxics.all()],
        }

    async def _start(self) -> None:
        if self.enabled:
            return
        self._listener = await address.listen(self.listen)
        self.listen = address.name_of(self._listener)
        self._accepting = asyncio.create_task(self._accept())
        self.enabled = True
        log.info("started proxy %s: %s -> %s", self.name, self.listen, self.upstream)

    async def _stop(self) -> None:
        if not self.enabled:
            return
        self.enabled = False
        self._accepting.cancel()
        await asyncio.wait([self._accepting])  # it watches the listener until it ends
        self._listener.close()
        self.toxics.disconnect()
        log.info("terminated proxy %s", self.name)

    async def _accept(self) -> None:
        """Takes one client at a time and dials for it, as Proxy.server in proxy.go."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("proxy %s cannot accept: %s", self.name, error)
                await asyncio.sleep(ACCEPT_RETRY_SECONDS)
            else:
                await self._serve(client)

    async def _serve(self, client: socket.socket) -> None:
        """Connects a client to the upstream, or closes it where that is away."""
        try:
            upstream = await address.dial(self.upstream)
        except BaseException as error:
            client.close()
            if not isinstance(error, (OSError, ValueError, ProxyError)):
                raise
            log.warning("proxy %s cannot reach its upstream: %s", self.name, error)
        else:
            traffic = Traffic(self._metrics, self.name, self.listen, self.upstream)
            self.toxics.connect(Connection(client), Connection(upstream), traffic)
