"""Health checks over HTTP, and waiting for them."""

import time
from collections.abc import Callable

import requests

POLL_SECONDS = 0.1
REPORT_SECONDS = 2.0


def check(url: str, timeout: float = 2) -> str | None:
    """None when `url` answers with success or asks who it is, else why not; `timeout` is in seconds."""
    try:
        answer = requests.get(url, timeout=timeout)
    except requests.ConnectionError:
        return "does not answer yet"
    except requests.Timeout:
        return f"does not answer within {timeout:g} s"
    # Whom the broker's management knows is the business of the baseline, not of its health.
    if answer.ok or answer.status_code == requests.codes.unauthorized:
        return None
    try:
        return answer.json()["reason"]
    except (ValueError, KeyError, TypeError):
        return f"answers {answer.status_code}"


def version(address: tuple[str, int]) -> str:
    """Which Toxiproxy runs there: the version of the real one, or the stand-in's; or that none answers."""
    host, port = address
    try:
        answer = requests.get(f"http://{host}:{port}/version", timeout=2)
        return str(answer.json()["version"])
    except (requests.RequestException, ValueError, KeyError):
        return "does not answer"


def wait(problem: Callable[[], str | None], deadline: float,
         report: Callable[[float, str], None] = lambda *_: None) -> str | None:
    """Poll until there is no problem or `deadline` (monotonic seconds); return the last problem.

    `report(seconds, problem)` is called every other second of waiting.
    """
    started = last_report = time.monotonic()
    while found := problem():
        now = time.monotonic()
        if now > deadline:
            return found
        if now - last_report >= REPORT_SECONDS:
            last_report = now
            report(now - started, found)
        time.sleep(POLL_SECONDS)
    return None
