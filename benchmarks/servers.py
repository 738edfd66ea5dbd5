"""Starts a process, awaits that it serves, and stops it by its pid."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.method import Invalid
from lab.settings import ROOT, LabSettings
from lab.stack.logs import tail
from lab.stack.marked import MARK

READY_SECONDS = 30
STOP_SECONDS = 20
OUTPUT_SECONDS = 300
PROBE = {"id": "probe", "payload": {"order": 0}}


@contextmanager
def process(settings: LabSettings, name: str, argv: list[str],
            environment: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    """A process for as long as the block lasts; its output goes to a log in the run folder.

    It carries the mark by which `lab clean` finds what is left after anything.
    """
    log = _log(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        started = subprocess.Popen(
            argv, cwd=ROOT, env=os.environ | environment | {MARK: str(settings.run_dir)}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@contextmanager
def http_server(settings: LabSettings, name: str, argv: list[str], environment: Mapping[str, str],
                port: int) -> Iterator[str]:
    """An HTTP contender; gives its URL when it answers a message with 201."""
    url = f"http://127.0.0.1:{port}"
    with process(settings, name, argv, environment) as server:
        deadline = time.monotonic() + READY_SECONDS
        while (problem := _problem(url)) is not None:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Invalid(f"{name} does not start ({problem}): {log_tail(settings, name)}")
            time.sleep(0.1)
        yield url


def _problem(url: str) -> str | None:
    try:
        status = requests.post(f"{url}/produce", json=PROBE, timeout=5).status_code
    except requests.RequestException as error:
        return type(error).__name__
    return None if status == 201 else f"answers {status}"


def output(argv: list[str], environment: Mapping[str, str]) -> str:
    """What a program prints. Raises Invalid with its error output when it fails, or when it does not end."""
    shown = " ".join(argv)[:100]
    try:
        done = subprocess.run(argv, cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL,
                              capture_output=True, encoding="utf-8", timeout=OUTPUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Invalid(f"{shown} did not end within {OUTPUT_SECONDS} s") from None
    if done.returncode:
        raise Invalid(f"{shown} failed: {done.stdout[-200:]}{done.stderr[-500:]}")
    return done.stdout


def log_tail(settings: LabSettings, name: str) -> str:
    return tail(_log(settings, name), 5)


def _log(settings: LabSettings, name: str) -> Path:
    return settings.run_dir / "logs" / f"{name}.log"
