"""The console's gunicorn worker: the services' server for the clients, threads for the pages.

A page reads files and asks Prometheus, which is not written for gevent. A thread is busy with a request only once all
of it is there, so a slow client keeps none.
"""

import socket
from collections.abc import Callable
from io import BytesIO

from gevent import socket as gevent_socket
from gevent.threadpool import ThreadPool
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from lab.console.app import MAX_BODY_BYTES
from services.http import worker
from services.http.limits import Limits

THREADS = 16


class Worker(worker.Worker):
    limits = Limits(max_connections=200)

    def patch(self) -> None:
        """Nothing but the listening sockets is gevent's; the threads have the standard library as it is."""
        self.sockets = [gevent_socket.socket(one.FAMILY, socket.SOCK_STREAM, fileno=one.sock.detach())
                        for one in self.sockets]

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = _in_threads(self.wsgi, ThreadPool(THREADS))


def _in_threads(application: Callable, pool: ThreadPool) -> Callable:
    def serve(environ: dict, start_response: Callable):
        try:
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read_all(MAX_BODY_BYTES))
            response = pool.apply(Response.from_app, (application, environ, True))
        except HTTPException as error:
            response = error
        return response(environ, start_response)

    return serve
