"""gunicorn's worker with the server of this package: a quarter faster than with gunicorn's parser in Python."""

from gunicorn.workers.ggevent import GeventPyWSGIWorker

from .limits import Limits
from .server import Server


class Worker(GeventPyWSGIWorker):
    """Its applications may bring limits of their own, as `limits`."""

    def server_class(self, listener, application, environ, **_options) -> Server:
        return Server(listener, application, getattr(self.app, "limits", Limits()), log=None, environ=environ)
