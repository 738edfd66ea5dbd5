"""What was measured of one play of a scenario, and where that is kept.

A moment of a run is kept whole, so that whatever an answer would have got then can be graded later, without the lab.
"""

import hashlib
import time
from pathlib import Path

from pydantic import BaseModel, ValidationError

from lab.engine.record import Run
from lab.engine.scenario import Scenario, folders
from lab.grading.facts import Facts
from lab.grading.ledger import Account
from lab.settings import ROOT

FOLDER = ROOT / ".lab" / "proof"


class Moment(BaseModel):
    """All that a grade rests on, as it was at one time."""

    run: Run
    facts: Facts
    account: Account


class Play(BaseModel):
    """One injected run that several candidates have shared; seconds count from the injection.

    What is None was not reached, or not asked for.
    """

    scenario: int
    seed: int
    digest: str
    began_at: float  # Unix time in seconds
    versions: dict[str, str] = {}
    alerts: dict[str, float] = {}
    nothing: Moment | None = None
    blind: Moment | None = None
    mended: Moment | None = None
    grade: dict | None = None  # the oracle's, as its report has it
    exit_code: int | None = None
    tampering: list[str] | None = None  # what its report gives as signals
    is_exam: bool = False
    attacks: dict[str, Moment] = {}  # by trick
    attacked: dict | None = None  # the grade after all tricks, as its report has it
    troubles: list[str] = []

    @property
    def score(self) -> int | None:
        """The oracle's points."""
        return self.grade["score"] if self.grade else None


def new(scenario: Scenario, seed: int) -> Play:
    return Play(scenario=scenario.number, seed=seed, digest=digest(scenario.number), began_at=time.time())


def digest(number: int) -> str:
    """Changes when the scenario does."""
    return hashlib.sha256((folders()[number] / "scenario.yaml").read_bytes()).hexdigest()[:12]


def keep(play: Play, turn: int) -> None:
    """Keep it as the play of that pass (1, 2, …)."""
    path = _path(play.scenario, turn)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(play.model_dump_json(indent=2), encoding="utf-8")


def kept(number: int, turn: int) -> Play | None:
    """The play of that pass; None where there is none, or the scenario has changed since."""
    try:
        play = Play.model_validate_json(_path(number, turn).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
    return play if play.digest == digest(number) else None


def forget(number: int, turn: int) -> None:
    _path(number, turn).unlink(missing_ok=True)


def _path(number: int, turn: int) -> Path:
    return FOLDER / "plays" / f"{number:02}-pass-{turn}.json"
