"""A private lab for the tests: real programs, free ports, a run folder and a settings file of its own."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import requests
from dotenv import dotenv_values
from xdist.scheduler import LoadFileScheduling

from lab import settings as lab_settings
from lab import stack as stacks
from lab.prometheus import Prometheus
from lab.settings import ROOT, LabSettings
from lab.stack.compose import docker
from lab.stack.base import Stack
from tests.ports import free_ports
from tests.standins import engine

CONSUMER_PORTS = 10
NEED_DOCKER = ("tests/compose/", "tests/stack/")
# Those whose files take longest begin first, so that no process is left with one at the end.
SLOWEST_FIRST = (*NEED_DOCKER, "tests/scenarios/", "tests/campaign/", "tests/attacks/", "tests/integration/", "tests/browser/")

# A shell lets what it starts in the background ignore Ctrl-C, and nohup lets it ignore the end of its terminal; all that
# the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples in every run: what failed once fails again, and a slow machine fails nothing.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


class TogetherByFile(LoadFileScheduling):
    """Of several processes, one runs all of a file, as its tests share a lab; and one all that shares a Docker engine."""

    def _split_scope(self, nodeid: str) -> str:
        return "docker" if nodeid.startswith(NEED_DOCKER) else super()._split_scope(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, folder in enumerate(SLOWEST_FIRST) if item.nodeid.startswith(folder)),
                                     len(SLOWEST_FIRST)))


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> TogetherByFile:
    return TogetherByFile(config, log)


def wait_until(condition: Callable[[], object], seconds: float = 60, what: str = "the condition") -> object:
    """Poll until `condition` gives something true, and return that; fail where it is not after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        # Read before the poll: a process that did not run for that long polls once more.
        is_last = time.monotonic() > deadline
        if result := condition():
            return result
        assert not is_last, f"{what} did not come true within {seconds} s"
        time.sleep(0.1)


def tracked_files(*options: str) -> list[str]:
    """What `git ls-files` lists, also in a checkout that belongs to another user."""
    listed = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *options], cwd=ROOT,
                            capture_output=True, encoding="utf-8", check=True).stdout
    return listed.split("\0")[:-1]


def missed(grade: dict) -> list[dict]:
    """The lines of a grade without full points, but for those that also depend on how fast the machine is."""
    return [line for line in grade["lines"]
            if line["out_of"] > line["points"] >= 0 and line["title"] not in {"Detection", "Speed"}]


def activated() -> dict[str, str]:
    """The environment of a shell after `. .venv/bin/activate`."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def answer_of(url: str, **options) -> requests.Response | None:
    """What `url` answers; None where nothing answers yet, or not in time: a port may listen before its program works."""
    try:
        return requests.get(url, timeout=5, **options)
    except requests.RequestException:
        return None


def metric(url: str, name: str) -> float:
    """A metric of the service at `url`: the sum of its series."""
    text = requests.get(f"{url}/metrics", timeout=30).text
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@contextmanager
def private_settings(path: Path, run_dir: Path, **changes: object) -> Iterator[Path]:
    """A settings file for a private lab: the example's values, other folders, and ports reserved for as long."""
    values = dict(dotenv_values(lab_settings.EXAMPLE_FILE))
    names = [name for name in values if name.endswith("_PORT") and name != "CONSUMER_PORT"]
    with free_ports(len(names) + CONSUMER_PORTS) as ports:
        values |= {name: str(port) for name, port in zip(names, ports, strict=False)}
        values |= {
            "CONSUMER_PORT": str(ports[len(names)]),
            "LAB_STACK": "native",
            "COMPOSE_PROJECT_NAME": f"sre-lab-test-{ports[0]}",
            "LAB_RUN_DIR": str(run_dir / "run"),
            "LAB_REPORTS_DIR": str(run_dir / "reports"),
        }
        values |= {name: str(value) for name, value in changes.items()}
        path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
        yield path


@dataclass(frozen=True)
class Lab:
    """A running lab, and the ways a person has to use it."""

    settings: LabSettings
    env_file: Path

    @property
    def stack(self) -> Stack:
        return stacks.current(lab_settings.load())

    @property
    def prometheus(self) -> Prometheus:
        return Prometheus(self.settings.prometheus_url)

    def engine(self, *arguments: str) -> subprocess.Popen:
        """Type `lab ...` in a first terminal, where it goes on; its output can be read from `stdout`."""
        return subprocess.Popen([sys.executable, "-m", "lab.cli", *arguments], cwd=ROOT, encoding="utf-8",
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def command(self, *arguments: str, check: bool = True, timeout: float = 180, **options) -> subprocess.CompletedProcess:
        """Type `lab ...`; standard input is no terminal."""
        done = subprocess.run([sys.executable, "-m", "lab.cli", *arguments], cwd=ROOT, encoding="utf-8", timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, **options)
        if check:
            assert done.returncode == 0, f"lab {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done


class Terminal:
    """A program in a terminal of its own: what it shows can be awaited, and it can be typed to."""

    def __init__(self, *argv: str):
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execvp(argv[0], argv)
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown[-2000:]}"
            self._read()

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def close(self) -> None:
        """As the window of a terminal that is closed."""
        os.close(self._fd)

    def wait_end(self, seconds: float = 60) -> int:
        """The exit code."""
        deadline = time.monotonic() + seconds
        while True:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read():
                    pass  # what it wrote at the end
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, f"it goes on: {self.shown[-2000:]}"

    def _read(self) -> bool:
        """Whether there was something to read."""
        ready, _, _ = select.select([self._fd], [], [], 0.2)
        if ready:
            try:
                self.shown += os.read(self._fd, 65536).decode(errors="replace")
                return True
            except OSError:  # the program has ended
                time.sleep(0.1)
        return False


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory) -> Iterator[None]:
    """A Docker engine: the machine's own, else a private one with stand-ins for what no registry gives here."""
    if docker.unusable() is None:
        yield
        return
    if problem := engine.missing():
        pytest.skip(f"no Docker engine can be had: {problem}")
    folder = tmp_path_factory.mktemp("docker")
    with engine.engine(folder) as host, pytest.MonkeyPatch.context() as patch:
        engine.build_images(host, folder)
        patch.setenv("DOCKER_HOST", host)
        patch.setenv("DOCKER_CONFIG", str(engine.compose_plugin(host, folder)))
        docker.compose_command.cache_clear()
        yield
    docker.compose_command.cache_clear()


@contextmanager
def private_lab(folder: Path, **changes: object) -> Iterator[Lab]:
    """A lab of its own that is down, and its settings in force; nothing of it is left at the end."""
    with private_settings(folder / "env", folder, **changes) as env_file, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENV_FILE", str(env_file))
        lab = Lab(lab_settings.load(), env_file)
        try:
            yield lab
        finally:
            lab.command("clean")


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory) -> Iterator[Lab]:
    """A lab that is up for one module of tests."""
    with private_lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.command("up")
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    """The running lab at its baseline; what a test does to it is undone."""
    settings_before = running_lab.env_file.read_text(encoding="utf-8")
    yield running_lab
    running_lab.env_file.write_text(settings_before, encoding="utf-8")
    running_lab.command("reset")
