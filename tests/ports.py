"""Ports for private labs, which no two processes of tests on one machine share.

They lie outside the range from which the kernel takes ports for connections, and apart from a lab's usual ones, as such
a lab may start beside the tests at any time.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from lab.settings import EXAMPLE_FILE

BLOCK = 50  # a lab needs some thirty
LOWEST, HIGHEST = 10_000, 65_000
# Machines without that file do not run Linux; these are Linux's defaults.
EPHEMERAL_FILE, EPHEMERAL_DEFAULT = Path("/proc/sys/net/ipv4/ip_local_port_range"), "32768 60999"


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Free ports in a row, reserved until the context ends.

    The first port of their block is the lock: bound as long as they are reserved. The kernel frees it when the process
    ends, in whatever way, and it excludes just those that share the ports, as a network namespace has its own of both.
    """
    lock, ports = _reserve(count)
    with lock:
        yield ports


def _reserve(count: int) -> tuple[socket.socket, list[int]]:
    assert count < BLOCK, f"a block has {BLOCK - 1} ports"
    blocks = list(_blocks())
    for block in random.sample(blocks, len(blocks)):
        lock = _bound(block[0])
        if lock is None:
            continue
        ports = list(block[1:count + 1])
        if all(map(_is_free, ports)):
            return lock, ports
        lock.close()
    raise RuntimeError(f"no {count} free ports in a row: stop labs or tests that run beside these")


def _blocks() -> Iterator[range]:
    shunned = set(_ephemeral()) | set(_usual())
    for first in range(LOWEST, HIGHEST, BLOCK):
        block = range(first, first + BLOCK)
        if shunned.isdisjoint(block):
            yield block


def _ephemeral() -> range:
    text = EPHEMERAL_FILE.read_text(encoding="utf-8") if EPHEMERAL_FILE.exists() else EPHEMERAL_DEFAULT
    first, last = map(int, text.split())
    return range(first, last + 1)


def _usual() -> Iterator[int]:
    return (int(value) for name, value in dotenv_values(EXAMPLE_FILE).items() if name.endswith("_PORT"))


def _is_free(port: int) -> bool:
    probe = _bound(port)
    if probe is None:
        return False
    probe.close()
    return True


def _bound(port: int) -> socket.socket | None:
    """Without SO_REUSEADDR: a connection that lingers on the port counts as taken."""
    bound = socket.socket()
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        return None
    return bound
