"""How contenders are compared: interleaved rounds, and the ratio within each round."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from lab.errors import LabError


class Invalid(LabError):
    """What was measured is not what was asked for; the message says why."""


@dataclass(frozen=True)
class Options:
    """How long is measured."""

    seconds: int
    rounds: int
    messages: int  # of a drain


@dataclass
class Series:
    """One contender's values, one a round; `problem` says why they do not count."""

    values: list[float]
    problem: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of the results: ours against theirs, or against nobody."""

    figure: str
    against: str
    unit: str
    ours: Series
    theirs: Series | None
    goal: float
    at_most: bool = False  # the ratio (or, against nobody, the value) must be at most the goal

    @property
    def problem(self) -> str | None:
        return self.ours.problem or (self.theirs and self.theirs.problem)

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs of each round; against nobody, ours as it is."""
        if self.theirs is None:
            return self.ours.values
        return [ours / theirs for ours, theirs in zip(self.ours.values, self.theirs.values, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def reached(self) -> bool:
        return self.problem is None and (self.ratio <= self.goal if self.at_most else self.ratio >= self.goal)


def interleave(rounds: int, contenders: dict[str, Callable[[], float]], unit: str,
               progress: Callable[[str], None]) -> dict[str, Series]:
    """Measure everybody in every round, in turned order every other round. Who is Invalid once is out."""
    series = {name: Series([]) for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[::-1 if number % 2 else 1]:
            if series[name].problem:
                continue
            try:
                value = contenders[name]()
            except Invalid as invalid:
                series[name].problem = str(invalid)
                progress(f"round {number + 1}: {name}: invalid: {invalid}")
            else:
                series[name].values.append(value)
                progress(f"round {number + 1}: {name}: {value:,.4g} {unit}")
    return series
