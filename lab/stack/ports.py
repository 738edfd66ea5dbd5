"""Says which ports are taken, and by what, before anything starts."""

import socket
from collections.abc import Iterable

import psutil

from lab.errors import LabError
from lab.stack.programs import Program


def check_free(programs: Iterable[Program]) -> None:
    """Raises LabError that names every taken port, its setting, and who holds it."""
    problems = []
    for program in programs:
        # Only the first consumer is sure to run; the others are checked when they start.
        if program.name.startswith("consumer-") and program.name != "consumer-1":
            continue
        problems += [
            f"port {port} ({setting}, for {program.name}) is taken by {holder(port)}"
            for setting, port in program.ports.items() if not _is_free(port)]
    if problems:
        raise LabError("\n".join(problems) + "\nStop what holds the port, or set another one in .env.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection that lingers from before does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """The process that listens on `port`, as far as this user may see it."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                return f"pid {process.pid}: {' '.join(process.cmdline())[:100] or process.name()}"
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                return f"pid {connection.pid}"
    return "another program (of another user)"
