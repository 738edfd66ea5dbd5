"""What pages start and do not wait for: the engine of a run, and a reset; each is a `lab` command of its own.

A run goes on when the console ends, and the other way round.
"""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from lab.console.daemon import MARK
from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack.logs import log_file, tail

LINES = 12
NO_PASS = 3  # the exit code of a run that was graded, and not passed


@dataclass
class Task:
    """One command; `lines` is the end of what it has said."""

    title: str
    process: subprocess.Popen
    log: Path

    @property
    def is_at_work(self) -> bool:
        return self.process.poll() is None

    @property
    def has_failed(self) -> bool:
        return self.process.poll() not in {None, 0, NO_PASS}

    @property
    def lines(self) -> list[str]:
        return tail(self.log, LINES).splitlines()


_lock = threading.Lock()
_tasks: dict[str, Task] = {}


def engine() -> Task | None:
    """The engine that a page started last."""
    return _tasks.get("engine")


def resetting() -> Task | None:
    """The reset that a page started last."""
    return _tasks.get("reset")


def start_engine(settings: LabSettings, title: str, *arguments: str, said: str = "") -> None:
    """Run `lab …` with `said` as its input, unless an engine or a reset is at work: then it raises LabError."""
    with _lock:
        for task in _tasks.values():
            if task.is_at_work:
                raise LabError(f"{task.title} is at work already")
        _start(settings, "engine", title, arguments, said)


def start_reset(settings: LabSettings) -> None:
    """Run `lab reset`, which ends an engine too. Raises LabError while one is at work."""
    with _lock:
        if (task := resetting()) and task.is_at_work:
            raise LabError(f"{task.title} is at work already")
        _start(settings, "reset", "the reset", ("reset",))


def _start(settings: LabSettings, kind: str, title: str, arguments: tuple[str, ...], said: str = "") -> None:
    log = log_file(settings, f"console-{kind}")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.cli", *arguments], cwd=ROOT, env=environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    process.stdin.write(said.encode())
    process.stdin.close()
    _tasks[kind] = Task(title, process, log)
