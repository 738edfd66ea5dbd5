"""The consumer's HTTP side: metrics and health, from a thread of its own."""

import socket
import sys
import threading

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.http.limits import Limits
from services.http.server import Server
from services.messaging.health import add_health

from .settings import ConsumerSettings
from .worker import Worker

# Of Prometheus, health checks and people: all of them ask briefly.
LIMITS = Limits(max_connections=200)


def serve(settings: ConsumerSettings, worker: Worker) -> None:
    """Serve until the process ends. Exits with a message when the port is taken."""
    address = settings.consumer_bind, settings.consumer_port
    try:
        listener = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    except OSError as error:
        sys.exit(f"cannot listen on {address[0]}:{address[1]} (CONSUMER_BIND, CONSUMER_PORT): {error.strerror}")
    listener.setblocking(False)
    threading.Thread(target=_serve, args=[listener, create_app(worker)], name="http", daemon=True).start()


def _serve(listener: socket.socket, app: Flask) -> None:
    # Made in the thread that runs it: gevent has an event loop for each.
    Server(listener, app, LIMITS, log=None, error_log=None).serve_forever()


def create_app(worker: Worker) -> Flask:
    """The WSGI application."""
    app = Flask("consumer")
    add_health(app, worker.trouble)

    @app.get("/metrics")
    def metrics():
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    return app
