"""One run after the other: disturb, heal, drain, check."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.campaign import plan
from lab.campaign.checker import History, Verdict, check
from lab.campaign.disturb import Disturber
from lab.campaign.ledgers import Recorder, drain, take_dead_letters
from lab.campaign.poison import Poisoner
from lab.engine import reset
from lab.engine.record import Records
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack


@dataclass(frozen=True)
class Result:
    """One run: what was done, what was counted, and how many seconds healing took."""

    seed: int
    disturbances: list[plan.Disturbance]
    troubles: list[str]
    healed_seconds: float
    verdict: Verdict


def campaign(settings: LabSettings, stack: Stack, seeds: range, progress: Progress) -> Iterator[Result]:
    """Yields the result of each seed's run; the lab is at its baseline afterwards.

    Raises LabError when an exercise is on, or when the system cannot be healed.
    """
    if Records(settings.run_dir).active():
        raise LabError("an exercise is on: finish it (lab grade), or end it (lab reset)")
    stack.up(progress)
    # What was there before belongs to no history: each run begins and ends with an idle, empty system.
    reset.to_baseline(progress)
    stack.stop("traffic")
    drain(settings)
    list(take_dead_letters(settings))
    try:
        for seed in seeds:
            yield _run(settings, stack, seed, progress)
    finally:
        reset.to_baseline(progress)


def _run(settings: LabSettings, stack: Stack, seed: int, progress: Progress) -> Result:
    disturbances = plan.draw(seed)
    progress(f"seed {seed}: " + "; ".join(map(str, disturbances)))
    recorder, poisoner = Recorder(settings, stack), Poisoner(settings)
    stack.start("traffic")
    poisoner.start()
    disturber = Disturber(settings, stack, disturbances)
    disturber.run()
    started = time.monotonic()
    reset.heal(settings, stack, lambda _line: None)
    healed_seconds = time.monotonic() - started
    poisoner.stop()
    stack.stop("traffic")
    history = recorder.history(poisoner.sent, poisoner.confirmed)
    result = Result(seed, disturbances, disturber.troubles, round(healed_seconds, 1), check(history))
    _keep(settings, result, history)
    return result


def _keep(settings: LabSettings, result: Result, history: History) -> None:
    """Everything of a run that went wrong, to look into."""
    if result.verdict.is_right:
        return
    folder: Path = settings.reports_dir / f"campaign-seed-{result.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    (folder / "history.json").write_text(json.dumps(asdict(history), indent=2, default=sorted), encoding="utf-8")
