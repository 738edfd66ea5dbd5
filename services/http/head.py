"""A request's head: RFC 9112, with nothing in it that two readers could understand differently.

https://www.rfc-editor.org/rfc/rfc9112.html
"""

import re
from functools import lru_cache
from typing import NamedTuple

from werkzeug.exceptions import (
    BadRequest,
    HTTPVersionNotSupported,
    NotImplemented,
    RequestEntityTooLarge,
    RequestHeaderFieldsTooLarge,
    RequestURITooLarge,
)

from .client import Client

END = b"\r\n\r\n"
MAX_LINE_BYTES = 8 * 1024
MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 100

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/(\d)\.(\d)" % _TOKEN)
_START = re.compile(rb"\r?\n?(?:%b(?: |$)|$)" % _TOKEN)
_HEADERS = re.compile(rb"(?:%b:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n" % _TOKEN)
_ABSOLUTE_FORM = re.compile(r"^https?://[^/?]*/?", re.IGNORECASE)
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(r"[0-9]+")
_MAX_LENGTH_DIGITS = 18
# A name, an address or nothing, and a port. Others, Flask cannot route.
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])?(?::[0-9]{{0,5}})?")


class Headers(NamedTuple):
    """Shared by all requests with the same headers: read only."""

    environ: dict[str, str]  # as WSGI names them
    content_length: int
    is_chunked: bool
    connection: frozenset[str]
    expects_continue: bool


class Head(NamedTuple):
    method: str
    target: str
    is_http_1_0: bool
    headers: Headers

    @property
    def keeps_alive(self) -> bool:
        connection = self.headers.connection
        return "keep-alive" in connection if self.is_http_1_0 else "close" not in connection


def read(client: Client, deadline: float) -> Head:
    """Raises an HTTPException when it is malformed, too large or too late."""
    data = client.until(END, MAX_HEAD_BYTES, deadline, _check_beginning)
    if data is None:
        raise RequestHeaderFieldsTooLarge(f"the headers are larger than {MAX_HEAD_BYTES} bytes; send fewer")
    # RFC 9112, 2.2: one empty line before a request is ignored.
    line, _, headers = data.removeprefix(b"\r\n").partition(b"\r\n")
    method, target, is_http_1_0 = _request_line(line)
    head = Head(method, target, is_http_1_0, _headers(headers))
    if is_http_1_0 and head.headers.is_chunked:
        raise BadRequest("Transfer-Encoding needs HTTP/1.1")
    return head


def _check_beginning(data: bytes) -> None:
    """Refuse at once what cannot become a request, rather than at the deadline."""
    if not _START.match(data) or _BARE_LINE_FEED.search(data):
        raise BadRequest("this is not an HTTP/1.1 request")
    line, end, _ = data.removeprefix(b"\r\n").partition(b"\r\n")
    if end or len(line) > MAX_LINE_BYTES:
        _request_line(line)


def _request_line(line: bytes) -> tuple[str, str, bool]:
    """Method, target, and whether it is HTTP/1.0."""
    if len(line) > MAX_LINE_BYTES:
        raise RequestURITooLarge(f"the request line is longer than {MAX_LINE_BYTES} bytes")
    if not (found := _REQUEST_LINE.fullmatch(line)):
        raise BadRequest("the request line is malformed")
    method, target, major, minor = (part.decode() for part in found.groups())
    if major != "1":
        raise HTTPVersionNotSupported("only HTTP/1.1 and HTTP/1.0 are spoken here")
    return method, _ABSOLUTE_FORM.sub("/", target, 1), minor == "0"


@lru_cache(maxsize=128)
def _headers(data: bytes) -> Headers:
    """Remembered: clients send the same headers again and again."""
    if not _HEADERS.fullmatch(data):
        raise BadRequest("a header is malformed")
    lines = data.decode("latin-1").split("\r\n")[:-2]
    if len(lines) > MAX_HEADERS:
        raise RequestHeaderFieldsTooLarge(f"there are more than {MAX_HEADERS} headers; send fewer")
    environ = _environ(lines)
    if not _HOST.fullmatch(environ.get("HTTP_HOST", "")):
        raise BadRequest("Host must be one name or address")
    return Headers(environ, *_framing(environ), _tokens(environ.get("HTTP_CONNECTION", "")),
                   environ.get("HTTP_EXPECT", "").lower() == "100-continue")


def _environ(lines: list[str]) -> dict[str, str]:
    environ: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        if "_" in name:
            continue  # WSGI could not tell it from the same name with a hyphen
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        value = value.strip(" \t")
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ


def _framing(environ: dict[str, str]) -> tuple[int, bool]:
    """The body's length, and whether it comes in chunks instead. RFC 9112, 6.3."""
    coding, length = environ.get("HTTP_TRANSFER_ENCODING"), environ.get("CONTENT_LENGTH")
    if coding is not None:
        if length is not None:
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other")
        if coding.lower() != "chunked":
            raise NotImplemented("the only Transfer-Encoding known here is chunked")
        return 0, True
    if length is None:
        return 0, False
    if not _LENGTH.fullmatch(length):
        raise BadRequest("Content-Length must be one number")
    if len(length) > _MAX_LENGTH_DIGITS:
        raise RequestEntityTooLarge("the body is too large")
    return int(length), False


def _tokens(value: str) -> frozenset[str]:
    return frozenset(token.strip().lower() for token in value.split(","))
