"""Says which ports are taken, and by what, before anything starts."""

import socket
from collections.abc import Iterable

import psutil

from lab.errors import LabError


def check_free(wanted: Iterable[tuple[str, str, int]]) -> None:
    """`wanted` is service, setting and port; raises LabError that names every taken one, and who holds it."""
    problems = [f"port {port} ({setting}, for {service}) is taken by {holder(port)}"
                for service, setting, port in wanted if not _is_free(port)]
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
