"""Proves scenarios fair: one of them for its author, or all, in random order and several passes."""

from lab.engine import scenario as scenarios
from lab.fairness import authoring, player, verdict
from lab.stack.base import Progress

SEED = 3


def check(number: int, seed: int, progress: Progress) -> list[str]:
    """What is unfair in one scenario, played once with everything. Raises LabError when it is not valid."""
    scenario = scenarios.load(number, seed)
    progress(f"{scenario.name} is valid; playing it with seed {seed}")
    said = authoring.unfair_text(scenario)
    play = player.play(number, seed, blind=True, progress=progress)
    return said + verdict.unfair(scenario, play, all_scenarios(seed))


def all_scenarios(seed: int) -> list[scenarios.Scenario]:
    return [scenarios.load(number, seed) for number in scenarios.folders()]
