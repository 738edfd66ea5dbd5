"""What only one process of a lab may do at a time."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lab.errors import LabError
from lab.settings import LabSettings

WAIT_SECONDS = 120
POLL_SECONDS = 0.1


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


@contextmanager
def in_turn(settings: LabSettings, action: str) -> Iterator[None]:
    """Wait until no other process is inside for the same action. Raises LabError after `WAIT_SECONDS`."""
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(exclusive(settings, action, f"another process has been {action} for too long"))
                break
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
        yield
