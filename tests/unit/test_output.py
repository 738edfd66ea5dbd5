"""The standard streams: readers that leave, terminals without UTF-8, full disks; the program does its work all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.output import EXIT_HUNG_UP, EXIT_NO_READER
from lab.settings import ROOT
from tests.ports import free_ports

TEXT = "Zoë · 12 € … ✓ \udcff"  # the last one is a byte of an argument that is not UTF-8
LINES = 5000  # more than a pipe takes
WORK = f"""
import sys
from pathlib import Path
from lab import output

def work():
    done = open(sys.argv[1], "w", encoding="utf-8")
    for number in range({LINES}):
        print(number, {TEXT!a})
    print("warning", file=sys.stderr)
    done.write("done")

"""
RUN = WORK + "output.run(work)"
RUN_DETACHED = WORK + """
def detached():
    print("before", flush=True)
    with output.detached("it goes on"):
        work()

output.run(detached)
"""
SHOW = WORK + """
def show():
    while True:
        print("line", flush=True)
        output.exit_without_reader()

output.run(show)
"""
NOT_UTF8 = {"PYTHONIOENCODING": "iso-8859-15"}
ENVIRONMENTS = [
    {"PYTHONIOENCODING": "utf-8"}, NOT_UTF8, {"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "iso-8859-15:strict"}, {"LANG": "C"}, {"LC_ALL": "POSIX"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},  # an ASCII locale
]


def in_shell(program: str, redirection: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the Python program as a shell does that has such a redirection."""
    command = f"exec 3>&1; {{ \"$@\"; echo \"exit $?\" >&3; }} {redirection}"
    done = subprocess.run(["sh", "-c", command, "sh", sys.executable, "-c", program, str(folder / "done")], cwd=ROOT,
                          env=os.environ | environment, capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr, done.stderr
    return done


def exit_code(done: subprocess.CompletedProcess) -> int:
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda one: ",".join(f"{k}={v}" for k, v in one.items()))
def test_every_encoding_takes_every_text(tmp_path, environment):
    done = in_shell(RUN, "", tmp_path, **environment)
    assert exit_code(done) == 0
    assert done.stdout.count(b"\n") == LINES + 1
    assert rb"\udcff" in done.stdout  # escaped, as no encoding has it
    assert (tmp_path / "done").read_text(encoding="utf-8") == "done"


@pytest.mark.parametrize(("redirection", "code", "message"), [
    ("| true", EXIT_NO_READER, b"warning\n"),
    ("| head -n 3 >/dev/null", EXIT_NO_READER, b"warning\n"),
    (">&-", 0, b"warning\n"),
    ("2>&-", 0, b""),
    ("<&- >&- 2>&-", 0, b""),
    (">/dev/full", 1, b"warning\nerror: the output cannot be written: No space left on device\n"),
    ("2>/dev/full", 0, b""),
    (">/dev/full 2>&1", 1, b""),
])
@pytest.mark.parametrize("environment", [{}, NOT_UTF8], ids=["as it is", "not UTF-8"])
def test_lost_output_only_shows_in_the_exit_code(tmp_path, redirection, code, message, environment):
    done = in_shell(RUN, redirection, tmp_path, **environment)
    assert (exit_code(done), done.stderr) == (code, message)
    assert (tmp_path / "done").read_text(encoding="utf-8") == "done"


@pytest.mark.parametrize(("redirection", "notice"), [
    ("| true", b"it goes on\nwarning\n"), (">/dev/full", b"it goes on\nwarning\n"), (">&-", b"warning\n"),
    ("<&- >&- 2>&-", b"")])
def test_output_lost_during_a_run_does_not_count_but_is_noticed(tmp_path, redirection, notice):
    done = in_shell(RUN_DETACHED, redirection, tmp_path)
    assert (exit_code(done), done.stderr) == (0, notice)
    assert (tmp_path / "done").read_text(encoding="utf-8") == "done"


def test_what_only_shows_something_ends_with_its_reader(tmp_path):
    assert exit_code(in_shell(SHOW, "| head -n 3 >/dev/null", tmp_path)) == EXIT_NO_READER


def test_a_run_does_not_wait_for_a_reader_that_does_not_read(tmp_path):
    with subprocess.Popen([sys.executable, "-c", RUN_DETACHED, str(tmp_path / "done")], cwd=ROOT,
                          stdout=subprocess.PIPE) as process:
        assert process.wait(60) == 0
    assert (tmp_path / "done").read_text(encoding="utf-8") == "done"


def test_other_programs_wait_for_a_slow_reader_even_on_a_pipe_that_does_not_block(tmp_path):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "done")], cwd=ROOT, stdout=writing) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as output:
            assert output.read().count(b"\n") == LINES
        assert process.wait(60) == 0


def test_a_run_survives_the_end_of_its_terminal(tmp_path):
    assert exit_code(in_shell(hanging_up(RUN_DETACHED), "", tmp_path)) == 0
    assert (tmp_path / "done").exists()


def test_other_programs_clean_up_when_their_terminal_ends(tmp_path):
    cleaning = WORK + """
def clean_up():
    try:
        work()
    finally:
        Path(sys.argv[1]).with_name("clean").touch()

output.run(clean_up)
"""
    assert exit_code(in_shell(hanging_up(cleaning), "", tmp_path)) == EXIT_HUNG_UP
    assert (tmp_path / "clean").exists() and not (tmp_path / "done").exists()


def hanging_up(program: str) -> str:
    return program.replace("    done = open", "    import os, signal; os.kill(os.getpid(), signal.SIGHUP)\n    done = open")


# -- the commands that need no lab -----------------------------------------------------------------


@pytest.mark.parametrize("redirection", ["| true", ">/dev/full", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["--help", "scenarios", "export 2", "status"])
def test_every_command_is_quiet_about_a_reader_that_leaves(tmp_path, monkeypatch, command, redirection):
    monkeypatch.setenv("LAB_RUN_DIR", str(tmp_path))
    program = f"import sys; sys.argv[1:] = {command.split()!r}; from lab.cli import main; main()"
    done = in_shell(program, redirection, tmp_path, **NOT_UTF8)
    assert b"internal error" not in done.stderr
    assert exit_code(done) in {0, 1, 2, EXIT_NO_READER}


@pytest.mark.parametrize("command", ["up", "hint", "scenario 1", "grade", "reset"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch, command):
    """As in a read-only checkout, or one that belongs to another user."""
    monkeypatch.setenv("LAB_RUN_DIR", "/sys/sre-lab")  # where nobody can make a folder, root included
    program = f"import sys; sys.argv[1:] = {command.split()!r}; from lab.cli import main; main()"
    with free_ports(1) as [port]:  # the usual one may be another lab's
        done = in_shell(program, "", tmp_path, LAB_STACK="native", CONSOLE_PORT=str(port))
    assert exit_code(done) == 1
    assert b"error: /sys/sre-lab" in done.stderr and b"LAB_RUN_DIR" in done.stderr
