"""Parts that accept connections and never answer: every command ends, with success or with what to do."""

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator

import pytest
from toxiproxy import Toxiproxy

from lab import settings as lab_settings
from lab import baseline, toxiproxy
from lab.errors import LabError
from lab.stack.native import supervisor
from tests.conftest import Lab, private_lab

# Only bounds a hang: no command waits that long for a part.
SECONDS = 300
COMMANDS = ("status", "ps", "monitor", "dlq list")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts every connection and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def check_every_command_ends(lab: Lab) -> None:
    for command in COMMANDS:
        done = lab.command(*command.split(), check=False, timeout=SECONDS)
        assert done.returncode in {0, 1}, f"lab {command}: {done.stdout}{done.stderr}"
        assert done.returncode == 0 or re.search(r"^error: .*`", done.stderr), f"lab {command}: {done.stderr}"


@pytest.mark.parametrize("service", [
    "epmd", "rabbitmq", "toxiproxy", "prometheus", "alertmanager", "producer", "consumer", "traffic"])
def test_commands_end_beside_a_frozen_part_and_a_reset_wakes_it(lab, service):
    lab.command("pause", service)
    check_every_command_ends(lab)
    lab.command("reset", timeout=SECONDS)
    assert {one.state for one in lab.stack.status()} == {"running"}


def test_commands_end_beside_a_frozen_supervisor_and_a_reset_replaces_it(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        os.kill(int((lab.settings.run_dir / "supervisord.pid").read_text(encoding="utf-8")), signal.SIGSTOP)
        check_every_command_ends(lab)
        lab.command("reset", timeout=SECONDS)
        assert {one.state for one in lab.stack.status()} == {"running"}


@pytest.mark.parametrize("ask", [
    lambda server: server.reset(), lambda server: server.proxies(), lambda server: server.get_proxy("a"),
    lambda server: server.populate([{"name": "a", "upstream": "127.0.0.1:1"}]),
])
def test_every_call_to_a_toxiproxy_that_hangs_ends(silent, monkeypatch, ask):
    monkeypatch.setattr(toxiproxy, "TIMEOUT_SECONDS", 0.2)
    server = Toxiproxy()
    server.update_api_consumer("127.0.0.1", silent)
    with pytest.raises(LabError, match="Toxiproxy does not answer: `lab restart toxiproxy`"):
        ask(server)


def test_a_supervisor_that_hangs_is_none(silent, monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor, "RPC_SECONDS", 0.2)
    settings = lab_settings.LabSettings(_env_file=None, lab_run_dir=tmp_path, supervisor_port=silent)
    assert not supervisor.Supervisor(settings).is_running()


def test_a_reset_replaces_a_toxiproxy_whose_api_hangs(lab, monkeypatch):
    """It answers the health check, and hangs over anything else, as one with a deadlock does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_only_the_version, args=[server], daemon=True).start()
        stack = lab.stack
        usual, restarted = stack.toxiproxy_address(), []
        monkeypatch.setattr(toxiproxy, "TIMEOUT_SECONDS", 0.5)
        monkeypatch.setattr(stack, "toxiproxy_address", lambda: usual if restarted else server.getsockname())
        restart = stack.restart
        monkeypatch.setattr(stack, "restart", lambda service: (restarted.append(service), restart(service)))
        baseline.restore(lab.settings, stack, print)
    assert restarted == ["toxiproxy"]


def _answer_only_the_version(server: socket.socket) -> None:
    body = json.dumps({"version": "2.12.0"}).encode()
    kept = []
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        if connection.recv(65536).startswith(b"GET /version "):
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            connection.close()
        kept.append(connection)
