"""gevent's WSGI server, with the reading, the deadlines and the bounds of this package in place of its own."""

import time
from urllib.parse import unquote

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from pydantic_core import to_json
from werkzeug.exceptions import HTTPException

from . import head, metrics
from .body import Body
from .client import Client
from .connections import Connections
from .errors import headers_of, report
from .limits import Limits

# Beyond the limit: for connections that are being sent away.
SPARE_CONNECTIONS = 100
# Of all requests that were sent before the answer to the one before, one is served in so long: everybody else's come
# between. Not 0, with which gevent does not look for others' data before it goes on.
TURN_SECONDS = 0.001


class Server(WSGIServer):
    """The application finds a `Body` at `wsgi.input`."""

    def __init__(self, listener, application, limits: Limits, **options):
        self.limits = limits
        self.connections = Connections(limits.max_connections)
        self.turn = BoundedSemaphore()
        super().__init__(listener, application, handler_class=Handler,
                         spawn=Pool(limits.max_connections + SPARE_CONNECTIONS), **options)


class Handler(WSGIHandler):
    """One connection."""

    _held: list[bytes] | None = None

    def __init__(self, sock, address, server: Server):
        self.client = Client(sock)
        super().__init__(sock, address, server, rfile=self.client)

    def handle(self) -> None:
        connections = self.server.connections
        try:
            connections.enter(self.client)
            self._serve()
        except HTTPException as error:
            self._reject(error)
        finally:
            connections.leave(self.client)
            self.client.close()

    def _serve(self) -> None:
        limits = self.server.limits
        if self._has_request(limits.head_timeout):
            self._serve_request()
            while not self.close_connection and self._has_request(limits.keep_alive_timeout):
                self._serve_request()

    def _has_request(self, seconds: float) -> bool:
        """Whether a request begins within so many seconds."""
        self.server.connections.waits(self.client)
        if self.client.buffered:
            with self.server.turn:
                gevent.sleep(TURN_SECONDS)
            return True
        return self.client.has_data(time.monotonic() + seconds)

    def _serve_request(self) -> None:
        """Raises HTTPException for one that the application does not get to see."""
        self._begin(head.read(self.client, time.monotonic() + self.server.limits.head_timeout))
        self.handle_one_response()
        if not self.wsgi_input.is_complete:
            self._linger()

    def _begin(self, request: head.Head) -> None:
        self.request_version = "HTTP/1.0" if request.is_http_1_0 else "HTTP/1.1"
        self.close_connection = not request.keeps_alive
        self.wsgi_input = Body(self.client, request.headers, self.server.limits, self.server.connections.works)
        self.environ = self._environ(request)
        self.application = self.server.application

    def _environ(self, request: head.Head) -> dict:
        path, _, query = request.target.partition("?")
        environ = self.server.get_environ()
        environ.update(request.headers.environ)
        environ.update({
            "REQUEST_METHOD": request.method, "SCRIPT_NAME": "", "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query, "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0], "REMOTE_PORT": str(self.client_address[1]),
            "wsgi.input": self.wsgi_input, "wsgi.input_terminated": True})
        return environ

    def _reject(self, error: HTTPException) -> None:
        metrics.REJECTED.labels(str(error.code)).inc()
        body = to_json(report(error))
        lines = [f"HTTP/1.1 {error.code} {error.name}", "Content-Type: application/json",
                 f"Content-Length: {len(body)}", "Connection: close",
                 *(f"{name}: {value}" for name, value in headers_of(error))]
        try:
            self.client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body, self._send_deadline())
        except BrokenPipeError:
            return
        self._linger()

    def _linger(self) -> None:
        self.server.connections.waits(self.client)
        self.client.linger()

    def start_response(self, status, headers, exc_info=None):
        # A worker that is stopping asks the client to turn to another one. Of a body that was not read, the rest
        # could not be told from the next request.
        if self.server.closed or not self.wsgi_input.is_complete or self.client.is_cut_off:
            headers = [*headers, ("Connection", "close")]
        return super().start_response(status, headers, exc_info)

    def _write_with_headers(self, data) -> None:
        # Headers and body in one write: as two, they wake the client twice.
        self._held = []
        super()._write_with_headers(data)
        held, self._held = self._held, None
        self._sendall(b"".join(held))

    def _sendall(self, data) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        self.server.connections.waits(self.client)
        self.client.send(data, self._send_deadline())
        self.response_length += len(data)

    def _send_deadline(self) -> float:
        return time.monotonic() + self.server.limits.send_timeout

    def log_request(self) -> None:
        """No line for each request: it is measured, and each message has a line of its own."""
