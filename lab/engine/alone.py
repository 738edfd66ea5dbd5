"""What two processes of a lab do one after the other, never at once."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lab.errors import LabError
from lab.exclusive import exclusive
from lab.settings import LabSettings

WAIT_SECONDS = 120
POLL_SECONDS = 0.1


@contextmanager
def alone(settings: LabSettings, action: str) -> Iterator[None]:
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
