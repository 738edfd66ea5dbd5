"""A small HTTP/1.1 server for asyncio: one handler, keep-alive, no more than the API needs."""

import asyncio
import json
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

log = logging.getLogger(__name__)

IDLE_SECONDS = 60  # how long a connection may wait for its next request, as in api.go
READ_SECONDS = 15  # how long a request may take to arrive, as in api.go
MAX_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """Header names are in lower case, the path is decoded and without its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any) -> "Response":
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        return cls(status, body, {"Content-Type": "application/json"})

    @classmethod
    def text(cls, status: int, text: str) -> "Response":
        """Plain text that ends its line: what Go's http.Error writes."""
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
        }
        return cls(status, f"{text}\n".encode(), headers)


class BadRequest(Exception):
    """What came is no HTTP request that can be read; carries the status to answer with."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


Handler = Callable[[Request], Awaitable[Response]]


async def serve(listener: socket.socket, handler: Handler) -> asyncio.Server:
    """Answers requests on a listening socket until the server is closed."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _exchange(reader, writer, handler):
                pass
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # the client left or came to nothing; cancelled means the server ends
        finally:
            writer.close()

    return await asyncio.start_server(converse, sock=listener)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> bool:
    """One request and its response; tells whether another may follow."""
    try:
        request = await _read(reader)
    except BadRequest as error:
        await _write(writer, Response.text(error.status, str(error)), keep_alive=False)
        return False
    if request is None:
        return False
    response = await handler(request)
    log.debug("%s %s: %d", request.method, request.path, response.status)
    await _write(writer, response, request.keep_alive)
    return request.keep_alive


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None where the client has no more."""
    async with asyncio.timeout(IDLE_SECONDS):
        first = await _line(reader)
    if not first:
        return None
    async with asyncio.timeout(READ_SECONDS):
        headers = await _headers(reader)
        body = await _body(reader, headers)
    try:
        method, target, version = first.split(" ")
        path = unquote(urlsplit(target).path)
    except ValueError:
        raise BadRequest(400) from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest(505)
    wish = headers.get("connection", "").lower()
    keep_alive = wish == "keep-alive" if version == "HTTP/1.0" else wish != "close"
    return Request(method, path, headers, body, keep_alive)


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readline()).decode("latin-1").rstrip("\r\n")
    except ValueError:  # longer than the reader's limit
        raise BadRequest(431) from None


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers = {}
    while line := await _line(reader):
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400)
        headers[name.strip().lower()] = value.strip()
    return headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunked(reader)
    return await _sized(reader, headers.get("content-length", "0"), base=10)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while chunk := await _sized(reader, (await _line(reader)).partition(";")[0], base=16):
        await _line(reader)
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadRequest(413)
    await _headers(reader)  # trailers, which mean nothing here
    return body


async def _sized(reader: asyncio.StreamReader, size: str, base: int) -> bytes:
    try:
        count = int(size, base)
    except ValueError:
        raise BadRequest(400) from None
    if not 0 <= count <= MAX_BODY_BYTES:
        raise BadRequest(400 if count < 0 else 413)
    return await reader.readexactly(count)


async def _write(writer: asyncio.StreamWriter, response: Response, keep_alive: bool) -> None:
    headers = {
        **response.headers,
        "X-Toxiproxy-Request-Id": secrets.token_hex(10),
        "Date": formatdate(usegmt=True),
    }
    if response.status != HTTPStatus.NO_CONTENT:
        headers["Content-Length"] = str(len(response.body))
    if not keep_alive:
        headers["Connection"] = "close"
    status = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"
    lines = [status, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + response.body)
    await writer.drain()
