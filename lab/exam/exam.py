"""One exam: what was drawn for whom. The engine holds it in memory; the record has it sealed."""

import secrets
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel

from lab.engine import scenario as scenarios
from lab.engine.record import Run
from lab.engine.scenario import Scenario
from lab.errors import LabError
from lab.exam.key import Key

PARAMETER_SEEDS = 1_000_000
# From the brief to the fault, in seconds: nobody knows when it comes.
SHORTEST_DELAY, LONGEST_DELAY = 10, 60


class Exam(BaseModel):
    """`seed` and `tier` are what it was drawn from, the last three what came of it.

    `delay` is how long after the brief the fault is injected, in seconds.
    """

    candidate: str
    minutes: int
    seed: int
    tier: int | None
    scenario_number: int
    scenario_seed: int
    delay: int

    @cached_property
    def scenario(self) -> Scenario:
        """Read once, page and walkthrough included: nothing depends on the files after that. Raises LabError."""
        scenario = scenarios.load(self.scenario_number, self.scenario_seed)
        _ = scenario.brief, scenario.walkthrough  # cached properties: the copy takes them along
        return scenario.model_copy(update={"time_limit": 60 * self.minutes})

    @property
    def about(self) -> dict:
        """What the report says of it, beside the scenario."""
        return self.model_dump(include={"candidate", "minutes", "seed", "tier", "scenario_seed"})


def draw(key: Key, candidate: str, minutes: int, seed: int | None, tier: int | None) -> Exam:
    """The same key, seed and tier (None: all) always draw the same, and without the key nobody can tell what.

    Without a seed, one is chosen at random. Raises LabError when there is no scenario (of that tier).
    """
    if not scenarios.FOLDER.is_dir():
        raise LabError(f"{scenarios.FOLDER} is gone: put it back for the start of an exam")
    numbers = [number for number in scenarios.folders() if tier is None or scenarios.load(number).tier == tier]
    if not numbers:
        raise LabError(f"there is no scenario of tier {tier}")
    if seed is None:
        seed = secrets.randbelow(2**32)
    parameters, choice = divmod(key.number_for(f"seed {seed}, tier {tier}"), len(numbers))
    delay = SHORTEST_DELAY + key.number_for(f"delay of seed {seed}, tier {tier}") % (LONGEST_DELAY - SHORTEST_DELAY + 1)
    return Exam(candidate=candidate, minutes=minutes, seed=seed, tier=tier, delay=delay,
                scenario_number=numbers[choice], scenario_seed=parameters % PARAMETER_SEEDS)


@dataclass(frozen=True)
class Held:
    """The exam that this process runs, as its record has it sealed, and the key to sign its report with."""

    exam: Exam
    sealed: str
    key: Key


_held: Held | None = None


def hold(exam: Exam, sealed: str, key: Key) -> None:
    """From now on this process knows the exam."""
    global _held
    _held = Held(exam, sealed, key)


def held() -> Held | None:
    return _held


def sealed(exam: Exam, key: Key) -> str:
    return key.seal(exam.model_dump_json())


def opened(token: str, key: Key) -> Exam:
    """Raises LabError when the key is another one."""
    return Exam.model_validate_json(key.unseal(token))


def scenario_of(run: Run) -> Scenario:
    """What the run is about. Raises LabError for an exam that this process does not hold."""
    if _held is not None:
        return _held.exam.scenario
    if run.sealed is not None:
        raise LabError("only the interviewer's key tells what this exam is about: `make exam` with that key "
                       "takes it up again, `lab reset` ends it")
    return scenarios.load(run.scenario, run.seed)
