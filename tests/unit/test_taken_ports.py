"""Which ports cannot be used, and why, on machines that show less than this one."""

import errno
import socket

import psutil
import pytest

from lab.errors import LabError
from lab.stack import marked, ports


def refused(*_arguments):
    raise psutil.AccessDenied()


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("hidden", ["net_connections", "Process"])
def test_a_taken_port_is_named_where_its_process_may_not_be_seen(monkeypatch, taken, hidden):
    monkeypatch.setattr(psutil, hidden, refused)
    with pytest.raises(LabError, match=rf"port {taken} \(PRODUCER_PORT, for producer\) is taken by "):
        ports.check_free([("producer", "PRODUCER_PORT", taken)])


def test_a_port_that_only_root_may_use_is_not_called_taken(monkeypatch):
    def bind(*_arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(LabError, match=r"port 80 \(PRODUCER_PORT, for producer\) needs root"):
        ports.check_free([("producer", "PRODUCER_PORT", 80)])


@pytest.mark.parametrize("hidden", ["parents", "environ"])
def test_processes_that_may_not_be_seen_are_not_the_labs(monkeypatch, tmp_path, hidden):
    monkeypatch.setattr(psutil.Process, hidden, refused)
    assert marked.processes(tmp_path) == []
