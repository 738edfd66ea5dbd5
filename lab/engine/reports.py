"""Where the results of a run are kept: a folder each, outside of the run folder, so that `make clean` spares them."""

import json
import time
from pathlib import Path

from lab.engine.record import Run
from lab.settings import LabSettings


def folder(settings: LabSettings, run: Run) -> Path:
    """The run's own folder, made when it is not there."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.started_at))
    path = settings.reports_dir / f"{moment}-{'exam' if run.sealed else f'scenario-{run.scenario}'}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def read_grade(settings: LabSettings, run: Run) -> dict | None:
    """The grade that was written for the run, None when there is none."""
    path = folder(settings, run) / "grade.json"
    return json.loads(path.read_text()) if path.exists() else None
