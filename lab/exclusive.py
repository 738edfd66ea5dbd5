"""What only one process of a lab may do at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import LabError
from lab.settings import LabSettings


@contextmanager
def exclusive(settings: LabSettings, action: str, refusal: str) -> Iterator[None]:
    """Raises LabError with that refusal while another process is inside for the same action.

    The kernel releases the lock when the process ends, however it ends.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / f"{action}.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(refusal) from None
        yield
