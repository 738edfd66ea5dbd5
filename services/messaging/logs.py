"""Structured logs: one JSON object a line on standard output."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter


def setup(service: str, level: str) -> None:
    """Log everything of this process as JSON lines, each with the service's name."""
    # No line tells them, and to collect them costs more than to write the line.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger", "message": "event"},
        static_fields={"service": service},
        timestamp="time",
    ))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # pika tells of every socket step; its losses reach our own log with their cause.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
