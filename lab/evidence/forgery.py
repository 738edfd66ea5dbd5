"""Lines that no consumer wrote, in the ledgers of the consumers.

Each process of a consumer numbers its lines from 1 without a gap, and a file has the lines of one process after the
other. A line from elsewhere therefore repeats a number, skips one, has none, or comes between those of two processes.
A forger who continues the numbers of a consumer that never writes again is not found out here.
"""

import json
from pathlib import Path

from lab.evidence.signal import Signal
from lab.grading.ledger import is_of_a_consumer


def signals(folder: Path, since: float) -> list[Signal]:
    """One for each ledger with forged lines from `since` on (Unix time in seconds)."""
    found = ((path, _breaks(path, since)) for path in sorted(folder.glob("processed-*.jsonl")))
    return [Signal(f"the ledger {path.name} has lines that its consumer did not write: their numbering breaks {breaks} times")
            for path, breaks in found if breaks]


def _breaks(path: Path, since: float) -> int:
    """How often the numbering is not as consumers write it, in the lines from `since` on."""
    breaks, ended, process, seq = 0, set(), None, 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue  # torn, as a killed process leaves it; it counts for nothing
            if not isinstance(line, dict) or not is_of_a_consumer(line):
                breaks += not _is_before(line, since)
                continue
            is_wrong = False
            if line["process"] != process:
                ended.add(process)
                process, seq = line["process"], 0
                is_wrong = process in ended
            is_wrong |= line["seq"] != seq + 1
            seq = line["seq"]
            breaks += is_wrong and not _is_before(line, since)
    return breaks


def _is_before(line: object, since: float) -> bool:
    moment = line.get("time") if isinstance(line, dict) else None
    return isinstance(moment, int | float) and moment < since
