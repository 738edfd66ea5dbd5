"""Toxiproxy's client: toxiproxy-python for this lab's server, with a time-out on every call."""

from collections.abc import Callable

import requests
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer

from lab.errors import LabError
from lab.stack.base import Stack

TIMEOUT_SECONDS = 5


def toxiproxy(stack: Stack) -> Toxiproxy:
    """The client of this lab's Toxiproxy. It and its calls raise LabError when that does not answer."""
    # The library keeps the address on a class of its own.
    APIConsumer.host, APIConsumer.port = stack.toxiproxy_address()
    APIConsumer.get("/version")
    return Toxiproxy()


def _bounded(call: Callable) -> Callable:
    def bounded(*arguments, **options):
        try:
            return call(*arguments, timeout=TIMEOUT_SECONDS, **options)
        except requests.RequestException:
            raise LabError("Toxiproxy does not answer: `lab restart toxiproxy`, then try again") from None
    return bounded


# The library's own calls set no time-out, and every one of them goes through these.
for _method in ("get", "post", "delete"):
    setattr(APIConsumer, _method, staticmethod(_bounded(getattr(APIConsumer, _method))))
