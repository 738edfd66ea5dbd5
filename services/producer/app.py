"""Entry of the producer: `python app.py` runs it under gunicorn with gevent workers."""

import gc
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

# `python app.py` from this folder: import from the top instead, so that no module here hides another.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from services.messaging.settings import load  # noqa: E402
from services.producer.settings import ProducerSettings  # noqa: E402

SETTINGS = load(ProducerSettings)  # before anything is made that a bad setting would leave behind
# The workers share their metrics through files; prometheus_client reads the variable when imported.
METRICS_DIR = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="producer-metrics-")

from gunicorn import glogging  # noqa: E402
from gunicorn.app.base import BaseApplication  # noqa: E402
from prometheus_client import multiprocess  # noqa: E402

from services.messaging import logs  # noqa: E402


# Open files of a worker that are no clients' connections, with some to spare.
OTHER_FILES = 200


class RootLogger(glogging.Logger):
    """Sends gunicorn's log to the root logger, so that it is JSON like the rest."""

    def setup(self, cfg) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Producer(BaseApplication):
    """gunicorn, configured from our settings instead of its own command line."""

    def __init__(self, settings: ProducerSettings):
        self._settings = settings
        self._publisher = None
        self.limits = settings.limits  # for the worker
        super().__init__()

    def load_config(self) -> None:
        development = self._settings.flask_env == "development"
        options = {
            "bind": f"{self._settings.producer_bind}:{self._settings.producer_port}",
            "workers": 1 if development else self._settings.producer_workers,
            "reload": development,
            "worker_class": "services.http.worker.Worker",
            "worker_tmp_dir": METRICS_DIR,
            "graceful_timeout": 15,
            "timeout": 60,
            "logger_class": RootLogger,
            "control_socket_disable": True,  # it would be made in the user's home folder
            "post_worker_init": lambda _worker: self._begin(),
            "worker_exit": lambda _server, _worker: self._end(),
            "child_exit": lambda _server, worker: multiprocess.mark_process_dead(worker.pid),
            "on_exit": lambda _server: shutil.rmtree(METRICS_DIR, ignore_errors=True),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self):
        # Imported in the worker, after gevent has patched the standard library.
        from services.producer.api import create_app
        from services.producer.publisher import Publisher

        self._publisher = Publisher(self._settings)
        return create_app(self._settings, self._publisher)

    def _begin(self) -> None:
        # What stays for good need not be gone through at each collection.
        gc.freeze()

    def _end(self) -> None:
        if self._publisher:
            self._publisher.close()
        gc.unfreeze()  # else the interpreter would take it apart too late, when logging is gone


def allow_files(count: int) -> None:
    """Raise this process's limit of open files, as far as it must; exit with a message where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        except ValueError:
            print(f"MAX_CONNECTIONS={SETTINGS.max_connections}: a worker then needs {count} open files, and the system "
                  f"allows {hard}; lower MAX_CONNECTIONS or raise the limit (ulimit -Hn)", file=sys.stderr)
            sys.exit(2)


def main() -> None:
    allow_files(SETTINGS.max_connections + OTHER_FILES)
    logs.setup("producer", SETTINGS.log_level)
    Producer(SETTINGS).run()


if __name__ == "__main__":
    main()
