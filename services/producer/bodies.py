"""Reads request bodies, in bounded time and with bounded memory."""

import socket
from collections.abc import Callable

import gevent
from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from .settings import ProducerSettings


class NoRoom(Exception):
    """The worker holds as many bytes as it may; the body was not read."""


class Bodies:
    """What one worker reads; `bytes_in_flight` tells what it has read and not yet got rid of."""

    def __init__(self, settings: ProducerSettings, bytes_in_flight: Callable[[], int]):
        self._settings = settings
        self._bytes_in_flight = bytes_in_flight
        self._bytes_being_read = 0

    def read(self) -> bytes:
        """The present request's body.

        Raises NoRoom, RequestEntityTooLarge, and RequestTimeout when it does not arrive in time.
        """
        size = self._announced_size()
        if self._bytes_being_read + self._bytes_in_flight() + size > self._settings.max_in_flight_bytes:
            raise NoRoom
        self._bytes_being_read += size
        try:
            return self._receive()
        finally:
            self._bytes_being_read -= size

    def _announced_size(self) -> int:
        limit, size = self._settings.max_body_bytes, request.content_length
        if size is None:
            return limit if "HTTP_TRANSFER_ENCODING" in request.environ else 0
        if size > limit:
            raise RequestEntityTooLarge
        return size

    def _receive(self) -> bytes:
        try:
            with gevent.Timeout(self._settings.body_timeout):
                body = request.get_data(cache=False)
        except gevent.Timeout:
            # The server would go on and wait for the rest, to find the next request after it.
            request.environ["gunicorn.sock"].shutdown(socket.SHUT_RD)
            raise RequestTimeout from None
        if request.content_length is None and len(body) >= self._settings.max_body_bytes:
            raise RequestEntityTooLarge  # a chunked body is cut off there
        return body
