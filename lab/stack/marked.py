"""Finds and kills the processes of a lab by a mark in their environment, whatever became of who started them."""

import os
import time
from pathlib import Path

import psutil

from lab.errors import LabError

# Every process of a stack without Docker carries its run folder in this variable.
MARK = "SRE_LAB_RUN_DIR"


def processes(run_dir: Path, mark: str = MARK) -> list[psutil.Process]:
    """Every process with that mark that the lab of that run folder started, but not the caller's own."""
    own = {os.getpid(), *_parents()}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(mark) == str(run_dir):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _parents() -> list[int]:
    try:
        return [parent.pid for parent in psutil.Process().parents()]
    except psutil.Error:
        return [os.getppid()]


def kill(run_dir: Path, mark: str = MARK) -> int:
    """Kill all of them, by pid, until none is left; return how many there were."""
    killed = 0
    deadline = time.monotonic() + 15
    while found := processes(run_dir, mark):
        for process in found:
            try:
                process.kill()
                killed += 1
            except psutil.Error:  # it is gone; or it may not be killed, and the deadline ends that
                continue
        psutil.wait_procs(found, timeout=3)
        if time.monotonic() > deadline:
            raise LabError(f"cannot kill {[process.pid for process in found]}")
    return killed
