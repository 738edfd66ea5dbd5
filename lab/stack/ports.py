"""Which ports cannot be used, and why, before anything starts."""

import errno
import socket
from collections.abc import Iterable

import psutil

from lab.errors import LabError


def check_free(wanted: Iterable[tuple[str, str, int]]) -> None:
    """`wanted` is service, setting and port; raises LabError that names every one that is not free, and why."""
    problems = [f"port {port} ({setting}, for {service}) {problem}"
                for service, setting, port in wanted if (problem := _problem(port))]
    if problems:
        raise LabError("\n".join(problems) + "\nStop what uses the port, or set another one in .env.")


def _problem(port: int) -> str | None:
    with socket.socket() as probe:
        # As servers do: a connection that lingers from before does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return "needs root" if error.errno == errno.EACCES else f"is taken by {holder(port)}"
    return None


def holder(port: int) -> str:
    """The process that listens on `port`, as far as this user may see it."""
    pid = next((one.pid for one in _connections()
                if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid), None)
    if pid is None:
        return "another program (which one, this user may not see)"
    try:
        process = psutil.Process(pid)
        return f"pid {pid}: {' '.join(process.cmdline())[:100] or process.name()}"
    except psutil.Error:
        return f"pid {pid}"


def _connections() -> list:
    try:
        return psutil.net_connections("tcp")
    except psutil.AccessDenied:  # on macOS, only root may look
        return []
