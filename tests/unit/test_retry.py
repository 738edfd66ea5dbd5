"""The retry policy."""

import pytest

from services.consumer.retry import RetryPolicy


def test_the_delay_doubles_until_the_last_attempt():
    policy = RetryPolicy(max_attempts=5, base_delay=1)
    assert [policy.delay_ms(attempt) for attempt in range(1, 7)] == [1000, 2000, 4000, 8000, None, None]


@pytest.mark.parametrize("base_delay, delays", [
    (0.01, [10, 20, 40]),
    (0.0104, [10, 21, 42]),
    (3600, [3_600_000, 7_200_000, 14_400_000]),
])
def test_delays_are_whole_milliseconds(base_delay, delays):
    assert RetryPolicy(4, base_delay).delays_ms() == delays


def test_one_attempt_means_no_retry():
    policy = RetryPolicy(max_attempts=1, base_delay=1)
    assert policy.delay_ms(1) is None
    assert policy.delays_ms() == []


@pytest.mark.parametrize("max_attempts", range(1, 21))
def test_there_is_one_queue_for_every_delay_that_can_occur(max_attempts):
    policy = RetryPolicy(max_attempts, 0.01)
    occurring = [policy.delay_ms(attempt) for attempt in range(1, max_attempts + 1)]
    assert [*policy.delays_ms(), None] == occurring
    assert len(set(policy.delays_ms())) == max_attempts - 1
