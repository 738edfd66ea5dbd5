"""Ctrl-C, so that none is lost."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def remembered() -> Iterator[Callable[[], None]]:
    """Yields `check`, which raises KeyboardInterrupt once Ctrl-C was pressed; Ctrl-C itself raises it, too.

    Python drops an exception that a signal raises in a destructor or a callback of the garbage collector.
    """
    pressed = False

    def note(_signal, _frame) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as in a shell's background
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
