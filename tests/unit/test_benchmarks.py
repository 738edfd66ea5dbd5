"""What the benchmarks' ratios rest on."""

import re

from benchmarks.method import Invalid, Row, Series, interleave
from lab.settings import ROOT


def row(ours: list[float], theirs: list[float] | None, **options) -> Row:
    return Row("figure", "them", "s", Series(ours), None if theirs is None else Series(theirs), **options)


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    assert row([1, 9, 4], [2, 3, 4], goal=1).ratio == 1


def test_goals_are_bounds_from_below_or_above():
    assert row([2], [1], goal=2).reached
    assert not row([2], [1], goal=1.5, at_most=True).reached
    assert row([4.9], None, goal=5, at_most=True).reached


def test_rounds_turn_and_who_is_invalid_is_out():
    turns = []

    def broken() -> float:
        turns.append("broken")
        raise Invalid("answers 500")

    series = interleave(3, {"a": lambda: turns.append("a") or 1, "b": lambda: turns.append("b") or 2,
                            "broken": broken}, "", lambda _line: None)
    assert turns == ["a", "b", "broken", "b", "a", "a", "b"]
    assert series["a"].values == [1, 1, 1]
    assert not Row("figure", "broken", "", series["a"], series["broken"], goal=0).reached


def test_peers_have_our_versions_of_what_both_use():
    def pins(path: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z-]+)==(\S+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))

    ours, peers = pins("requirements.txt"), pins("benchmarks/requirements.txt")
    assert {"flask", "gunicorn", "pika", "pydantic"} <= ours.keys() & peers.keys()
    assert all(ours[name] == peers[name] for name in ours.keys() & peers.keys())
