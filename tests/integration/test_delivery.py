"""Parts are stopped, restarted and scaled under live traffic, as an operator does: what became of every message."""

from collections import Counter
from collections.abc import Callable

import pytest

from lab.campaign.checker import History, Processing, check
from lab.campaign.ledgers import Recorder, drain
from lab.grading.ledger import lines
from lab.stack.base import Stack
from lab.toxiproxy import toxiproxy
from tests.conftest import Lab, private_lab, wait_until

CONSUMERS = ["consumer-1", "consumer-2", "consumer-3"]
# So much work that every consumer has some in hand at any time, and a single one has more than it can do.
SETTINGS = {"LAB_CONSUMERS": len(CONSUMERS), "LAB_TRAFFIC_RATE": 50, "CONSUMER_EXTRA_DELAY": 0.1}
# How many messages must come through before something is done, and again after it.
FLOW = 100


@pytest.fixture(scope="module")
def quiet_lab(tmp_path_factory):
    """A lab whose clients rest; every queue is empty."""
    with private_lab(tmp_path_factory.mktemp("delivery"), **SETTINGS) as lab:
        lab.command("up")
        lab.stack.stop("traffic")
        assert drain(lab.settings) == {}
        yield lab


def under_traffic(lab: Lab, act: Callable[[Stack], None]) -> History:
    """Act while clients post, then let the queues drain.

    Asserts that nothing is lost or dead-lettered, and that whatever was stopped ended by itself.
    """
    killed_before = killed(lab)
    recorder = Recorder(lab.settings, lab.stack)
    lab.stack.start("traffic")
    wait_for_flow(lab.stack)
    act(lab.stack)
    wait_for_flow(lab.stack)
    lab.stack.stop("traffic")
    history = recorder.history()
    assert check(history).violations == ()
    assert history.dead_letters == ()
    assert killed(lab) == killed_before
    return history


def killed(lab: Lab) -> list[str]:
    """What the supervisor says of programs that did not end when they were asked to."""
    log = (lab.settings.run_dir / "logs" / "supervisord.log").read_text(encoding="utf-8")
    return [line for line in log.splitlines() if "SIGKILL" in line]


def wait_for_flow(stack: Stack) -> None:
    goals = {event: counted(stack, event) + FLOW for event in ("acknowledged", "processed")}
    wait_until(lambda: all(counted(stack, event) >= goal for event, goal in goals.items()), what="a flow of messages")


def counted(stack: Stack, event: str) -> int:
    return sum(line["event"] == event for line in lines(stack.ledger_dir(), f"{event}-*.jsonl"))


def answered(lab: Lab, history: History, *events: str) -> set[str]:
    """Whose answer the clients noted as one of these. Not `history.unknown`: its clients may have been stopped."""
    ledgers = lines(lab.stack.ledger_dir(), "acknowledged-*.jsonl")
    return {line["id"] for line in ledgers if line["event"] in events} & history.sent


def test_a_producer_that_stops_answers_what_it_has_taken(quiet_lab):
    link = toxiproxy(quiet_lab.stack).get_proxy("producer-link")
    link.add_toxic(name="slow", type="latency", attributes={"latency": 300})  # so that there is always some
    try:
        history = under_traffic(quiet_lab, lambda stack: stack.restart("producer"))
    finally:
        link.destroy_toxic("slow")
    assert answered(quiet_lab, history, "unknown", "error").isdisjoint(one.id for one in history.processed)
    assert duplicates(history) == []


def roll(stack: Stack) -> None:
    for name in CONSUMERS:
        stack.restart(name)


def scale_down_and_up(stack: Stack) -> None:
    stack.scale(1)
    wait_for_flow(stack)
    stack.scale(len(CONSUMERS))


@pytest.mark.parametrize("act", [
    pytest.param(lambda stack: stack.restart("consumer"), id="all restarted"),
    pytest.param(roll, id="one restarted after the other"),
    pytest.param(scale_down_and_up, id="scaled to 1 and back"),
])
def test_consumers_that_stop_are_noticed_by_nobody(quiet_lab, act):
    history = under_traffic(quiet_lab, act)
    assert answered(quiet_lab, history, "unknown", "error", "rejected") == set()
    assert duplicates(history) == []


def duplicates(history: History) -> list[Processing]:
    times = Counter(one.id for one in history.processed)
    return [one for one in history.processed if times[one.id] > 1]


def test_consumers_stop_over_a_dead_link(quiet_lab):
    link = toxiproxy(quiet_lab.stack).get_proxy("consumer-link")
    killed_before = killed(quiet_lab)
    link.add_toxic(name="dead", type="timeout", attributes={"timeout": 0})
    try:
        quiet_lab.stack.stop("consumer")
    finally:
        link.destroy_toxic("dead")
    assert killed(quiet_lab) == killed_before
    quiet_lab.stack.start("consumer")


def test_a_restart_of_the_broker_loses_nothing(quiet_lab):
    under_traffic(quiet_lab, lambda stack: stack.restart("rabbitmq"))
