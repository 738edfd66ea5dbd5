"""Whether messages really flowed: how many the ledgers acknowledge and process a second.

Metrics alone prove nothing: a process in the place of a service can invent them.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BLOCK_BYTES = 64 * 1024
EVENTS = {"acknowledged": "acknowledged-*.jsonl", "processed": "processed-*.jsonl"}


def rate(folder: Path, event: str, start: float, end: float) -> float:
    """Messages a second for which the ledgers have that event between two moments (Unix time in seconds)."""
    lines = (line for path in folder.glob(EVENTS[event]) for line in _since(path, start))
    return sum(line["event"] == event and line["time"] <= end for line in lines) / (end - start)


def _since(path: Path, start: float) -> Iterator[dict]:
    """The lines of a ledger from `start` on, the last one first. A ledger is in the order of time."""
    for text in _backwards(path):
        with suppress(json.JSONDecodeError):  # torn, as its writer was killed
            line = json.loads(text)
            if line["time"] < start:
                return
            yield line


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one first, without reading what is not asked for."""
    with path.open("rb") as file:
        position, rest = file.seek(0, 2), b""
        while position:
            size = min(BLOCK_BYTES, position)
            position = file.seek(position - size)
            first, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        yield rest
