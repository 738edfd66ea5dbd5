"""Brings the lab back to its baseline by state, whatever was done to it."""

from pathlib import Path

from lab import baseline
from lab import settings as lab_settings
from lab import stack as stacks
from lab.engine import stocktaking
from lab.settings import LabSettings
from lab.stack.base import Progress


def to_baseline(progress: Progress, settings_before: str | None = None) -> None:
    """Settings, links, processes, broker and queues, in this order.

    `settings_before` is what the settings file held before the run; None leaves it as it is.
    Raises LabError when a part cannot be brought back.
    """
    path: Path = lab_settings.env_file()
    if settings_before is not None and path.read_text(encoding="utf-8") != settings_before:
        path.write_text(settings_before, encoding="utf-8")
        progress(f"{path.name} is as it was before the run")
    settings = lab_settings.load()
    stack = stacks.current(settings)
    stack.show_control()
    baseline.restore(settings, stack, progress)
    stocktaking.take(settings, stack, progress, emptied=_mark(settings).touch)
    baseline.check(settings, stack)
    progress("links, policies, users and queues are back at the baseline")


def emptied_at(settings: LabSettings) -> float:
    """Unix time in seconds at which the queues were last emptied; 0 where they never were."""
    mark = _mark(settings)
    return mark.stat().st_mtime if mark.exists() else 0.0


def _mark(settings: LabSettings) -> Path:
    return settings.run_dir / "emptied"
