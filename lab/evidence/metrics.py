"""What the judge has loaded, and whether it measured all the time."""

import hashlib
import json
import time

from lab.evidence.signal import Signal
from lab.grading.facts import STEP_SECONDS, holes
from lab.prometheus import Prometheus

# The moments of its scrapes: a value itself seems to last for minutes after the last one.
SCRAPES = 'timestamp(up{job="traffic"})'


def loaded(judge: Prometheus) -> dict[str, str]:
    """Digests of its configuration and of its rules, and when it was started. Raises LabError."""
    rules = [[group["name"], [[rule.get(key) for key in ("name", "query", "duration", "labels")]
                              for rule in group["rules"]]] for group in judge.rules()]
    return {"configuration": _digest(judge.configuration()), "rules": _digest(rules), "start": judge.started_at()}


def signals(judge: Prometheus, start: float, end: float) -> list[Signal]:
    """Holes in its measurements between two moments (Unix time). They are no proof: the grade counts them as a breach.

    Raises LabError.
    """
    moments = sorted({value for series in judge.range(SCRAPES, start, end, STEP_SECONDS) for _time, value in series.points})
    return [Signal(f"the judge measured nothing from {_clock(earlier)} to {_clock(later)}", voids=False)
            for earlier, later in holes([moment for moment in moments if moment > start], start, end)]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
