"""HTTP in the hands of slow, broken and hostile clients: each gets a true answer, and nobody else notices."""

import json
import re
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.stack.logs import log_file
from tests.conftest import Lab, metric, wait_until

POST = b"POST /produce HTTP/1.1\r\nHost: producer\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MESSAGE = b'{"id": "hostile", "payload": 1}'
STEP_SECONDS = 0.2
# Where each phase may stop, or go on a byte now and then.
BEGINNINGS = {
    "nothing": b"",
    "request line": b"POST /prod",
    "headers": POST,
    "chunked body": CHUNKED,
    "body": POST + b"Content-Length: 1000000\r\n\r\n" + b" " * 1000,
}


def sized(body: bytes, size: int | None = None) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % (len(body) if size is None else size) + body


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=40)


def received(client: socket.socket) -> bytes:
    """All until the connection ends."""
    pieces = []
    with suppress(ConnectionError):
        while piece := client.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def exchange(port: int, data: bytes) -> bytes:
    """What comes back for the data from a client that then closes its side."""
    with connect(port) as client:
        with suppress(ConnectionError, OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        return received(client)


def post(lab: Lab) -> requests.Response:
    return requests.post(f"{lab.settings.producer_url}/produce", timeout=30,
                         json={"id": f"test-{uuid.uuid4()}", "payload": "small and honest"})


@pytest.fixture(scope="module")
def producer_port(running_lab: Lab) -> int:
    return running_lab.settings.producer_port


@pytest.fixture(scope="module", autouse=True)
def no_trace_in_the_logs(running_lab: Lab) -> Iterator[None]:
    yield
    for name in ("producer", "consumer-1", "console"):
        assert "Traceback" not in log_file(running_lab.settings, name).read_text(encoding="utf-8")


class TestFraming:
    @pytest.mark.parametrize(("data", "expected"), [
        (sized(MESSAGE), [201]),  # its client has closed its side already
        (b"\r\n" + sized(MESSAGE), [201]),
        (sized(MESSAGE) * 3, [201, 201, 201]),
        (sized(MESSAGE, 20) + b"\r\n", [400, 400]),
        (sized(MESSAGE, 1000), [400]),
        (sized(b"", 10**9), [413]),
        (sized(b"", 10**30), [413]),
        (sized(b"", -1), [400]),
        (POST + b"Content-Length: 31\r\nContent-Length: 3\r\n\r\n" + MESSAGE, [400]),
        (POST + b"Content-Length: 31\r\nTransfer-Encoding: chunked\r\n\r\n" + MESSAGE, [400]),
        (CHUNKED + b"1f\r\n" + MESSAGE + b"\r\n0\r\n\r\n", [201]),
        (CHUNKED + b"1F;a=b\r\n" + MESSAGE + b"\r\n0\r\nTrailer: x\r\n\r\n", [201]),
        (CHUNKED + b"1f\n" + MESSAGE + b"\n0\n\n", [400]),
        (CHUNKED + b"1e\r\n" + MESSAGE + b"\r\n0\r\n\r\n", [400]),
        (CHUNKED + b"-1f\r\n", [400]),
        (CHUNKED + b"0x1f\r\n", [400]),
        (CHUNKED + b"f" * 100 + b"\r\n", [400]),
        (CHUNKED + b"1f;" + b"a" * 100_000, [400]),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 10_000, [400]),
        (CHUNKED + b"1\r\nx\r\n" * 1_100_000, [400]),
        (CHUNKED + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 257, [413]),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", [501]),
        (sized(MESSAGE).replace(b"\r\n", b"\n"), [400]),
        (POST + b"X: a\r\n b\r\n\r\n", [400]),
        (POST + b"X: \0\r\n\r\n", [400]),
        (POST + b"X: y\r\n" * 100_000, [431]),
        (POST + b"X: " + b"y" * 100_000, [431]),
        (b"GET /" + b"a" * 100_000, [414]),
        (b"GET /health\r\n", [400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), [400]),
        (b"GET /health HTTP/1.1\r\nHost: " + b"a" * 100 + b"\r\n\r\n", [400]),
        (b"GET http://producer/health HTTP/1.1\r\nHost: producer\r\n\r\n", [200]),
        (b"POST /nowhere HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", [404]),
        (b"", []),
    ], ids=lambda value: repr(value[:70]) if isinstance(value, bytes) else str(value))
    def test_each_request_gets_its_answer(self, producer_port, data, expected):
        answers = exchange(producer_port, data)
        assert statuses(answers) == expected
        if expected and expected[0] >= 400:
            error, _end = json.JSONDecoder().raw_decode(answers.partition(b"\r\n\r\n")[2].decode())
            assert error["error"]

    @pytest.mark.parametrize("service", ["producer", "consumer", "console"])
    @given(data=st.binary(max_size=300) | st.lists(st.sampled_from([
        b"GET /health HTTP/1.1", b"POST /produce HTTP/1.1", b"\r\n", b"\r\n", b"\n", b"\r", b":", b" ", b"Host: a",
        b"Content-Length: ", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: keep-alive",
        b"Upgrade: h2c", b"1", b"f;", b"0", b"\0", b"\xff", MESSAGE]), max_size=14).map(b"".join))
    @settings(max_examples=100)
    def test_any_bytes_get_no_error_of_the_server(self, running_lab, service, data):
        answers = exchange(getattr(running_lab.settings, f"{service}_port"), data)
        assert not set(statuses(answers)) & {500, 502, 503, 504}

    def test_a_client_that_asks_first_is_told_to_continue(self, producer_port):
        with connect(producer_port) as client:
            client.sendall(POST + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 31\r\n\r\n")
            assert statuses(client.recv(65536)) == [100]
            client.sendall(MESSAGE)
            assert statuses(received(client)) == [201]

    def test_a_client_that_asks_first_is_refused_before_it_sends(self, producer_port):
        with connect(producer_port) as client:
            client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n")
            assert statuses(client.recv(65536)) == [413]

    def test_a_client_that_resets_the_connection_harms_nobody(self, running_lab, producer_port):
        for beginning in BEGINNINGS.values():
            client = connect(producer_port)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() sends a reset
            client.sendall(beginning)
            client.close()
        assert post(running_lab).status_code == 201


class Drips:
    """Clients at all these beginnings that send a byte now and then; who is sent away comes again."""

    def __init__(self, port: int, count: int):
        self._port = port
        self._clients: list[tuple[socket.socket, bytes]] = []
        for number in range(count):
            self._open(list(BEGINNINGS.values())[number % len(BEGINNINGS)])
        self.answers: Counter[int] = Counter()
        self.rounds = 0

    def _open(self, beginning: bytes) -> None:
        client = connect(self._port)
        client.sendall(beginning)
        client.setblocking(False)
        self._clients.append((client, beginning))

    def drip(self, over: threading.Event) -> None:
        while not over.wait(STEP_SECONDS):
            clients, self._clients = self._clients, []
            for client, beginning in clients:
                self._next(client, beginning)
            self.rounds += 1

    def _next(self, client: socket.socket, beginning: bytes) -> None:
        try:
            self.answers.update(statuses(client.recv(65536)))
        except BlockingIOError:
            with suppress(OSError):
                client.send(b"a" if beginning else b"")
            self._clients.append((client, beginning))
            return
        except OSError:
            pass
        client.close()
        self._open(beginning)

    def close(self) -> None:
        for client, _beginning in self._clients:
            client.close()


@contextmanager
def dripping(port: int, count: int) -> Iterator[Drips]:
    over, drips = threading.Event(), Drips(port, count)
    thread = threading.Thread(target=drips.drip, args=[over])
    thread.start()
    try:
        yield drips
    finally:
        over.set()
        thread.join()
        drips.close()


class TestSlowClients:
    @pytest.mark.parametrize("count", [64, 500, 1500])
    def test_small_honest_requests_pass_beside_them(self, running_lab, producer_port, count):
        scrapes = running_lab.prometheus
        with dripping(producer_port, count) as drips:
            for _round in range(20):
                before = drips.rounds
                wait_until(lambda before=before: drips.rounds > before, what="another byte of each slow client")
                assert post(running_lab).status_code == 201
                for path in ("/health", "/metrics"):
                    url = f"{running_lab.settings.producer_url}{path}"
                    assert requests.get(url, timeout=20).status_code == 200
            assert scrapes.value('min_over_time(up{job="producer"}[5s])') == 1
        assert set(drips.answers) <= {408, 503}

    @pytest.mark.parametrize("service", ["consumer", "console"])
    def test_the_other_services_answer_beside_them(self, running_lab, service):
        port = getattr(running_lab.settings, f"{service}_port")
        with dripping(port, 300) as drips:
            for _round in range(10):
                before = drips.rounds
                wait_until(lambda before=before: drips.rounds > before, what="another byte of each slow client")
                assert requests.get(f"http://127.0.0.1:{port}/health", timeout=20).status_code == 200

    def test_every_phase_has_a_deadline(self, lab, producer_port):
        for name, value in {"HEAD_TIMEOUT": 1, "BODY_TIMEOUT": 1}.items():
            lab.command("set", f"{name}={value}")
        lab.stack.restart("producer")
        with ExitStack() as stack:
            clients = {phase: stack.enter_context(connect(producer_port)) for phase in BEGINNINGS}
            for phase, client in clients.items():
                client.sendall(BEGINNINGS[phase])
            answers = {phase: received(client) for phase, client in clients.items()}
        assert {phase: statuses(answer) for phase, answer in answers.items()} == {
            "nothing": [], "request line": [408], "headers": [408], "chunked body": [408], "body": [408]}
        assert b"did not arrive in time" in answers["body"]
        assert metric(lab.settings.producer_url, "http_requests_rejected_total") == 2

    def test_a_body_that_arrives_below_the_rate_is_refused_before_its_time_is_over(self, lab, producer_port):
        lab.command("set", "BODY_TIMEOUT=3600")
        lab.stack.restart("producer")
        with connect(producer_port) as client:
            client.sendall(BEGINNINGS["body"])
            assert statuses(received(client)) == [408]

    def test_a_client_that_does_not_read_its_answers_is_closed(self, lab, producer_port):
        lab.command("set", "SEND_TIMEOUT=1")
        lab.stack.restart("producer")
        with connect(producer_port) as client, suppress(ConnectionError):
            while True:  # as far as the server reads on
                client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: producer\r\n\r\n" * 1000)
        assert post(lab).status_code == 201

    def test_the_connection_that_waits_longest_makes_room(self, lab, producer_port):
        for name, value in {"MAX_CONNECTIONS": 20, "PRODUCER_WORKERS": 1}.items():
            lab.command("set", f"{name}={value}")
        lab.stack.restart("producer")
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(producer_port)) for _ in range(40)]
            for client in clients:
                client.sendall(CHUNKED)
            answer = received(clients[0])
            assert post(lab).status_code == 201
        assert statuses(answer) == [503]
        assert b"Retry-After: " in answer
        assert b"too many connections" in answer

    def test_large_bodies_that_are_slow_make_room(self, lab, producer_port):
        for name, value in {"MAX_IN_FLIGHT_BYTES": 1024 * 1024, "PRODUCER_WORKERS": 1}.items():
            lab.command("set", f"{name}={value}")
        lab.stack.restart("producer")
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(producer_port)) for _ in range(10)]
            for client in clients:
                client.sendall(sized(b" " * 300_000, 1_000_000))
            first = json.loads(next(answer for client in clients if (answer := _answered(client))))
            assert post(lab).status_code == 201
        assert "still arriving" in first["error"]
        exposition = requests.get(f"{lab.settings.producer_url}/metrics", timeout=5).text
        assert 'messages_publish_failures_total{reason="overloaded"} 0.0' in exposition


def _answered(client: socket.socket) -> bytes:
    """The body of an answer that there is by now."""
    client.settimeout(1)
    with suppress(TimeoutError):
        return received(client).partition(b"\r\n\r\n")[2]
    return b""
