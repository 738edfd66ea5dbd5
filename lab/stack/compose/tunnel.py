"""Reaches a port inside a container that is published nowhere, through `docker exec`."""

import socket
import subprocess
import threading


class Tunnel:
    """Listens on a free port of loopback; each connection is handed to `nc` in the container.

    It works wherever the engine runs, and ends with this process.
    """

    def __init__(self, container: str, port: int):
        self._argv = ["docker", "exec", "--interactive", container, "nc", "127.0.0.1", str(port)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, name="tunnel", daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return self._listener.getsockname()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=[connection], daemon=True).start()

    def _connect(self, connection: socket.socket) -> None:
        with connection:
            subprocess.run(self._argv, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)
