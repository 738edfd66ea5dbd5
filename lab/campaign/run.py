"""One run after the other: disturb, heal, drain, check."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

from lab import baseline
from lab.campaign import plan
from lab.campaign.checker import Calm, History, Verdict, check
from lab.campaign.disturb import Disturber
from lab.campaign.hostile import messages
from lab.campaign.ledgers import Recorder, drain, take_dead_letters
from lab.campaign.stranger import Stranger, poison
from lab.engine import reset
from lab.engine.record import Records
from lab.errors import LabError
from lab.exclusive import exclusive
from lab.prometheus import Prometheus
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack

POISON_RATE, HOSTILE_RATE = 2.0, 20.0  # messages per second
STEP_SECONDS = 1.0


@dataclass(frozen=True)
class Result:
    """One run: what was done, what was counted, and how many seconds healing took."""

    seed: int
    disturbances: list[plan.Disturbance]
    troubles: list[str]
    healed_seconds: float
    verdict: Verdict


def campaign(settings: LabSettings, stack: Stack, seeds: range, progress: Progress,
             only_hostile: bool = False) -> Iterator[Result]:
    """Yields the result of each seed's run; the lab is at its baseline afterwards.

    With `only_hostile`, hostile messages are the only disturbance, and what they do to others is measured.
    Raises LabError when an exercise or another campaign is on, or when the system cannot be healed.
    """
    if Records(settings.run_dir).active():
        raise LabError("an exercise is on: finish it (lab grade), or end it (lab reset)")
    with exclusive(settings, "campaign", "another campaign uses this lab: wait until it ends"):
        yield from _campaign(settings, stack, seeds, progress, only_hostile)


def _campaign(settings: LabSettings, stack: Stack, seeds: range, progress: Progress,
              only_hostile: bool) -> Iterator[Result]:
    stack.up(progress)
    # What was there before belongs to no history: each run begins and ends with an idle, empty system.
    reset.to_baseline(progress)
    stack.stop("traffic")
    drain(settings)
    list(take_dead_letters(settings))
    try:
        for seed in seeds:
            yield _run(settings, stack, seed, progress, only_hostile)
    finally:
        reset.to_baseline(progress)


def _run(settings: LabSettings, stack: Stack, seed: int, progress: Progress, only_hostile: bool) -> Result:
    disturbances = plan.only_hostile_messages() if only_hostile else plan.draw(seed)
    progress(f"seed {seed}: " + "; ".join(map(str, disturbances)))
    recorder, began = Recorder(settings, stack), time.time()
    poisoner, hostile = Stranger(settings, poison(), POISON_RATE), Stranger(settings, messages(seed), HOSTILE_RATE)
    stack.start("traffic")
    poisoner.start()
    disturber = Disturber(settings, stack, disturbances, hostile)
    disturber.run()
    started = time.monotonic()
    if not only_hostile:
        baseline.restore(settings, stack, lambda _line: None)
    healed_seconds = time.monotonic() - started
    poisoner.stop()
    hostile.stop()
    stack.stop("traffic")
    history = recorder.history(poisoner, hostile)
    if only_hostile:
        history = replace(history, alone=_calm(Prometheus(settings.prometheus_url), began))
    result = Result(seed, disturbances, disturber.troubles, round(healed_seconds, 1), check(history))
    _keep(settings, result, history)
    return result


def _calm(prometheus: Prometheus, began: float) -> Calm:
    """What Prometheus has seen since then."""
    def seen(query: str) -> list[float]:
        return [value for _time, value in prometheus.series(query, began, time.time(), STEP_SECONDS)]

    losses = seen("sum(amqp_connection_losses_total)")
    late = [len(list(group)) for is_late, group in groupby(seen("queue:processing_late:bool")) if is_late]
    return Calm(losses=max(losses) - losses[0], late_seconds=max(late, default=0) * STEP_SECONDS)


def _keep(settings: LabSettings, result: Result, history: History) -> None:
    """Everything of a run that went wrong, to look into."""
    if result.verdict.is_right:
        return
    folder: Path = settings.reports_dir / f"campaign-seed-{result.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    (folder / "history.json").write_text(json.dumps(asdict(history), indent=2, default=sorted), encoding="utf-8")
