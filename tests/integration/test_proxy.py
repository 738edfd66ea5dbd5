"""A lab on a machine with http_proxy set: nothing that it does crosses the proxy, which would answer 502."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from lab.engine.record import Records
from lab.settings import ROOT
from tests.conftest import activated, private_lab, wait_until


class Proxy(ThreadingHTTPServer):
    """Notes every request, and fails it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.requests: list[str] = []


class _Refusal(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.requestline)
        self.send_error(502)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_CONNECT = do_GET

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def proxy(monkeypatch) -> Iterator[Proxy]:
    """A proxy for everything that this process and its children ask for."""
    server = Proxy()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_nothing_of_the_lab_crosses_it(tmp_path, proxy):
    assert requests.get("http://elsewhere.invalid/", timeout=5).status_code == 502
    assert proxy.requests == ["GET http://elsewhere.invalid/ HTTP/1.1"]
    proxy.requests.clear()
    with private_lab(tmp_path) as lab:
        lab.command("up")
        assert "Prometheus does not answer" not in lab.command("status").stdout
        lab.command("ps")
        lab.command("monitor")
        lab.command("dlq", "list")
        done = subprocess.run("python scripts/test_system.py", shell=True, cwd=ROOT, env=activated(), encoding="utf-8",
                              capture_output=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        engine = lab.engine("scenario", "1", "--seed", "1")
        try:
            wait_until(lambda: engine.poll() is not None
                       or (run := Records(lab.settings.run_dir).active()) and run.injected_at, 180, "the injection")
            assert engine.poll() is None, engine.stdout.read()
        finally:
            engine.kill()
            engine.communicate()
        lab.command("reset")
        lab.command("down")
    assert proxy.requests == []
