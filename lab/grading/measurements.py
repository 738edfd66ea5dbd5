"""What Prometheus measured of a run, as a report shows it: curves, where they broke their objective, and alerts."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from lab import slo
from lab.grading.facts import LONGEST_HOLE_SECONDS, STEP_SECONDS, holes
from lab.prometheus import Prometheus

# The curves begin so long before the injection: what was well is to be seen, too.
LEAD_SECONDS = 30.0
# How long a report waits at most for the evaluation of the rules after its end; it comes every 2 s.
EVALUATION_SECONDS = 10.0
POLL_SECONDS = 0.2
# Beside the objectives: title, unit, query.
SIGNALS = (
    ("Messages that wait in the queue", "messages", 'sum(rabbitmq_detailed_queue_messages{queue="messages"})'),
    ("Dead letters", "messages", 'sum(rabbitmq_detailed_queue_messages{queue="messages.dlq"})'),
    ("Messages processed", "1/s", "sum(rate(messages_consumed_total[30s]))"),
)


@dataclass(frozen=True)
class Curve:
    """One signal over the run: (time, value) pairs, and begin and end of each stretch outside the objective.

    Times are Unix time in seconds; a signal without an objective is only looked at.
    """

    title: str
    unit: str
    points: tuple[tuple[float, float], ...]
    objective: float | None = None
    comparison: str = ""
    broken: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Alert:
    """One alert, whatever it fired for, and begin and end of each stretch in which it fired (Unix time in seconds)."""

    name: str
    severity: str
    stretches: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Measurements:
    """Of one run."""

    curves: tuple[Curve, ...]
    alerts: tuple[Alert, ...]

    @property
    def first_alert_at(self) -> float | None:
        """Unix time in seconds; None where none fired."""
        return min((alert.stretches[0][0] for alert in self.alerts), default=None)


def measure(prometheus: Prometheus, injected_at: float, end: float) -> Measurements:
    """All that a report shows, from shortly before the injection on; times are Unix time in seconds.

    Raises LabError when Prometheus does not answer.
    """
    objectives = (_objective(prometheus, objective, injected_at, end) for objective in slo.objectives())
    signals = (Curve(title, unit, tuple(prometheus.series(query, injected_at - LEAD_SECONDS, end)))
               for title, unit, query in SIGNALS)
    return Measurements((*objectives, *signals), tuple(alerts(prometheus, injected_at, end)))


def alerts(prometheus: Prometheus, start: float, end: float) -> list[Alert]:
    """What fired between two moments (Unix time in seconds), the first one first.

    An alert counts from the evaluation of its rule that makes it fire, up to the last one at or before `end`. One that
    is still pending then, or fires later, does not. Raises LabError when Prometheus does not answer.
    """
    _await_evaluation(prometheus, end)
    fired: dict[tuple[str, str], set[float]] = {}
    for series in prometheus.samples('ALERTS{alertstate="firing"}', start, end):
        key = series.labels["alertname"], series.labels.get("severity", "")
        fired.setdefault(key, set()).update(moment for moment, _value in series.points)
    # An evaluation that comes late ends no alert.
    found = (Alert(*key, stretches(times, LONGEST_HOLE_SECONDS)) for key, times in fired.items())
    return sorted(found, key=lambda alert: (alert.stretches[0], alert.name))


def _await_evaluation(prometheus: Prometheus, moment: float) -> None:
    """Until all that the rules give up to that moment (Unix time in seconds) is stored, or EVALUATION_SECONDS have passed.

    A group that was evaluated at or after it has stored its evaluations before it.
    """
    deadline = time.monotonic() + EVALUATION_SECONDS
    while prometheus.evaluated_at() < moment and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def stretches(times: Iterable[float], longest_gap: float = 1.5 * STEP_SECONDS) -> tuple[tuple[float, float], ...]:
    """Begin and end of each run of moments that are no more than a gap (in seconds) apart: by default a step."""
    found: list[tuple[float, float]] = []
    for moment in sorted(times):
        if found and moment - found[-1][1] <= longest_gap:
            found[-1] = found[-1][0], moment
        else:
            found.append((moment, moment))
    return tuple(found)


def _objective(prometheus: Prometheus, objective: slo.Slo, injected_at: float, end: float) -> Curve:
    points = prometheus.series(objective.query, injected_at - LEAD_SECONDS, end)
    during = [(moment, value) for moment, value in points if moment >= injected_at]
    bad = stretches(moment for moment, value in during if not objective.holds(value))
    # As in the grade: what was not measured does not count as good.
    unmeasured = holes([moment for moment, _value in during], injected_at, end)
    return Curve(objective.title, objective.unit, tuple(points), objective.objective, objective.comparison,
                 tuple(sorted([*bad, *unmeasured])))
