"""A request's body, as it arrives."""

import re
import time
from collections.abc import Callable, Iterator

from werkzeug.exceptions import BadRequest, ClientDisconnected, HTTPException, RequestEntityTooLarge

from .client import Client
from .head import Headers
from .limits import Limits

# What a slow start may take before the rate counts.
GRACE_SECONDS = 5.0
MAX_LINE_BYTES = 1024
# Sizes, extensions and trailers may be so long, and a quarter of the body besides: a body of tiny chunks takes
# thousands of times longer to read than another one of its size.
FRAMING_BYTES = 16 * 1024
# 15 hexadecimal digits are more than anybody stores.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Body:
    """`wsgi.input` of the server, for applications that read it in pieces."""

    def __init__(self, client: Client, headers: Headers, limits: Limits, on_complete: Callable[[Client], None]):
        self._client = client
        self._headers = headers
        self._limits = limits
        self._started = time.monotonic()
        self._received = 0
        self._framing = 0
        self._on_complete = on_complete
        self.is_complete = False
        if not headers.content_length and not headers.is_chunked:
            self._complete()

    def _complete(self) -> None:
        self.is_complete = True
        self._on_complete(self._client)

    def read_all(self, most: int) -> bytes:
        """All of it. Raises RequestEntityTooLarge, and what `pieces` raises."""
        whole = bytearray()  # not a list of pieces: one of a single byte takes forty
        for piece in self.pieces(most):
            whole += piece
        return bytes(whole)

    def pieces(self, most: int) -> Iterator[bytes]:
        """All of it, as it arrives; `most` bytes are allowed.

        Raises HTTPException: RequestEntityTooLarge, RequestTimeout, BadRequest, or what `cut_off` was given.
        """
        if self.is_complete:
            return
        if self._headers.content_length > most:
            raise _too_large(most)
        if self._headers.expects_continue and not self._client.buffered:
            self._send_continue()
        for piece in self._chunked() if self._headers.is_chunked else self._counted(self._headers.content_length):
            self._received += len(piece)
            if self._received > most:
                raise _too_large(most)
            yield piece
        self._complete()

    def cut_off(self, verdict: HTTPException) -> None:
        self._client.cut_off(verdict)

    def _discard(self) -> None:
        """gevent calls it after the answer. What was not read ends the connection instead."""

    def _send_continue(self) -> None:
        try:
            self._client.send(_CONTINUE, self._deadline())
        except BrokenPipeError:
            raise ClientDisconnected from None

    def _deadline(self) -> float:
        return self._started + min(self._limits.body_timeout,
                                   GRACE_SECONDS + self._received / self._limits.min_body_rate)

    def _counted(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._client.some(size, self._deadline())
            size -= len(piece)
            yield piece

    def _chunked(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._counted(size)
            if self._line() != b"\r\n":
                raise BadRequest("a chunk is longer than announced")
        while self._line() != b"\r\n":
            pass  # trailers

    def _chunk_size(self) -> int:
        found = _CHUNK_LINE.fullmatch(self._line())
        if not found:
            raise BadRequest("a chunk's size is malformed")
        return int(found[1], 16)

    def _line(self) -> bytes:
        left = FRAMING_BYTES + self._received // 4 - self._framing
        line = self._client.until(b"\n", min(left, MAX_LINE_BYTES), self._deadline())
        if line is None:
            raise BadRequest("the chunks are too small, or their extensions or trailers too large")
        self._framing += len(line)
        return line


def _too_large(most: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"the body is larger than {most} bytes")
