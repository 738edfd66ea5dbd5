"""The shapes of a load by hand: pure functions of time."""

import pytest

from lab.load.shapes import SHAPES, choices, name_of


def users(name: str, *times: float, peak: int = 100, length: float | None = None) -> list[int]:
    return [SHAPES[name].users(at, peak, length) for at in times]


@pytest.mark.parametrize("name", ["steady", "batch", "poison-mix", "retry-storm"])
def test_flat_shapes_have_all_users_all_the_time(name):
    assert users(name, 0, 1, 1e6) == [100, 100, 100]


def test_a_ramp_climbs_over_its_run_time_and_stays_up():
    assert users("ramp", 0, 50, 100, 200, length=200) == [1, 25, 50, 100]
    assert users("ramp", 0, 150, 300, 1000) == [1, 50, 100, 100]


def test_a_spike_comes_once_a_minute_for_a_quarter_of_it():
    assert users("spike", 0, 29.9, 30, 44.9, 45, 89.9, 90) == [20, 20, 100, 100, 20, 20, 100]


def test_a_soak_goes_through_days_and_nights():
    assert users("soak", 0, 150, 300, 600, 3900) == [25, 50, 75, 25, 75]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("peak", [1, 7])
def test_there_is_always_a_user_and_never_more_than_all(name, peak):
    assert {min(peak, max(1, one)) == one for one in users(name, *range(0, 1200, 7), peak=peak)} == {True}


def test_the_page_offers_each_shape_with_what_it_does():
    assert [name_of(choice) for choice in choices()] == list(SHAPES)
    assert name_of("spike") == "spike"
