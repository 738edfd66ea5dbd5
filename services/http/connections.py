"""The open connections of a process: bounded, and shared fairly."""

from werkzeug.exceptions import ServiceUnavailable

from .client import Client

RETRY_AFTER_SECONDS = 2
_EVICTED = "too many connections are open, and this one has waited longest for its client; nothing was done"
_FULL = "too many requests are in work; nothing was done"


class Connections:
    """Where there are too many, the one that has waited longest for its client makes room.

    An honest client's request arrives within milliseconds, so it is not the one.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._open = 0
        self._waiting: dict[Client, None] = {}  # a set in order of time

    def enter(self, client: Client) -> None:
        """Raises ServiceUnavailable when every connection has a request in work. `leave` is due in any case."""
        self._open += 1
        if self._open <= self._limit:
            return
        if (longest := next(iter(self._waiting), None)) is None:
            raise ServiceUnavailable(_FULL, retry_after=RETRY_AFTER_SECONDS)
        self.works(longest)
        longest.cut_off(ServiceUnavailable(_EVICTED, retry_after=RETRY_AFTER_SECONDS))

    def leave(self, client: Client) -> None:
        self._open -= 1
        self.works(client)

    def waits(self, client: Client) -> None:
        """From now on it is the client's turn."""
        self.works(client)
        self._waiting[client] = None

    def works(self, client: Client) -> None:
        """It is the server's turn: the request is complete."""
        self._waiting.pop(client, None)
