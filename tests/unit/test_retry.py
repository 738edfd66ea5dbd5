"""The retry policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consumer.retry import LONGEST_DELAY_MS, RetryPolicy

# What the consumer's settings allow.
POLICIES = st.builds(RetryPolicy, max_attempts=st.integers(1, 20), base_delay=st.floats(0.01, 3600))


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


@given(POLICIES)
def test_attempts_end_after_as_many_retries_as_are_allowed(policy):
    answers = [policy.delay_ms(attempt) for attempt in range(1, policy.max_attempts + 1)]
    assert answers.index(None) == policy.max_attempts - 1


@given(POLICIES, st.integers(min_value=0))
def test_an_attempt_beyond_the_last_is_never_retried(policy, beyond):
    assert policy.delay_ms(policy.max_attempts + beyond) is None


@given(POLICIES)
def test_delays_rise_up_to_the_longest_one(policy):
    delays = [policy.delay_ms(attempt) for attempt in range(1, policy.max_attempts)]
    for shorter, longer in zip(delays, delays[1:], strict=False):
        assert shorter < longer or shorter == longer == LONGEST_DELAY_MS
    assert all(10 <= delay <= LONGEST_DELAY_MS for delay in delays)


@given(POLICIES)
def test_no_delay_is_without_its_queue_and_no_queue_without_its_delay(policy):
    occurring = {policy.delay_ms(attempt) for attempt in range(1, policy.max_attempts)}
    assert policy.delays_ms() == sorted(occurring)
