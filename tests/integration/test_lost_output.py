"""Runs in whatever terminal or pipe: the output may be lost, but the run is graded and rolled back."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from lab.engine.record import Records
from lab.output import EXIT_NO_READER
from lab.settings import ROOT
from tests.conftest import Lab, Terminal, private_lab, wait_until

LAB = (sys.executable, "-m", "lab.cli")
# Its fault breaks no SLO, so that the next run does not have to wait until all of them are met again.
SCENARIO = ("scenario", "8", "--seed", "3")
NO_PASS = 3


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory) -> Iterator[Lab]:
    with private_lab(tmp_path_factory.mktemp("output")) as lab:
        lab.command("up")
        yield lab


class Started:
    """A run whose engine writes to `redirection`, as a shell has it."""

    def __init__(self, redirection: str, encoding: str):
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec 3>&1; {{ \"$@\"; echo \"exit $?\" >&3; }} {redirection}", "sh", *LAB, *SCENARIO], cwd=ROOT,
            env=os.environ | {"PYTHONIOENCODING": encoding}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def lose_output(self) -> None:
        """It is lost, or escaped, from the start."""

    def end(self) -> tuple[int, bytes]:
        said, _ = self._process.communicate(timeout=180)
        return int(said.split()[-1]), said


class InTerminal:
    """A run in a terminal to which something happens."""

    def __init__(self, happens: Callable[[Terminal], None]):
        self._terminal = Terminal(*LAB, *SCENARIO)
        self._happens = happens

    def lose_output(self) -> None:
        self._terminal.wait_for("SLOs have held for", 120)
        self._happens(self._terminal)

    def end(self) -> tuple[int, bytes]:
        _, status = os.waitpid(self._terminal.pid, 0)
        return os.waitstatus_to_exitcode(status), b""


def close(terminal: Terminal) -> None:
    """As a closed window, or a connection that ends: SIGHUP, and then errors."""
    terminal.close()


def stop(terminal: Terminal) -> None:
    """Ctrl-S, and nobody reads any more."""
    terminal.type("\x13")


WAYS = {
    "iso-8859-15": lambda: Started("", "iso-8859-15"),
    "ascii, and the reader leaves": lambda: Started("| head -n 1", "ascii"),
    "cp1252, and the disk is full": lambda: Started(">/dev/full 2>&1", "cp1252"),
    "everything is closed": lambda: Started("<&- >&- 2>&-", "utf-8"),
    "the terminal is closed": lambda: InTerminal(close),
    "the terminal is stopped": lambda: InTerminal(stop),
}


def records(lab: Lab) -> Records:
    return Records(lab.settings.run_dir)


def wait_for_injection(lab: Lab) -> None:
    wait_until(lambda: (run := records(lab).active()) and run.first("fault"), 300, "injection")


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_graded_and_rolled_back_whatever_becomes_of_its_output(running_lab, way):
    engine = WAYS[way]()
    wait_for_injection(running_lab)
    engine.lose_output()
    assert running_lab.command("grade", check=False).returncode == NO_PASS
    code, said = engine.end()
    assert code == NO_PASS, said
    assert b"Traceback" not in said and b"internal error" not in said
    assert (records(running_lab).active(), records(running_lab).latest().state) == (None, "reset")
    wait_until(lambda: running_lab.prometheus.value('up{job="rabbitmq"}') == 1, what="the exporter of the broker")


@pytest.mark.parametrize("command", ["logs", "logs --follow", "logs consumer --follow --grep no-such-text", "monitor", "ps",
                                     "status", "reset", "exec rabbitmq yes"])
def test_no_command_outlives_its_reader_or_complains_about_it(running_lab, command):
    done = subprocess.run(["sh", "-c", '{ "$@"; echo "exit $?" >&2; } | true', "sh", *LAB, *command.split()], cwd=ROOT,
                          env=os.environ | {"PYTHONIOENCODING": "ascii"}, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=180)
    assert done.stderr.decode().splitlines()[-1] in {f"exit {EXIT_NO_READER}", "exit 0"}, done.stderr
    assert b"error" not in done.stderr and b"Traceback" not in done.stderr


def test_the_system_test_does_all_its_checks_without_a_reader(running_lab):
    done = subprocess.run(["sh", "-c", '{ "$@"; echo "exit $?" >&2; } | true', "sh", sys.executable, "scripts/test_system.py",
                           "--messages", "20"], cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=180)
    assert done.stderr.decode() == f"exit {EXIT_NO_READER}\n"
