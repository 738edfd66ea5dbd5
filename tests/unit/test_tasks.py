"""What a consumer knows of its tasks when the broker delivers a message again."""

import time

import pytest
from pika import BasicProperties

from services.consumer import tasks
from services.consumer.delivery import Delivery
from services.consumer.pool import Pool
from services.consumer.tasks import Task, Tasks
from services.messaging.schema import ATTEMPT, Message
from tests.conftest import wait_until


def task(channel: str = "first", one: str = "a", body: bytes = b"body", tag: int = 1) -> Task:
    delivery = Delivery(channel, tag, True, one, BasicProperties(), body)
    return Task(delivery, Message(id=one, payload=1))


class TestTasks:
    def test_an_unfinished_one_takes_over_the_delivery_on_a_new_channel(self):
        known, earlier = Tasks(), task("first", tag=7)
        known.begin(earlier)
        assert known.take_over(task("second", tag=1))
        assert (earlier.delivery.channel, earlier.delivery.tag) == ("second", 1)

    @pytest.mark.parametrize("again", [
        pytest.param(task("first", tag=8), id="a duplicate on the same channel"),
        pytest.param(task("second", one="b"), id="another id"),
        pytest.param(task("second", body=b"other"), id="another body under the same id"),
    ])
    def test_what_is_not_the_same_delivery_is_processed(self, again):
        known = Tasks()
        known.begin(task("first", tag=7))
        assert not known.take_over(again)

    def test_a_finished_one_takes_over_nothing(self):
        known, earlier = Tasks(), task("first")
        known.begin(earlier)
        known.end(earlier)
        assert not known.take_over(task("second"))

    def test_the_end_of_a_duplicate_leaves_the_other_one(self):
        known, first, second = Tasks(), task("first", tag=1), task("first", tag=2)
        known.begin(first)
        known.begin(second)
        known.end(first)
        assert known.take_over(task("second"))

    def test_the_latest_processed_are_remembered(self, monkeypatch):
        monkeypatch.setattr(tasks, "REMEMBERED", 2)
        known = Tasks()
        for one in "abc":
            known.remember(task(one=one))
        assert [known.was_processed(task("second", one)) for one in "abc"] == [False, True, True]
        assert not known.was_processed(task("second", "c", b"other"))


class TestAttempts:
    @pytest.mark.parametrize(("attempt", "expected"), [
        (2, 2), (0, 1), (-3, 1), ("5", 1), (None, 1), (1.5, 1), (2**63 - 1, 2**63 - 1)])
    def test_only_a_positive_number_is_an_attempt(self, attempt, expected):
        properties = BasicProperties(headers={ATTEMPT: attempt})
        assert Delivery("channel", 1, False, "a", properties, b"").attempt == expected


class TestPool:
    def test_what_waits_can_be_dropped(self):
        begun = []

        def work(number: int) -> None:
            begun.append(number)
            while len(begun) == 1 and not dropped:
                time.sleep(0.01)

        dropped: list[int] = []
        pool = Pool(1, work)
        for number in range(4):
            pool.submit(number)
        wait_until(lambda: begun, what="the first task")
        dropped += pool.drop_waiting()
        pool.submit(4)
        wait_until(lambda: len(begun) == 2, what="a later task")
        pool.close()
        pool.join()
        assert (begun, dropped) == ([0, 4], [1, 2, 3])

    def test_a_closed_pool_ends_though_its_tasks_are_dropped(self):
        pool = Pool(2, lambda _task: None)
        pool.close()
        assert pool.drop_waiting() == []
        pool.join()
