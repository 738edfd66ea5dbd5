"""The commands of the system's document, each typed as it is written there, in a shell in the repository's folder.

Only ports differ, as a busy machine needs it. What takes containers is typed in tests/compose. What installs from the
network is typed by set-up, from nothing, at the start of CI; here its words are looked at only.
"""

import ast
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from lab.settings import ROOT, LabSettings
from tests.conftest import Lab, Terminal, activated, private_lab, wait_until

# Where each command is typed.
HERE = "tests/integration/test_commands.py"
COMPOSE = "tests/compose/test_compose.py"
COMMANDS = {
    "docker compose up -d": f"{COMPOSE}::clone",
    "docker-compose up -d": f"{COMPOSE}::test_the_older_compose_does_it_all",
    "docker-compose ps": f"{COMPOSE}::test_the_older_compose_does_it_all",
    "docker-compose logs -f consumer": f"{COMPOSE}::test_the_older_compose_does_it_all",
    "docker-compose up -d rabbitmq": f"{COMPOSE}::test_the_older_compose_does_it_all",
    "make up": f"{HERE}::running_lab",
    "make logs": f"{HERE}::test_make_logs",
    "make scale-consumer": f"{HERE}::test_make_scale_consumer",
    "make monitor": f"{HERE}::test_make_monitor",
    "make clean": f"{HERE}::test_make_clean",
    "pip install -r requirements.txt": "tests/integration/test_setup.py::test_what_is_pinned_is_installed",
    "python app.py": "tests/integration/test_services.py::test_app_py_starts_from_its_own_folder",
    "python -m pytest tests/ -v": f"{HERE}::test_pytest_finds_the_tests",
    "python scripts/test_system.py": "tests/stack/test_stack.py::test_the_system_test_passes",
    "curl localhost:5000/health": f"{HERE}::test_curl_gets_every_page",
    "curl localhost:5000/metrics": f"{HERE}::test_curl_gets_every_page",
    "curl localhost:8000/metrics": f"{HERE}::test_curl_gets_every_page",
    """curl -X POST localhost:5000/produce -d '{"id": "msg1", "payload": "content", "processing_time": 1.5}'""":
        f"{HERE}::test_curl_produces",
    """curl -X POST localhost:5000/batch-produce -d '{"messages": [{"id": "msg1", "payload": "content"},""":
        f"{HERE}::test_curl_produces",
    "curl -u admin:password http://localhost:15672/api/queues": f"{HERE}::test_curl_asks_the_broker",
}
PORTS = {str(LabSettings.model_fields[name].default): name for name in
         ("producer_port", "consumer_port", "rabbitmq_management_port")}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_typed_somewhere(command):
    path, _, name = COMMANDS[command].partition("::")
    module = (ROOT / path).read_text(encoding="utf-8")
    [function] = [node for node in ast.walk(ast.parse(module)) if isinstance(node, ast.FunctionDef) and node.name == name]
    first = min(node.lineno for node in (function, *function.decorator_list))
    source = "\n".join(module.splitlines()[first - 1:function.end_lineno])
    words = r"[\s\S]*?".join(map(re.escape, command.split()))
    assert re.search(words, source), f"{COMMANDS[command]} does not type it"


def shell(command: str) -> str:
    """What a command says that is typed after `. .venv/bin/activate`; it must succeed."""
    done = subprocess.run(command, shell=True, cwd=ROOT, env=activated(), encoding="utf-8", timeout=300,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory) -> Iterator[Lab]:
    if (ROOT / ".venv").is_symlink():
        pytest.skip("this clone has borrowed its .venv, which the set-up of `make` would change")
    with private_lab(tmp_path_factory.mktemp("lab")) as lab:
        assert "the lab is up" in shell("make up")
        yield lab


@pytest.fixture
def curl(running_lab) -> Callable[[str], str]:
    """Types a call of the document, with the ports of this lab."""
    if shutil.which("curl") is None:
        pytest.skip("not installed: curl")
    return lambda command: shell(re.sub(
        "|".join(f"(?<=:){port}" for port in PORTS),
        lambda port: str(getattr(running_lab.settings, PORTS[port[0]])), command.replace("curl ", "curl -sS ")))


# -- make ------------------------------------------------------------------------------------------


@pytest.mark.racing
def test_make_logs(running_lab):
    wait_until(lambda: "broker connected" in shell("make logs"), what="the log line")


def test_make_scale_consumer(running_lab):
    assert "3 consumers run" in shell("make scale-consumer")
    wait_until(lambda: len(running_lab.prometheus.vector('up{job="consumer"} == 1')) == 3, what="three scraped consumers")


def test_make_monitor(running_lab):
    monitor = Terminal("make", "monitor")
    monitor.wait_for("Messages are processed in time")
    monitor.type("\x03")
    monitor.wait_end()
    assert "Traceback" not in monitor.shown


# -- curl ------------------------------------------------------------------------------------------


def test_curl_gets_every_page(curl):
    assert json.loads(curl("curl localhost:5000/health"))["status"] == "healthy"
    assert "http_request_duration_seconds" in curl("curl localhost:5000/metrics")
    assert "message_processing_duration_seconds" in curl("curl localhost:8000/metrics")


@pytest.mark.parametrize("header", ["", " -H 'Content-Type: application/json'"])
def test_curl_produces(curl, header):
    single = curl("""curl -X POST localhost:5000/produce -d '{"id": "msg1", "payload": "content", "processing_time": 1.5}'"""
                  + header)
    assert json.loads(single).items() >= {"status": "success", "message_id": "msg1"}.items()
    batch = curl("""curl -X POST localhost:5000/batch-produce -d '{"messages": [{"id": "msg1", "payload": "content"},
                 {"id": "msg2", "payload": "content"}]}'""" + header)
    assert json.loads(batch) == {"status": "success", "messages_produced": 2}


def test_curl_asks_the_broker(curl):
    queues = json.loads(curl("curl -u admin:password http://localhost:15672/api/queues"))
    assert "messages" in {queue["name"] for queue in queues}


# -- tests -----------------------------------------------------------------------------------------


def test_pytest_finds_the_tests():
    assert "<Module test_commands.py>" in shell("python -m pytest tests/ -v --collect-only -q")


SYSTEM_TEST = "python scripts/test_system.py"


def test_the_system_test_says_how_it_is_used():
    assert "examples:" in shell(f"{SYSTEM_TEST} --help")


@pytest.mark.parametrize("options, status, said", [
    (["--producer", "http://localhost:1"], 2, "nothing answers at http://localhost:1"),
    (["--clients", "0"], 2, "must be at least 1")])
def test_the_system_test_needs_a_system(options, status, said):
    done = subprocess.run([*SYSTEM_TEST.split(), *options], cwd=ROOT, env=activated(), encoding="utf-8", capture_output=True)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def test_the_system_test_ends_with_ctrl_c(running_lab):
    with subprocess.Popen([*SYSTEM_TEST.split(), "--messages", "1000000"], cwd=ROOT, env=activated(), encoding="utf-8",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            next(line for line in process.stdout if "processing, end to end" in line)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, "stopped\n")


# -- the end: nothing is put right any more --------------------------------------------------------


def test_the_system_test_is_not_taken_in_by_what_others_process(running_lab):
    """Everything fails, and is acked all the same: sent on to a delay queue."""
    running_lab.command("set", "CONSUMER_FAILURE_RATE=1")
    running_lab.command("restart", "consumer")
    done = subprocess.run([*SYSTEM_TEST.split(), "--messages", "1"], cwd=ROOT, env=activated(), encoding="utf-8", capture_output=True)
    assert done.returncode == 1, done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1 and "processing, end to end" in failed[0], done.stdout


def test_make_clean(running_lab):
    assert running_lab.settings.run_dir.exists()
    shell("make clean")
    assert not running_lab.settings.run_dir.exists()
