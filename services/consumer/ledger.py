"""The processed ledger: what this consumer did with each message, one line of JSON each.

A line is written before its message is acked, by one write(2) and without fsync: it survives
the death of the process, not the death of the machine. Each process of a consumer numbers its
lines from 1, so that a line which somebody else wrote into the file shows.
"""

import os
import time
import uuid
from collections.abc import Collection
from pathlib import Path

from pydantic_core import to_json


class Ledger:
    """Appends to `processed-<consumer>.jsonl` in `folder`; does nothing when folder is None.

    Raises OSError when the file cannot be written.
    """

    def __init__(self, folder: Path | None, consumer: str):
        self._fd = None
        self._process = uuid.uuid4().hex
        self._written = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(folder / f"processed-{consumer}.jsonl",
                               os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._end_torn_line()

    def _end_torn_line(self) -> None:
        """Begin on a line of our own, where an earlier process was killed in the middle of one."""
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def append(self, event: str, message_ids: list[str], redelivered: Collection[str] = ()) -> None:
        """Record one event ('processed' or 'dead-lettered') for each id, in one write.

        `redelivered` are the ids that the broker had delivered before: what explains a duplicate.
        """
        if self._fd is None or not message_ids:
            return
        now = round(time.time(), 3)
        os.write(self._fd, b"".join(
            to_json({"time": now, "event": event, "id": message_id, "redelivered": message_id in redelivered,
                     "process": self._process, "seq": seq}) + b"\n"
            for seq, message_id in enumerate(message_ids, self._written + 1)))
        self._written += len(message_ids)
