"""Entry of the consumer: `python app.py`."""

import logging
import os
import sys
from pathlib import Path

# `python app.py` from this folder: import from the top instead, so that no module here hides another.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from services.consumer import web  # noqa: E402
from services.consumer.settings import ConsumerSettings  # noqa: E402
from services.consumer.worker import Worker  # noqa: E402
from services.messaging import logs  # noqa: E402
from services.messaging.settings import load  # noqa: E402


def main() -> None:
    settings = load(ConsumerSettings)
    logs.setup(settings.consumer_name, settings.log_level)
    worker = Worker(settings)
    web.serve(settings, worker)
    worker.run()
    logging.shutdown()
    # A thread that is still busy after the grace must not hold the process: its message was given back.
    os._exit(0)


if __name__ == "__main__":
    main()
