"""Starts the two servers that the conformance suite holds against each other."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE = 20  # seconds, far more than anything here takes on a busy machine
START_TRIES = 5  # another process may take a free port before the server does


@dataclass(frozen=True)
class Server:
    """A running server, its API on host and port."""

    process: subprocess.Popen
    port: int
    log: Path
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Http:
    """Bare requests to the API, for what the library cannot say."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session = requests.Session()

    def __call__(self, method: str, path: str, body=None, **options) -> requests.Response:
        """``body`` is sent as it is where it is text, else as JSON."""
        content = {"data": body} if isinstance(body, str) else {"json": body}
        url = self._server.url + path
        return self._session.request(method, url, timeout=DEADLINE, **content, **options)

    def close(self) -> None:
        self._session.close()


def command_of(kind: str) -> list[str] | None:
    """The command of the "real" or the "standin" server; None where there is none."""
    if kind == "standin":
        return [sys.executable, "-m", "lab.proxy"]
    binary = real_binary()
    return [binary] if binary else None


def real_binary() -> str | None:
    """TOXIPROXY_SERVER, else the one that set-up built, else the one on the PATH."""
    built = REPOSITORY / ".lab" / "tools" / "toxiproxy-server"
    named = os.environ.get("TOXIPROXY_SERVER") or (str(built) if built.exists() else None)
    return named or shutil.which("toxiproxy-server")


@contextmanager
def running(command: list[str], *flags: str, log: Path) -> Iterator[Server]:
    """A server that answers, for as long as the context lasts; it writes to ``log``."""
    server = _start([*command, *flags], log)
    try:
        yield server
    finally:
        stop(server.process)


def stop(process: subprocess.Popen) -> int:
    """Asks a process to end, and gives back its exit code."""
    process.terminate()
    try:
        return process.wait(DEADLINE)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _start(command: list[str], log: Path) -> Server:
    for _ in range(START_TRIES):
        server = _launch(command, log)
        if _answers(server):
            return server
        stop(server.process)
    raise RuntimeError(f"{command[0]} does not start:\n{log.read_text(encoding='utf-8')}")


def _launch(command: list[str], log: Path) -> Server:
    port = free_port()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "-host", "127.0.0.1", "-port", str(port)],
            cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT,
        )
    return Server(process, port, log)


def _answers(server: Server) -> bool:
    """Waits for the first answer; no where the process died or another one answers."""
    limit = time.monotonic() + DEADLINE
    while time.monotonic() < limit and server.process.poll() is None:
        try:
            answer = requests.get(f"{server.url}/version", timeout=1)
        except requests.RequestException:  # refused, or too slow
            time.sleep(0.02)
        else:
            return "version" in answer.json() and server.process.poll() is None
    return False
