"""The connection to one client: what is read waits until a deadline, and another greenlet can end the wait."""

import errno
import socket
import time
from collections.abc import Callable

import gevent
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestTimeout

PIECE_BYTES = 16 * 1024
# How long a client whose answer is sent may go on sending, and how long it may pause meanwhile.
LINGER_SECONDS = 10.0
LINGER_PAUSE_SECONDS = 5.0
_TIMED_OUT = "the request did not arrive in time; nothing was done"
_ENDED = "the connection ended before the request did; nothing was done"


class Client:
    """All deadlines are times of the monotonic clock."""

    def __init__(self, sock: socket.socket):
        self._socket = sock
        self._buffer = b""
        self._start = 0  # of what is not read yet
        self._verdict: HTTPException | None = None
        self._receiver: gevent.Greenlet | None = None
        self._is_sending = False
        self._is_lingering = False

    @property
    def buffered(self) -> int:
        """How many bytes have arrived and are not read yet."""
        return len(self._buffer) - self._start

    @property
    def is_cut_off(self) -> bool:
        return self._verdict is not None

    def has_data(self, deadline: float) -> bool:
        """Whether something arrives in time; raises the verdict of `cut_off`."""
        try:
            if not self.buffered:
                self._receive(deadline)
        except (RequestTimeout, ClientDisconnected):
            return False
        return True

    def until(self, end: bytes, most: int, deadline: float,
              check: Callable[[bytes], None] | None = None) -> bytes | None:
        """What arrives up to and with `end`; None where that is more than `most` bytes.

        `check` sees what there is before each wait for more, and may raise.
        """
        while (found := self._buffer.find(end, self._start)) < 0:
            if check:
                check(self._buffer[self._start:])
            if self.buffered >= most:
                return None
            self._receive(deadline)
        size = found + len(end) - self._start
        return self._take(size) if size <= most else None

    def some(self, most: int, deadline: float) -> bytes:
        """At least one byte, at most so many."""
        if not self.buffered:
            self._receive(deadline)
        return self._take(min(most, self.buffered))

    def _take(self, size: int) -> bytes:
        if self._verdict:
            raise self._verdict
        taken = self._buffer[self._start:self._start + size]
        self._start += size
        if not self.buffered:
            self._buffer, self._start = b"", 0
        return taken

    def _receive(self, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        self._receiver = gevent.getcurrent()
        try:
            data = self._socket.recv(PIECE_BYTES)
        except TimeoutError:
            raise RequestTimeout(_TIMED_OUT) from None
        except OSError:
            data = b""
        finally:
            self._receiver = None
        if self._verdict:
            raise self._verdict
        if not data:
            raise ClientDisconnected(_ENDED)
        self._buffer, self._start = self._buffer[self._start:] + data, 0
        if len(data) == PIECE_BYTES:
            gevent.sleep(0)  # a client that sends as fast as it is read does not keep the others waiting

    def send(self, data: bytes, deadline: float) -> None:
        """Raises BrokenPipeError where the client does not take all of it in time."""
        self._is_sending = True
        rest = memoryview(data)
        try:
            while rest:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                rest = rest[self._socket.send(rest):]
        except OSError as error:
            raise BrokenPipeError(errno.EPIPE, f"the client did not take the answer: {error}") from None
        finally:
            self._is_sending = False

    def cut_off(self, verdict: HTTPException) -> None:
        """End its wait: what is being read fails with the verdict, what is being sent is dropped."""
        self._verdict = verdict
        if self._is_sending or self._is_lingering:
            self._shut_down(socket.SHUT_RDWR)
        elif self._receiver:
            gevent.get_hub().loop.run_callback(self._interrupt)

    def _interrupt(self) -> None:
        # The connection stays open for what the client still sends: Linux would answer that with a reset.
        if self._receiver:
            self._receiver.throw(self._verdict)

    def _shut_down(self, directions: int) -> None:
        try:
            self._socket.shutdown(directions)
        except OSError:
            pass  # it is gone already

    def linger(self) -> None:
        """Read on for a while: to close while bytes arrive resets the connection, and the answer is lost.

        RFC 9112, 9.6.
        """
        self._is_lingering = True
        self._shut_down(socket.SHUT_WR)
        end = time.monotonic() + LINGER_SECONDS
        try:
            while (left := end - time.monotonic()) > 0:
                self._socket.settimeout(min(left, LINGER_PAUSE_SECONDS))
                if not self._socket.recv(PIECE_BYTES):
                    break
                gevent.sleep(0)
        except OSError:
            pass

    def close(self) -> None:
        self._verdict = None  # it refers to frames that refer to this: the bytes there would await the collector
        self._socket.close()
