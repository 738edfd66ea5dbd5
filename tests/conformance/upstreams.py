"""The far sides of proxied connections, and what tests do with sockets."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import toxiproxy
from proxy_servers import DEADLINE


class EchoServer:
    """Sends back what it receives, each connection in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:{1}".format(*self._listener.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass  # a toxic, or the end of the test


class Wire:
    """A proxy whose two ends are both in the test's hands."""

    def __init__(self, toxi: toxiproxy.Toxiproxy, sockets: ExitStack) -> None:
        self._sockets = sockets
        self._listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listener.settimeout(DEADLINE)
        upstream = "127.0.0.1:{1}".format(*self._listener.getsockname())
        self.proxy = toxi.create(name="wire", upstream=upstream)

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """The client's and the server's end of a new connection."""
        client = self._sockets.enter_context(connect(self.proxy.listen))
        server = self._sockets.enter_context(self._listener.accept()[0])
        server.settimeout(DEADLINE)
        return client, server

    def sides(self, stream: str) -> tuple[socket.socket, socket.socket]:
        """A new connection, as the sender's and the receiver's end of that stream."""
        client, server = self.connect()
        return (client, server) if stream == "upstream" else (server, client)


def connect(listen: str) -> socket.socket:
    host, port = listen.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=DEADLINE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly ``count`` bytes, or what came before the end of the stream."""
    data = b""
    while len(data) < count and (more := connection.recv(min(count - len(data), 1 << 16))):
        data += more
    return data


def receive_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    data = bytearray()
    while more := connection.recv(1 << 16):
        data += more
    return bytes(data)


def round_trip(connection: socket.socket, data: bytes = b"ping") -> float:
    """Sends data to an echo server and checks what comes back; the time it took, in s."""
    started = time.monotonic()
    connection.sendall(data)
    assert receive(connection, len(data)) == data
    return time.monotonic() - started


def is_silent(connection: socket.socket, seconds: float = 0.15) -> bool:
    """Whether nothing comes, not even the end of the stream, for so long."""
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(DEADLINE)
    return False


def has_ended(connection: socket.socket) -> bool:
    """Whether the peer ended the connection, be it orderly or by a reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def eventually(condition: Callable[[], object]) -> object:
    """Polls until the condition holds, and gives back what it gave."""
    limit = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < limit, "the condition did not come true in time"
        time.sleep(0.02)
    return result
