"""The page of `make load`: its shapes, its failure accounting, its workers and their ledgers, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import requests

from lab.grading.ledger import lines
from lab.load.shapes import choices
from lab.settings import ROOT
from lab.stack.native.supervisor import MARK
from tests.conftest import Lab, Terminal, answer_of, wait_until

WORKERS = 2
REFUSED = "/produce: refused (503, come back)"
MALFORMED, UNREADABLE = "/produce: malformed (400 is right)", "past the producer, unreadable"


class Page:
    """The page as a browser uses it."""

    def __init__(self, lab: Lab):
        self._url = f"http://127.0.0.1:{lab.settings.locust_port}"

    def workers(self) -> int:
        answer = answer_of(f"{self._url}/worker-count")
        return answer.json()["worker_count"] if answer else 0

    def start(self, shape: str, **form) -> None:
        answer = self.ask(shape, **form)
        assert answer["success"], answer
        wait_until(lambda: self.report()["state"] in {"spawning", "running"}, what="the begin of the test")

    def ask(self, shape: str, **form) -> dict:
        """What it answers once the workers are ready, as they are a second after a stop."""
        wait_until(lambda: self.workers() == WORKERS, what="workers that are ready")
        return requests.post(f"{self._url}/swarm", timeout=30, data={
            "shape": shape, "user_count": 4, "spawn_rate": 4, "run_time": "", **form}).json()

    def stop(self) -> None:
        requests.post(f"{self._url}/stop", timeout=30)
        wait_until(lambda: self.report()["state"] in {"ready", "stopped"}, what="the end of the test")

    def report(self) -> dict:
        """As it was some two seconds ago at most: Locust keeps it for as long."""
        return requests.get(f"{self._url}/stats/requests", timeout=30).json()

    def counts(self) -> dict[str, tuple[int, int]]:
        """Of each line of the statistics, the requests and those that failed."""
        return {one["name"]: (one["num_requests"], one["num_failures"]) for one in self.report()["stats"]}

    def requests_of(self, line: str) -> int:
        return self.counts().get(line, (0, 0))[0]


@contextmanager
def served(lab: Lab) -> Iterator[tuple[Page, psutil.Process]]:
    # Nobody reads what it says: a pipe would fill up, and stop it.
    process = subprocess.Popen([sys.executable, "-m", "lab.cli", "load", "--workers", str(WORKERS)], cwd=ROOT,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = Page(lab)
        wait_until(lambda: page.workers() == WORKERS, what="the page with its workers")
        yield page, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


# -- how it begins and ends: before `page`, which holds its ports to the end of the module -------------------


def processes_of(lab: Lab) -> list[psutil.Process]:
    """The page and its workers, as long as they live."""
    return [one for one in psutil.process_iter() if "lab/load/page.py" in " ".join(_of(one, "cmdline"))
            and _of(one, "environ").get(MARK) == str(lab.settings.run_dir)]


def _of(process: psutil.Process, what: str):
    try:
        return getattr(process, what)()
    except psutil.Error:
        return {}


@pytest.mark.racing
def test_ctrl_c_ends_page_and_workers_without_a_stack_trace(running_lab):
    terminal = Terminal(sys.executable, "-m", "lab.cli", "load", "--workers", str(WORKERS))
    page = Page(running_lab)
    page.start("steady")
    wait_until(lambda: page.requests_of("/produce"), what="a message")
    terminal.type("\x03")
    assert terminal.wait_end() == 0
    assert "Traceback" not in terminal.shown and "KeyboardInterrupt" not in terminal.shown
    wait_until(lambda: not processes_of(running_lab), what="the end of page and workers")


def test_workers_do_not_outlive_a_killed_page(running_lab):
    with served(running_lab) as (_page, process):
        assert len(processes_of(running_lab)) == 1 + WORKERS
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not processes_of(running_lab), 30, "the end of the workers")


@pytest.mark.parametrize("setting", ["LOCUST_PORT", "LOCUST_MASTER_PORT"])
def test_a_taken_port_is_named_with_its_setting_and_its_holder(running_lab, setting):
    port = getattr(running_lab.settings, setting.lower())
    with socket.create_server(("127.0.0.1", port)):
        done = running_lab.command("load", check=False)
    assert done.returncode == 1
    assert f"port {port} ({setting}, for" in done.stderr and f"pid {os.getpid()}" in done.stderr


@pytest.mark.parametrize("workers", ["0", "9", "four"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(running_lab, workers):
    done = running_lab.command("load", "--workers", workers, check=False)
    assert done.returncode == 2
    assert "--workers" in done.stderr and "Traceback" not in done.stderr


# -- what it sends -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(running_lab) -> Iterator[Page]:
    with served(running_lab) as (page, _process):
        yield page


@pytest.fixture(autouse=True)
def stopped(request) -> Iterator[None]:
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").stop()


@pytest.mark.parametrize(("shape", "sends"), [
    ("steady", {"/produce", "/batch-produce"}), ("batch", {"/batch-produce"}),
    ("poison-mix", {"/produce", MALFORMED, UNREADABLE}), ("retry-storm", {"/produce"})])
def test_a_shape_sends_what_it_says_and_a_well_system_fails_nothing(lab, page, shape, sends):
    [as_the_form_posts_it] = [choice for choice in choices() if choice.startswith(shape)]
    page.start(as_the_form_posts_it, user_count=10)
    wait_until(lambda: {*page.counts()} == {*sends, "Aggregated"}, what=f"{sends}")
    assert page.counts()["Aggregated"][1] == 0


def test_a_test_ends_after_its_run_time_and_the_next_does_not_inherit_it(page):
    page.start("steady", run_time="6s")
    wait_until(lambda: page.report()["state"] == "stopped", what="the end of the run time")
    page.start("steady")
    wait_until(lambda: page.requests_of("/produce") > 8 * 8, what="eight seconds of load")
    assert page.report()["state"] == "running"


def test_a_ramp_begins_with_one_user(page):
    page.start("ramp", run_time="1h")
    wait_until(lambda: page.requests_of("/produce"), what="a message")
    assert page.report()["user_count"] == 1


@pytest.mark.parametrize(("form", "says"), [
    ({"shape": "tsunami"}, "no shape 'tsunami'; there is: steady, ramp"), ({"user_count": "0"}, "users must be"),
    ({"user_count": "many"}, "users must be"), ({"spawn_rate": "-1"}, "rate must be"), ({"spawn_rate": "nan"}, "rate must be")])
def test_a_form_that_makes_no_sense_is_refused(page, form, says):
    answer = page.ask(**{"shape": "steady", **form})
    assert not answer["success"]
    assert says in answer["message"]


def test_a_second_test_is_refused_while_one_is_on(page):
    page.start("steady")
    assert "stop it first" in page.ask("batch")["message"]


def test_refusals_are_counted_apart_and_a_storm_sends_the_same_until_it_is_taken(lab, page):
    page.start("retry-storm")
    wait_until(lambda: page.requests_of("/produce"), what="a message")
    lab.command("stop", "rabbitmq")
    wait_until(lambda: page.requests_of(REFUSED) > 200, what="a storm of refusals")
    lab.command("start", "rabbitmq")
    before = page.requests_of("/produce")
    wait_until(lambda: page.requests_of("/produce") > before + 20, what="messages that are taken")
    counts = page.counts()
    assert counts[REFUSED][0] == counts[REFUSED][1] > 200
    assert counts["/produce"][1] == 0
    page.stop()
    events: dict[str, Counter] = {}
    for line in lines(lab.stack.ledger_dir(), "acknowledged-load-*.jsonl"):
        events.setdefault(line["id"], Counter())[line["event"]] += 1
    refused = [one for one in events.values() if one["rejected"]]
    assert 1 <= len(refused) <= 4  # one message of each user, however often it was sent
    assert all(one["sent"] == one["acknowledged"] == 1 for one in refused)


def test_each_worker_has_a_ledger_and_the_account_of_all_is_intact(lab, page):
    page.start("poison-mix", user_count=10)
    wait_until(lambda: page.requests_of(UNREADABLE) > 2, what="messages that cannot be read")
    page.stop()
    for number in range(WORKERS):
        events = Counter(line["event"] for line in lines(lab.stack.ledger_dir(), f"acknowledged-load-{number}.jsonl"))
        assert events["sent"] and events["acknowledged"]
    lab.command("ledger")
    dead = [line["id"] for line in lines(lab.stack.ledger_dir(), "processed-*.jsonl") if line["event"] == "dead-lettered"]
    assert [one for one in dead if one.startswith("poison-")]
