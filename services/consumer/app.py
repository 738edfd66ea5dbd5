"""Entry of the consumer: `python app.py`."""

import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path

# `python app.py` from this folder: import from the top instead, so that no module here hides another.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from services.consumer import web  # noqa: E402
from services.consumer.settings import ConsumerSettings  # noqa: E402
from services.consumer.worker import Worker  # noqa: E402
from services.messaging import logs  # noqa: E402
from services.messaging.settings import load  # noqa: E402


STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    faulthandler.enable()  # a crash in native code, too, leaves a trace in the log
    settings = load(ConsumerSettings)
    logs.setup(settings.consumer_name, settings.log_level)
    # A thread awaits them. A handler would run in the midst of the event loop, and wait forever for
    # a lock which that very loop holds. Before the first thread: every thread inherits the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    worker = Worker(settings)
    web.serve(settings, worker)
    threading.Thread(target=stop_on_signal, args=[worker], name="signals", daemon=True).start()
    gc.freeze()  # what stays for good need not be gone through at each collection
    worker.run()
    logging.shutdown()
    # A thread that is still busy after the grace must not hold the process: its message was given back.
    os._exit(0)


def stop_on_signal(worker: Worker) -> None:
    signal.sigwait(STOP_SIGNALS)
    worker.stop()


if __name__ == "__main__":
    main()
