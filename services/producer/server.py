"""The HTTP server of a worker: gevent's own under gunicorn, a quarter faster than gunicorn's parser in Python."""

from functools import lru_cache
from io import BytesIO

import gevent
from gevent.pywsgi import headers_factory
from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIHandler

# How long a connection may wait for its next request; a stopping worker waits for it, too.
KEEP_ALIVE_SECONDS = 2.0


@lru_cache(maxsize=128)
def _parsed(headers: bytes):
    """The headers of a request: clients send the same again and again, and parsing takes a tenth of the server's time.

    Shared by requests, so what the server takes out of them it takes out of all that are the same.
    """
    return headers_factory(BytesIO(headers), 0)


class _Handler(PyWSGIHandler):
    """One connection."""

    _held: list[bytes] | None = None

    def read_requestline(self) -> str:
        with gevent.Timeout(KEEP_ALIVE_SECONDS, False):
            return super().read_requestline()
        return ""  # the connection ends

    def MessageClass(self, reader, *_more):
        # What has not arrived as a whole, or may end elsewhere than where it seems to, is parsed as it comes.
        buffered = reader.peek()
        size = buffered.find(b"\n\r\n") + len(b"\n\r\n")
        if size < 3 or buffered.startswith((b"\r\n", b"\n")) or b"\n\n" in buffered[:size]:
            return super().MessageClass(reader, 0)
        return _parsed(reader.read(size))

    def start_response(self, status, headers, exc_info=None):
        if self.server.closed:  # the worker is stopping: the client shall ask another one
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def _write_with_headers(self, data) -> None:
        # Headers and body in one write: as two, they wake the client twice.
        self._held = []
        super()._write_with_headers(data)
        held, self._held = self._held, None
        super()._sendall(b"".join(held))

    def _sendall(self, data) -> None:
        if self._held is None:
            super()._sendall(data)
        else:
            self._held.append(data)

    def log_request(self) -> None:
        """No line for each request: it is measured, and each message has a line of its own."""


class Worker(GeventPyWSGIWorker):
    """gunicorn's worker with gevent's server and the handler above."""

    wsgi_handler = _Handler
