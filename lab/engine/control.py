"""Chaos Toolkit control: opens the run's record with the experiment and closes it with the journal.

https://chaostoolkit.org/reference/extending/create-control-extension/
"""

import json
import re

from chaoslib.exceptions import InterruptExecution

from lab import output
from lab import settings as lab_settings
from lab import stack as stacks
from lab.engine import reports
from lab.engine.record import Records
from lab.errors import LabError
from lab.evidence import watch
from lab.exam import exam as exams


def before_experiment_control(
        context: dict, scenario: int, seed: int, candidate: str | None = None, **_kwargs) -> None:
    output.protect()  # Chaos Toolkit's own command does not
    settings = lab_settings.load()
    records = Records(settings.run_dir)
    run = records.active()
    try:
        if run is not None and (run.scenario, run.seed) == (scenario, seed) and not run.engine_is_alive:
            # Watched first: a run that has an engine is a run that is watched.
            watch.over(settings, stacks.current(settings), run)
            records.take_over(run.id)
        else:
            run = records.begin(scenario, seed, lab_settings.env_file().read_text(encoding="utf-8"))
            if held := exams.held():
                about = held.exam.scenario
                records.add(run.id, "exam", sealed=held.sealed, brief=about.brief, time_limit=about.time_limit)
            if candidate:
                records.add(run.id, "candidate", name=candidate)
    except LabError as error:
        raise InterruptExecution(str(error)) from None


def after_activity_control(context: dict, state: dict, **_kwargs) -> None:
    """Chaos Toolkit goes on after an action that failed; here no later step would make sense."""
    if context["type"] == "action" and state["status"] == "failed":
        # "package.ActivityFailed: package.LabError: what a person can read"
        raise InterruptExecution(re.sub(r"^([\w.]+: )+", "", state["exception"][-1].strip()))


def after_experiment_control(context: dict, state: dict, **_kwargs) -> None:
    settings = lab_settings.load()
    records = Records(settings.run_dir)
    run = records.latest()
    if run is None:  # cleaned meanwhile
        return
    path = reports.folder(settings, run) / "journal.json"
    path.write_text(json.dumps(state, indent=2, default=str), encoding="utf-8")
    if run.state == "checking":  # the steady state did not hold: nothing was injected
        records.set_state(run.id, "aborted")
