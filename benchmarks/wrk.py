"""Runs wrk against one server and reads what it counted."""

import uuid
from pathlib import Path

from benchmarks import servers
from benchmarks.method import Invalid

SCRIPT = Path(__file__).with_name("produce.lua")


def requests_per_second(url: str, connections: int, seconds: int, batch: int = 0) -> tuple[float, int]:
    """The rate, and how many requests were answered. Raises Invalid where one of them was not with success."""
    shown = servers.output(
        ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
         "--timeout", "10s", "--script", str(SCRIPT), url, "--", uuid.uuid4().hex, str(batch)], {})
    answers, microseconds, failures = map(int, shown.partition("RESULT ")[2].split())
    if failures:
        raise Invalid(f"{failures} of {answers} requests were not answered with success")
    return answers / microseconds * 1e6, answers
