"""The consumer's HTTP side: metrics and health, from a thread of its own."""

import threading

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.serving import WSGIRequestHandler, make_server

from services.messaging.health import add_health

from .settings import ConsumerSettings
from .worker import Worker


class _QuietHandler(WSGIRequestHandler):
    """Prometheus asks every other second: that is no event worth a line of log."""

    def log_request(self, *_args) -> None:
        pass


def serve(settings: ConsumerSettings, worker: Worker) -> None:
    """Serve until the process ends. Exits with a message when the port is taken."""
    server = make_server(settings.consumer_bind, settings.consumer_port, create_app(worker),
                         threaded=True, request_handler=_QuietHandler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()


def create_app(worker: Worker) -> Flask:
    """The WSGI application."""
    app = Flask("consumer")
    add_health(app, worker.trouble)

    @app.get("/metrics")
    def metrics():
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    return app
