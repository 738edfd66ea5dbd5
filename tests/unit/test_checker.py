"""The campaign's checker over made-up histories, and what is drawn from a seed."""

import dataclasses
from itertools import islice

import pytest
from pika import BasicProperties

from lab.campaign import plan
from lab.campaign.checker import Calm, History, Processing, check
from lab.campaign.hostile import messages
from services.messaging.properties import onward

RIGHT = History(
    sent=frozenset({"a", "b", "c", "d"}), acknowledged=frozenset({"a", "b"}), rejected=frozenset({"c"}),
    unknown=frozenset({"d"}), poison_sent=frozenset({"p", "q"}), poison_confirmed=frozenset({"p"}),
    processed=(Processing("a", False), Processing("b", False)), dead_letters=("p",), left={})


def changed(**changes) -> History:
    return dataclasses.replace(RIGHT, **changes)


def test_a_history_without_a_fault_is_right():
    verdict = check(RIGHT)
    assert verdict.is_right
    assert (verdict.sent, verdict.acknowledged, verdict.rejected, verdict.unknown) == (4, 2, 1, 1)
    assert (verdict.duplicates, verdict.dead_lettered) == (0, 1)


@pytest.mark.parametrize(("changes", "says"), [
    ({"processed": (Processing("a", False),)}, "lost: acknowledged, and nowhere: 1 (b)"),
    ({"dead_letters": ()}, "lost: poison that the broker confirmed"),
    ({"processed": (*RIGHT.processed, Processing("x", False))}, "processed without having been sent: 1 (x)"),
    ({"dead_letters": ("p", "c")}, "dead-lettered without cause: 1 (c)"),
    ({"processed": (*RIGHT.processed, Processing("a", False))}, "processed again without having been redelivered: 1 (a)"),
    ({"processed": (*RIGHT.processed, *[Processing("a", False), Processing("a", True)])},
     "processed again without having been redelivered"),
    ({"processed": (*RIGHT.processed, Processing("p", False))}, "poison that was processed: 1 (p)"),
    ({"left": {"messages": 3}}, "stuck: 1 (3 in messages)"),
    ({"hostile_sent": {"h"}, "hostile_confirmed": {"h"}}, "lost: hostile messages that the broker confirmed"),
    ({"alone": Calm(losses=2, late_seconds=0)}, "connections lost to hostile messages: 1 (2)"),
    ({"alone": Calm(losses=0, late_seconds=6)}, "late for more than 5 s: 1 (6 s)"),
    ({"alone": Calm(losses=0, late_seconds=0), "dead_letters": ("p", "p")}, "dead-lettered more than once: 1 (p)"),
])
def test_what_must_not_be_is_named(changes, says):
    verdict = check(changed(**changes))
    assert not verdict.is_right
    assert says in "\n".join(verdict.violations)


def test_an_acknowledged_message_may_end_in_the_dead_letter_queue_with_a_cause_only():
    [violation] = check(changed(processed=(Processing("a", False),), dead_letters=("p", "b"))).violations
    assert violation == "dead-lettered without cause: 1 (b)"


def test_a_hostile_message_may_end_either_way_or_be_refused():
    verdict = check(changed(
        hostile_sent=frozenset({"h", "i", "j"}), hostile_confirmed=frozenset({"h", "i"}), dead_letters=("p", "i"),
        processed=(*RIGHT.processed, Processing("h", False)), alone=Calm(losses=0, late_seconds=5)))
    assert verdict.is_right
    assert (verdict.hostile_confirmed, verdict.hostile_processed, verdict.hostile_dead_lettered) == (2, 1, 1)
    assert verdict.late_seconds == 5


def test_redeliveries_explain_duplicates():
    verdict = check(changed(processed=(*RIGHT.processed, Processing("a", True), Processing("a", True))))
    assert verdict.is_right
    assert verdict.duplicates == 2


def test_answers_that_turned_out_processed_are_allowed_and_counted():
    verdict = check(changed(processed=(*RIGHT.processed, Processing("c", False), Processing("d", False))))
    assert verdict.is_right
    assert (verdict.rejected_but_processed, verdict.unknown_but_processed) == (1, 1)


def test_long_lists_are_cut():
    ids = frozenset(f"m{number}" for number in range(9))
    [violation] = check(changed(sent=RIGHT.sent | ids, acknowledged=RIGHT.acknowledged | ids)).violations
    assert violation == "lost: acknowledged, and nowhere: 9 (m0, m1, m2, m3, m4, …)"


def test_the_same_seed_gives_the_same_plan():
    assert plan.draw(7) == plan.draw(7)
    assert plan.draw(7) != plan.draw(8)


def test_plans_reach_every_kind_and_target_and_overlap():
    plans = [plan.draw(seed) for seed in range(300)]
    drawn = [disturbance for disturbances in plans for disturbance in disturbances]
    assert {disturbance.kind for disturbance in drawn} == {
        "kill", "stop", "pause", "toxic", "link-down", "memory-alarm", "reset-connections", "hostile-messages"}
    for kind in ("kill", "stop", "pause"):
        assert {disturbance.target for disturbance in drawn if disturbance.kind == kind} == set(plan.SERVICES)
    assert {(disturbance.target, disturbance.details["type"]) for disturbance in drawn if disturbance.kind == "toxic"} == {
        (link, kind) for link in plan.LINKS for kind in
        ("latency", "bandwidth", "slow_close", "timeout", "slicer", "limit_data", "reset_peer")}
    assert all(plan.FEWEST <= len(disturbances) <= plan.MOST + 1 for disturbances in plans)
    assert any(second.at < first.at + first.lasts for first, second, *_more in plans)
    assert all(0 <= one.at < plan.RUN_SECONDS and plan.SHORTEST <= one.lasts <= plan.LONGEST for one in drawn)


def test_the_same_seed_gives_the_same_hostile_messages():
    def first(seed: int) -> list[tuple]:
        return [(one.mark, one.body, one.properties.encode()) for one in islice(messages(seed), 50)]

    assert first(7) == first(7)
    assert first(7) != first(8)


def test_hostile_messages_are_read_and_keep_their_mark():
    for one in islice(messages(1), 200):
        read = BasicProperties().decode(b"".join(one.properties.encode()))
        assert read.correlation_id == one.mark
        assert onward(read, {}, room=65536).correlation_id == one.mark
