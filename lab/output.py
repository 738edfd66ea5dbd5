"""The standard streams of our programs: what becomes of the output never decides what a program does.

A reader may leave (`| head`), a terminal may be closed or know no UTF-8, a disk may be full. What cannot be written is
dropped, and the exit code reports it.
"""

import errno
import io
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

# What a shell reports for a program that SIGPIPE ended, as it ends other Unix tools whose reader leaves.
EXIT_NO_READER = 128 + signal.SIGPIPE
EXIT_HUNG_UP = 128 + signal.SIGHUP
EXIT_NOT_WRITTEN = 1
# A pipe that poll() calls writable takes as many bytes at once without blocking (POSIX).
CHUNK_BYTES = select.PIPE_BUF
# For a terminal that is stopped (Ctrl-S) or a pager that does not read, while a run goes on.
PATIENCE_SECONDS = 2.0
RETRY_SECONDS = 0.01
# For Python programs whose output goes to a file that the lab reads.
UTF8_ENVIRONMENT = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


class _Sink(io.RawIOBase):
    """Writes to a descriptor without ever raising; `lost` is the error after which it drops everything.

    With `patience` (seconds) it also drops what a slow reader does not take in that time; with None it waits.
    `notice` goes to standard error when the output is lost.
    """

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._target = _without_blocking(descriptor)
        self._poll = select.poll()
        self._poll.register(self._target, select.POLLOUT)
        self._stalled = False
        self.lost: OSError | None = None
        self.patience: float | None = None
        self.notice = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data) -> int:
        while self.lost is None and self._is_ready():
            try:
                return os.write(self._target, memoryview(data)[:CHUNK_BYTES])
            except BlockingIOError:  # a terminal has less room than a line break needs
                if self.patience is not None:
                    break
                time.sleep(RETRY_SECONDS)
            except OSError as error:
                self.lost = error
                if self.notice:
                    print(self.notice, file=sys.stderr)
        return len(data)

    def has_reader(self) -> bool:
        return self.lost is None and not any(
            event & (select.POLLERR | select.POLLHUP) for _, event in self._poll.poll(0))

    def _is_ready(self) -> bool:
        if self.patience is None:
            return bool(self._poll.poll())
        self._stalled = not self._poll.poll(0 if self._stalled else 1000 * self.patience)
        return not self._stalled


def _without_blocking(descriptor: int) -> int:
    """A terminal opened once more, as O_NONBLOCK on the descriptor itself would change it for every program there."""
    if os.isatty(descriptor):
        with suppress(OSError):
            return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    return descriptor


_sinks: dict[str, _Sink] = {}


def run(program: Callable[[], object]) -> NoReturn:
    """Run the program with such streams, and exit with its code; where its output was lost, with that of the loss."""
    protect()
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(EXIT_HUNG_UP))  # so that cleaning up is not skipped
    try:
        program()
        code = 0
    except SystemExit as ended:
        code = ended.code
    _flush()
    sys.exit(code or _exit_code_of_loss())


def protect() -> None:
    """Replace the standard streams, unless that is done, or somebody else has replaced them."""
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return
    _open_what_is_closed()
    sys.stdin.reconfigure(errors="replace")
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        _sinks[name] = _Sink(descriptor)
        setattr(sys, name, io.TextIOWrapper(
            io.BufferedWriter(_sinks[name]), encoding=stream.encoding, errors="backslashreplace",
            line_buffering=stream.line_buffering, write_through=stream.write_through))


def exit_without_reader() -> None:
    """End a program that only shows something, where nobody reads it any more."""
    if "stdout" in _sinks and not _sinks["stdout"].has_reader():
        sys.exit(EXIT_NO_READER)


@contextmanager
def detached(notice: str = "") -> Iterator[None]:
    """What is done inside goes on when the terminal is closed or stopped; output that is lost does not count.

    `notice` is printed to standard error when standard output is lost.
    """
    # Ignored, as by nohup: the programs that are started meanwhile outlive the terminal, too.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for sink in _sinks.values():
        # What was lost before is lost once more, and then noticed.
        sink.patience, sink.lost = PATIENCE_SECONDS, None
    if "stdout" in _sinks:
        _sinks["stdout"].notice = notice
    try:
        yield
    finally:
        _flush()
        for sink in _sinks.values():
            sink.patience, sink.lost, sink.notice = None, None, ""
        signal.signal(signal.SIGHUP, before)


def _open_what_is_closed() -> None:
    """A descriptor that was closed (`>&-`) would be given to the next file that is opened, which output then damages."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _exit_code_of_loss() -> int:
    lost = _sinks["stdout"].lost if "stdout" in _sinks else None
    if lost is None:
        return 0
    if lost.errno == errno.EPIPE:
        return EXIT_NO_READER
    print(f"error: the output cannot be written: {lost.strerror}", file=sys.stderr)
    return EXIT_NOT_WRITTEN
