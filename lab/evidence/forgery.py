"""Lines that no consumer wrote, in the ledgers of the consumers.

Each process of a consumer numbers its lines from 1 without a gap, and a file has the lines of one process after the
other. A line from elsewhere therefore repeats a number, skips one, has none, or comes between those of two processes.
A forger who continues the numbers of a consumer that never writes again is not found out here.
"""

import json
from collections.abc import Collection
from pathlib import Path

from lab.grading.ledger import is_of_a_consumer


def forged(folder: Path, consumers: Collection[str] | None = None) -> list[str]:
    """Tampering signals, one a file at most; `consumers` are the names of those that have run, None for any."""
    found = ((path, _signal(path, consumers)) for path in sorted(folder.glob("processed-*.jsonl")))
    return [f"the ledger {path.name} {signal}" for path, signal in found if signal]


def _signal(path: Path, consumers: Collection[str] | None) -> str | None:
    if consumers is not None and path.stem.removeprefix("processed-") not in consumers:
        return "belongs to a consumer that never ran"
    breaks = _breaks(path)
    return f"has lines that its consumer did not write: their numbering breaks {breaks} times" if breaks else None


def _breaks(path: Path) -> int:
    """How often the numbering is not as consumers write it."""
    breaks, ended, process, seq = 0, set(), None, 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue  # torn, as a killed process leaves it; it counts for nothing
            if not isinstance(line, dict) or not is_of_a_consumer(line):
                breaks += 1
                continue
            if line["process"] != process:
                ended.add(process)
                process, seq = line["process"], 0
                breaks += process in ended
            breaks += line["seq"] != seq + 1
            seq = line["seq"]
    return breaks
