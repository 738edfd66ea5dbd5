"""What the lab is like at this request: the settings of now, the record, Prometheus."""

from flask import g

from lab import settings as lab_settings
from lab.engine.record import Records, Run
from lab.prometheus import Prometheus
from lab.settings import LabSettings


def settings() -> LabSettings:
    """Read at each request: a candidate changes them. Raises LabError."""
    if "settings" not in g:
        g.settings = lab_settings.load()
    return g.settings


def records() -> Records:
    return Records(settings().run_dir)


def prometheus() -> Prometheus:
    return Prometheus(settings().prometheus_url)


def run() -> Run | None:
    """The run that is on, as it is at this request."""
    if "run" not in g:
        g.run = records().active()
    return g.run


def is_exam() -> bool:
    """Whether the person at the page may see only what an exam's candidate may."""
    return run() is not None and run().sealed is not None and run().state in {"checking", "running"}
