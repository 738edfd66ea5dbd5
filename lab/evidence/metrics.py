"""What Prometheus has loaded and scrapes, and whether it measured all the time."""

import hashlib
import json
import time

from lab.grading.facts import STEP_SECONDS, holes
from lab.prometheus import Prometheus

BEGAN = 'process_start_time_seconds{job="prometheus"}'
# Consumers come and go; every other target stays where it is.
MOVING_JOB = "consumer"


def loaded(prometheus: Prometheus) -> dict[str, str]:
    """Digests of its configuration, of its rules, and of where it scrapes each job. Raises LabError.

    A job is left out while it has no target, as right after a start of Prometheus.
    """
    rules = [[group["name"], [[rule.get(key) for key in ("name", "query", "duration", "labels")]
                              for rule in group["rules"]]] for group in prometheus.rules()]
    targets: dict[str, list[str]] = {}
    for target in prometheus.targets():
        targets.setdefault(target["scrapePool"], []).append(target["scrapeUrl"])
    return {"configuration": _digest(prometheus.configuration()), "rules": _digest(rules)} | {
        f"targets of {job}": _digest(sorted(urls)) for job, urls in targets.items() if job != MOVING_JOB}


def irregularities(prometheus: Prometheus, start: float, end: float) -> list[str]:
    """Restarts of Prometheus and holes in its measurements between two moments (Unix time). Raises LabError."""
    restarts = max(0, len(_values(prometheus, BEGAN, start, end)) - 1)
    found = [f"Prometheus was started again ({restarts} times)"] if restarts else []
    # The moments of the scrapes: a value itself seems to last for minutes after the last one.
    scrapes = _values(prometheus, f"timestamp({BEGAN})", start, end)
    found += [f"Prometheus measured nothing from {_clock(earlier)} to {_clock(later)}"
              for earlier, later in holes([moment for moment in scrapes if moment > start], start, end)]
    return found


def _values(prometheus: Prometheus, query: str, start: float, end: float) -> list[float]:
    return sorted({value for series in prometheus.range(query, start, end, STEP_SECONDS)
                   for _time, value in series.points})


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
