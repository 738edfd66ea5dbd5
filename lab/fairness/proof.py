"""Proves scenarios fair: one of them for its author, or all, in random order and three passes."""

import random
from collections.abc import Sequence

from lab.engine import scenario as scenarios
from lab.errors import LabError
from lab.fairness import alerts, authoring, cheat, player, report, verdict
from lab.fairness import play as plays
from lab.fairness.play import Play
from lab.stack.base import Progress

SEED = 3


def check(number: int, seed: int, progress: Progress) -> list[str]:
    """What is unfair in one scenario, played once with everything. Raises LabError when it cannot be played."""
    scenario = scenarios.load(number, seed)
    progress(f"{scenario.name} is valid; playing it with seed {seed}")
    said = authoring.unfair_text(scenario)
    play = player.play(number, seed, blind=True, progress=progress)
    return said + verdict.unfair(scenario, play, verdict.rivals(seed))


def prove(numbers: Sequence[int], passes: int, seed: int, fresh: bool, progress: Progress) -> dict[int, list[str]]:
    """Play those scenarios (none given: all), and write the tables; what is unfair in each that is.

    Each pass has an order of its own, so that a scenario which leaves something behind meets another. What has been
    played is not played again, unless `fresh`. Raises LabError for a number that there is not.
    """
    numbers = numbers or list(scenarios.folders())
    chosen = {number: scenarios.load(number, seed) for number in numbers}
    turns = [(turn, number) for turn in range(1, passes + 1) for number in _order(numbers, seed, turn)
             if turn in report.passes_of(chosen[number])]
    if fresh:
        for turn, number in turns:
            plays.forget(number, turn)
    for place, (turn, number) in enumerate(turns, 1):
        head = f"pass {turn}, {place} of {len(turns)}: scenario {number}"
        if (kept := plays.kept(number, turn)) and (kept.is_exam or kept.seed == seed):
            progress(f"{head} has been played")
            continue
        progress(head)
        try:
            _play(number, seed, turn, progress)
        except LabError as error:
            progress(f"not played: {error}")
        report.write()
    report.write()
    return {number: said for number in numbers if (said := report.verdict_on(number, range(1, passes + 1)))}


def _order(numbers: Sequence[int], seed: int, turn: int) -> list[int]:
    return random.Random(f"{seed}, {turn}").sample(numbers, len(numbers))


def _play(number: int, seed: int, turn: int, progress: Progress) -> None:
    play = _played(number, seed, turn, progress)
    plays.keep(play, turn)
    scenario = scenarios.load(number, play.seed)
    if turn == report.EXAM:
        alerts.note(str(number), scenario.title, play.alerts, scenario.alerts)
    said = verdict.unfair(scenario, play, () if play.is_exam else verdict.rivals(seed))
    points = verdict.attack_points(scenario, play) or {"the oracle": play.score}
    for sentence in said or [f"fair; {', '.join(f'{name}: {score}' for name, score in points.items())}"]:
        progress(f"scenario {number}: {sentence}")


def _played(number: int, seed: int, turn: int, progress: Progress) -> Play:
    if turn == report.EXAM:
        return player.examine(number, progress)
    if turn == report.CHEAT:
        return cheat.play(number, seed, progress)
    return player.play(number, seed, blind=True, progress=progress)
