"""One TCP socket with Go's manners: reads block, writes block, close wakes both.

Sockets rather than asyncio streams, since a proxy must not buffer on its own (the peer's
back pressure has to cross it) and must control how a socket is closed.
"""

import asyncio
import socket
import struct
from collections.abc import Callable

CHUNK_BYTES = 32 * 1024  # the buffer of Go's io.Copy
KEEPALIVE_SECONDS = 15  # Go's default, idle time and interval
KEEPALIVE_PROBES = 9


class Connection:
    """A connected non-blocking socket, for one reader and one writer at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future] = set()
        self._closed = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(sock)

    async def receive(self) -> bytes:
        """The next bytes, empty at the peer's end of stream; OSError where it broke."""
        while True:
            self._check_open()
            try:
                return self._sock.recv(CHUNK_BYTES)
            except (BlockingIOError, InterruptedError):
                await self._ready(self._loop.add_reader, self._loop.remove_reader)

    async def send(self, data: bytes) -> None:
        """Hands all of ``data`` to the kernel; OSError where the connection broke."""
        rest = memoryview(data)
        while rest:
            self._check_open()
            try:
                rest = rest[self._sock.send(rest):]
            except (BlockingIOError, InterruptedError):
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    def reset_on_close(self) -> None:
        """Makes close discard unsent data and send a TCP reset (SO_LINGER of 0 s)."""
        if not self._closed:
            linger = struct.pack("ii", 1, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def close(self) -> None:
        """Closes at once; a pending receive or send raises ConnectionAbortedError."""
        if self._closed:
            return
        self._closed = True
        # Before the descriptor goes: its number may be another connection's next.
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_closed_here())

    def _check_open(self) -> None:
        if self._closed:
            raise _closed_here()

    async def _ready(self, watch: Callable, unwatch: Callable) -> None:
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        watch(self._sock, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if not self._closed:
                unwatch(self._sock)


def _wake(waiter: asyncio.Future) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _closed_here() -> ConnectionAbortedError:
    return ConnectionAbortedError("use of closed network connection")


def _keep_alive(sock: socket.socket) -> None:
    """Probes idle peers, so that a half-open connection ends some day."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": KEEPALIVE_SECONDS,
        "TCP_KEEPINTVL": KEEPALIVE_SECONDS,
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
    }
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has all three
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
