"""The console's process: one for each lab, beside either form of the stack, on the machine itself.

In a container it would need the Docker engine's socket, to start and to reset runs.
"""

import os
import subprocess
import sys
import time

import psutil
import requests

from lab.errors import LabError
from lab.output import UTF8_ENVIRONMENT
from lab.settings import ROOT, LabSettings
from lab.stack import health, marked, ports
from lab.stack.base import Progress, Status
from lab.stack.logs import log_file, tail

# In the environment of its processes: the run folder. Not the stack's mark, as a stack that starts kills all of those.
MARK = "SRE_LAB_CONSOLE"
NAME = "console"
START_DEADLINE_SECONDS = 30


def start(settings: LabSettings, progress: Progress) -> None:
    """Serve the console, unless it is served; return when it answers. Raises LabError."""
    if problem(settings) is None:
        return
    stop(settings)  # what hangs, or listens at a former port
    ports.check_free([(NAME, "CONSOLE_PORT", settings.console_port)])
    log = log_file(settings, NAME)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{settings.console_port}",
             # One process, as it knows what it has started.
             "--workers", "1", "--worker-class", "lab.console.server.Worker",
             "--no-control-socket",  # it would be made in the user's home folder
             "lab.console.app:create_app()"],
            cwd=ROOT, env=os.environ | UTF8_ENVIRONMENT | {MARK: str(settings.run_dir)}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    if health.wait(lambda: None if process.poll() is not None else problem(settings), deadline) or problem(settings):
        raise LabError(f"the console does not start; the end of {log}:\n{tail(log)}")
    progress(f"the console is at {settings.console_url}")


def stop(settings: LabSettings) -> None:
    marked.kill(settings.run_dir, MARK)


def status(settings: LabSettings) -> Status:
    wrong = problem(settings)
    pid, since = (None, None) if wrong else _leader(marked.processes(settings.run_dir, MARK))
    return Status(NAME, "stopped" if wrong else "running", pid, since, None if wrong else True,
                  wrong or str(settings.console_port))


def _leader(found: list[psutil.Process]) -> tuple[int | None, float | None]:
    """Process id and age in seconds of the oldest of them."""
    try:
        oldest = min(found, key=lambda process: process.create_time())
        return oldest.pid, time.time() - oldest.create_time()
    except (ValueError, psutil.Error):  # there is none, or none any more
        return None, None


def problem(settings: LabSettings) -> str | None:
    """Why the console of this lab does not answer, or None."""
    try:
        answer = requests.get(f"http://127.0.0.1:{settings.console_port}/health", timeout=5)
        served = answer.json().get("run_folder")
    except (requests.RequestException, ValueError, AttributeError):
        return "does not answer"
    return None if served == str(settings.run_dir) else f"another lab's console is at port {settings.console_port}"
