"""The processed ledger: what this consumer did with each message, one line of JSON each.

A line is written before its message is acked, by one write(2) and without fsync: it survives
the death of the process, not the death of the machine.
"""

import os
import time
from collections.abc import Collection
from pathlib import Path

from pydantic_core import to_json


class Ledger:
    """Appends to `processed-<consumer>.jsonl` in `folder`; does nothing when folder is None.

    Raises OSError when the file cannot be written.
    """

    def __init__(self, folder: Path | None, consumer: str):
        self._fd = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(folder / f"processed-{consumer}.jsonl",
                               os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, event: str, message_ids: list[str], redelivered: Collection[str] = ()) -> None:
        """Record one event ('processed' or 'dead-lettered') for each id, in one write.

        `redelivered` are the ids that the broker had delivered before: what explains a duplicate.
        """
        if self._fd is None or not message_ids:
            return
        now = round(time.time(), 3)
        os.write(self._fd, b"".join(
            to_json({"time": now, "event": event, "id": message_id, "redelivered": message_id in redelivered}) + b"\n"
            for message_id in message_ids))
