"""Ports for private labs: reserved for one of them, whichever process of tests asks."""

import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise

import pytest

from lab.settings import ROOT
from tests import ports
from tests.ports import free_ports

OTHER_PROCESS = """
from tests.ports import free_ports
with free_ports(30) as ports:
    print(*ports, flush=True)
    input()
"""


@pytest.mark.racing
def test_no_two_reservations_share_a_port_in_any_process():
    others = [subprocess.Popen([sys.executable, "-c", OTHER_PROCESS], cwd=ROOT, encoding="utf-8",
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        with ExitStack() as stack:
            rows = [stack.enter_context(free_ports(30)) for _ in range(20)]
            rows += [[int(port) for port in other.stdout.readline().split()] for other in others]
            assert len({port for row in rows for port in row}) == 30 * len(rows)
    finally:
        for other in others:
            other.kill()
            other.communicate()


def test_they_are_in_a_row_and_free():
    with free_ports(30) as row:
        assert all(later == earlier + 1 for earlier, later in pairwise(row))
        for port in row:
            socket.create_server(("127.0.0.1", port)).close()


def test_a_block_with_a_port_in_use_is_left_out(monkeypatch):
    with free_ports(30) as first, free_ports(30) as second:
        blocks = [range(row[0] - 1, row[0] - 1 + ports.BLOCK) for row in (first, second)]
    monkeypatch.setattr(ports, "_blocks", lambda: iter(blocks))
    with socket.create_server(("127.0.0.1", first[3])), free_ports(30) as row:
        assert row == second


def test_a_lab_with_its_default_ports_and_the_kernel_take_none_of_them():
    blocks = list(ports._blocks())
    assert len(blocks) > 100
    for port in (5000, 8000, 15672, 25672, ports._ephemeral()[0], ports._ephemeral()[-1]):
        assert not [block for block in blocks if port in block]
