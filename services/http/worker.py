"""gunicorn's worker with the server of this package: a quarter faster than with gunicorn's parser in Python."""

from gunicorn.workers.ggevent import GeventPyWSGIWorker

from .limits import Limits
from .server import Server


class Worker(GeventPyWSGIWorker):
    @property
    def limits(self) -> Limits:
        return self.app.limits

    def server_class(self, listener, application, environ, **_options) -> Server:
        return Server(listener, application, self.limits, log=None, environ=environ)
