"""A client with a fixed rate: `openloop PORT RATE SECONDS` prints JSON. wrk has no such mode.

Latency counts from the moment at which a request was due, whether or not a connection was free then:
a server that stalls pays for all the requests that its stall held up (no coordinated omission).
"""

import asyncio
import gc
import json
import sys
import time
import uuid
from collections import deque

CONNECTIONS = 128
GRACE_SECONDS = 10


class Client(asyncio.Protocol):
    """One connection that is kept; one request at a time."""

    def __init__(self, load: "Load"):
        self._load = load
        self._answer = b""

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._load.idle.append(self)

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            created, self._answer = self._answer.startswith(b"HTTP/1.1 201 "), b""
            self._load.answered(self, time.perf_counter() - self._due, created)

    def connection_lost(self, _error) -> None:
        if self in self._load.idle:
            self._load.idle.remove(self)


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


class Load:
    """All requests of one run, evenly spaced."""

    def __init__(self, rate: int, seconds: int):
        self._rate, self._count = rate, rate * seconds
        self._run = uuid.uuid4().hex
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._latencies: list[float] = []
        self._created = 0
        self.idle: deque[Client] = deque()

    async def run(self, port: int) -> dict:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Client(self), "127.0.0.1", port)
        started, sent = time.perf_counter() + 0.1, 0
        while sent < self._count:
            due = started + sent / self._rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                continue
            sent += 1
            self._waiting.append((due, self._request(sent)))
            self._send_waiting()
            await asyncio.sleep(0)
        deadline = time.perf_counter() + GRACE_SECONDS
        while len(self._latencies) < self._count and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        ordered = sorted(self._latencies) or [float("nan")]
        return {"sent": sent, "created": self._created,
                "p50_ms": ordered[len(ordered) // 2] * 1000, "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000}

    def answered(self, client: Client, latency: float, created: bool) -> None:
        self._latencies.append(latency)
        self._created += created
        self.idle.append(client)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self.idle:
            self.idle.popleft().send(*self._waiting.popleft())

    def _request(self, number: int) -> bytes:
        body = b'{"id":"%s-%d","payload":{"order":%d}}' % (self._run.encode(), number, number)
        return (b"POST /produce HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


if __name__ == "__main__":
    gc.disable()  # its pauses are not the server's
    port, rate, seconds = map(int, sys.argv[1:4])
    print(json.dumps(asyncio.run(Load(rate, seconds).run(port))))
