"""Reads request bodies within a bounded memory. Whether they come in time is the server's to watch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import request
from werkzeug.exceptions import ServiceUnavailable

from services.http.body import Body
from services.http.connections import RETRY_AFTER_SECONDS

from .settings import ProducerSettings


class NoRoom(Exception):
    """Beside what waits for the broker, the body has no room."""


class _Arriving:
    """A body that has arrived in part."""

    def __init__(self, body: Body):
        self.body = body
        self.size = 0
        self._since = time.monotonic()

    def cost(self) -> float:
        """Bytes times seconds: small for what is small or quick."""
        return self.size * (time.monotonic() - self._since)


class Bodies:
    """What one worker reads; `bytes_in_flight` are the bytes of what it has read and the broker has not answered."""

    def __init__(self, settings: ProducerSettings, bytes_in_flight: Callable[[], int]):
        self._settings = settings
        self._bytes_in_flight = bytes_in_flight
        self._arriving: set[_Arriving] = set()
        self._bytes_arrived = 0

    def read(self) -> bytes:
        """The present request's body.

        Raises NoRoom, and HTTPException when it is too large, too slow, malformed, or had to make room.
        """
        body: Body = request.environ["wsgi.input"]
        with self._arrival(body) as arriving:
            whole = bytearray()  # not a list of pieces: one of a single byte takes forty
            for piece in body.pieces(self._settings.max_body_bytes):
                self._make_room(arriving, len(piece))
                whole += piece
            return bytes(whole)

    @contextmanager
    def _arrival(self, body: Body) -> Iterator[_Arriving]:
        arriving = _Arriving(body)
        self._arriving.add(arriving)
        try:
            yield arriving
        finally:
            self._forget(arriving)

    def _forget(self, arriving: _Arriving) -> None:
        if arriving in self._arriving:
            self._arriving.remove(arriving)
            self._bytes_arrived -= arriving.size

    def _make_room(self, arriving: _Arriving, size: int) -> None:
        arriving.size += size
        self._bytes_arrived += size
        room = self._settings.max_in_flight_bytes - self._bytes_in_flight()
        if arriving.size > room:
            raise NoRoom
        while self._bytes_arrived > room:
            costliest = max(self._arriving, key=_Arriving.cost)
            self._forget(costliest)
            if costliest is arriving:
                raise _dropped()
            costliest.body.cut_off(_dropped())


def _dropped() -> ServiceUnavailable:
    return ServiceUnavailable("request bodies that are still arriving take all the room, and this is a large or slow "
                              "one; nothing was stored", retry_after=RETRY_AFTER_SECONDS)
