"""What is read from clients: heads and bodies, whole, in pieces, and as they may not be."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, RequestTimeout, ServiceUnavailable

from services.http import head
from services.http.body import Body
from services.http.client import Client
from services.http.connections import Connections
from services.http.limits import Limits

FRAGMENTS = [b"GET / HTTP/1.1", b"POST /produce HTTP/1.0", b" ", b"Host: a", b"Content-Length: 3", b"Content-Length: 30",
             b"Transfer-Encoding: chunked", b"X:", b" folded", b"no colon", b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b"\xff"]


class Arrivals:
    """A socket from which these pieces come, then the end."""

    def __init__(self, *pieces: bytes):
        self._pieces = [piece for piece in pieces if piece]

    def settimeout(self, _seconds: float) -> None:
        pass

    def recv(self, _most: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def in_pieces(data: bytes, cuts: list[int]) -> Client:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return Client(Arrivals(*(data[start:end] for start, end in zip(places, places[1:], strict=False))))


def soon() -> float:
    return time.monotonic() + 5


def outcome(client: Client) -> tuple:
    """A head and what follows it, or the status of its refusal."""
    try:
        found = head.read(client, soon())
    except HTTPException as error:
        return (error.code,)
    return (found, client.some(1000, soon()) if client.buffered else b"")


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join) | st.binary(max_size=200))
def test_a_head_is_read_or_refused_as_a_client_error(data):
    code = outcome(Client(Arrivals(data)))[0]
    assert isinstance(code, head.Head) or 400 <= code < 500 or code in {501, 505}


@given(st.lists(st.sampled_from([b"Host: a:80", b"X: y", b"Content-Length: 3", b"Connection: close"]), unique=True),
       st.lists(st.integers(0, 200), max_size=5))
def test_a_head_in_pieces_is_the_same_head(headers, cuts):
    data = b"\r\n".join([b"POST /produce?a=b HTTP/1.1", *headers, b"", b""])
    whole, _rest = outcome(Client(Arrivals(data)))
    assert outcome(in_pieces(data, cuts)) == (whole, b"")
    assert (whole.method, whole.target) == ("POST", "/produce?a=b")
    assert whole.headers.content_length == (3 if b"Content-Length: 3" in headers else 0)
    assert whole.keeps_alive == (b"Connection: close" not in headers)


@pytest.mark.parametrize(("headers", "code"), [
    (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"Content-Length: 1\r\nContent-Length: 1\r\n", 400),
    (b"Content-Length: 1, 1\r\n", 400),
    (b"Content-Length: -1\r\n", 400),
    (b"Content-Length: +1\r\n", 400),
    (b"Content-Length: \xb2\r\n", 400),
    (b"Content-Length: 1_0\r\n", 400),
    (b"Content-Length:\r\n", 400),
    (b"Content-Length: " + b"9" * 5000 + b"\r\n", 413),
    (b"Transfer-Encoding: gzip, chunked\r\n", 501),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
    (b"Transfer-Encoding : chunked\r\n", 400),
    (b"Transfer-Encoding: \x0bchunked\r\n", 400),
    (b"X: a\r\n Transfer-Encoding: chunked\r\n", 400),
    (b"X: a\rTransfer-Encoding: chunked\r\n", 400),
    (b"X: a\0\r\n", 400),
    (b"Host: a\r\nHost: b\r\n", 400),
    (b"Host: " + b"a" * 64 + b"\r\n", 400),
    (b"X: y\r\n" * 101, 431),
])
def test_headers_that_can_be_understood_differently_are_refused(headers, code):
    assert outcome(Client(Arrivals(b"POST /produce HTTP/1.1\r\n" + headers + b"\r\n"))) == (code,)


@pytest.mark.parametrize("beginning", [b"\x16\x03\x01\x02", b"GET /\n", b"GET /health\r\n", b"\0", b"AMQP\0\0\x09\x01"])
def test_what_cannot_become_a_request_is_refused_before_its_end(beginning):
    class Waits(Arrivals):
        def recv(self, _most: int) -> bytes:
            return super().recv(_most) or pytest.fail("it waits for more")

    assert outcome(Client(Waits(beginning))) == (400,)


def body(data: bytes, headers: bytes, cuts: list[int]) -> Body:
    parsed = head.read(Client(Arrivals(b"POST / HTTP/1.1\r\n" + headers + b"\r\n")), soon()).headers
    return Body(in_pieces(data, cuts), parsed, Limits(), lambda _client: None)


def chunked(data: bytes, sizes: list[int]) -> bytes:
    encoded = b""
    for size in sizes:
        chunk, data = data[:size], data[size:]
        encoded += b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
    return encoded + (b"%X\r\n%b\r\n" % (len(data), data) if data else b"") + b"0\r\nTrailer: x\r\n\r\n"


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=5), st.lists(st.integers(0, 500), max_size=8))
def test_a_chunked_body_is_what_was_sent(data, sizes, cuts):
    one = body(chunked(data, sizes), b"Transfer-Encoding: chunked\r\n", cuts)
    assert one.read_all(300) == data
    assert one.is_complete


@given(st.binary(max_size=60) | st.text("0123456789aAfF;x\r\n-").map(str.encode))
def test_other_chunks_are_refused_as_a_client_error(data):
    try:
        body(data, b"Transfer-Encoding: chunked\r\n", []).read_all(100)
    except HTTPException as error:
        assert error.code in {400, 413}


@pytest.mark.parametrize(("headers", "data"), [
    (b"Content-Length: 101\r\n", b""), (b"Transfer-Encoding: chunked\r\n", chunked(b"x" * 101, [9] * 11))])
def test_a_body_may_be_so_large(headers, data):
    with pytest.raises(RequestEntityTooLarge, match="larger than 100 bytes"):
        body(data, headers, []).read_all(100)


def test_a_body_that_ends_early_is_refused():
    with pytest.raises(BadRequest, match="ended"):
        body(b"12", b"Content-Length: 3\r\n", []).read_all(100)


@contextmanager
def connection():
    """A client, and the other end of its connection."""
    near, far = socket.socketpair()
    with near, far:
        yield Client(near), far


def test_the_wait_for_a_head_ends_at_the_deadline_however_much_arrives():
    class Drips(Arrivals):
        def recv(self, _most: int) -> bytes:
            if self.seconds <= 0.001:
                raise TimeoutError
            return b"a"

        def settimeout(self, seconds: float) -> None:
            self.seconds = seconds

    with pytest.raises(RequestTimeout):
        head.read(Client(Drips()), time.monotonic() + 0.05)


def test_a_client_that_is_cut_off_gets_the_reason():
    with connection() as (client, far):
        far.sendall(b"GET / HTTP/1.1\r\n")
        client.cut_off(ServiceUnavailable("no room"))
        with pytest.raises(ServiceUnavailable, match="no room"):
            head.read(client, soon())


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_a_client_that_goes_on_sending_gets_its_answer_all_the_same(is_cut_off):
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool, \
            socket.create_connection(listener.getsockname()) as far:
        near, _address = listener.accept()
        client = Client(near)
        sending = pool.submit(far.sendall, b"x" * 50_000_000)
        client.some(1, soon())
        if is_cut_off:
            client.cut_off(ServiceUnavailable("no room"))
        client.send(b"the answer", soon())
        pool.submit(lambda: (client.linger(), client.close()))
        sending.result(timeout=30)
        assert far.recv(100) == b"the answer"


def test_a_client_that_lingers_can_be_dropped():
    with connection() as (client, _far), ThreadPoolExecutor() as pool:
        lingering = pool.submit(client.linger)
        while not lingering.done():
            client.cut_off(ServiceUnavailable("too many"))


def test_a_client_that_does_not_read_is_given_up():
    with connection() as (client, _far), pytest.raises(BrokenPipeError):
        client.send(b"x" * 10_000_000, time.monotonic() + 0.05)


class TestConnections:
    def test_the_one_that_has_waited_longest_makes_room(self):
        connections = Connections(2)
        with connection() as (first, _), connection() as (second, _), connection() as (third, _):
            for one in (first, second):
                connections.enter(one)
                connections.waits(one)
            connections.waits(first)  # for its next request
            connections.enter(third)
            assert [one.is_cut_off for one in (first, second, third)] == [False, True, False]

    def test_one_with_a_request_in_work_does_not(self):
        connections = Connections(1)
        with connection() as (first, _), connection() as (second, _):
            connections.enter(first)
            connections.waits(first)
            connections.works(first)
            with pytest.raises(ServiceUnavailable, match="in work"):
                connections.enter(second)
            connections.leave(second)
            connections.leave(first)
            connections.enter(second)
