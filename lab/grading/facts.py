"""What the judge measured of a run: when the system broke, when it was restored."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from lab import slo
from lab.engine.scenario import Scenario, StateCheck
from lab.grading import throughput
from lab.prometheus import Prometheus

STEP_SECONDS = 2.0
# A scrape that comes late makes a hole of this length, which is no breach.
LONGEST_HOLE_SECONDS = 10.0
# The steady traffic, as the clients and as the consumers count it.
USUAL = (("clients send as before", "client:requests:rate30s"),
         ("consumers process as before", "sum(rate(messages_consumed_total[30s]))"))
# Without a dead-letter exchange, what is too much or too old is gone.
DROPPED = ('{__name__=~"rabbitmq_global_messages_dead_lettered_(maxlen|expired)_total",'
           'dead_letter_strategy="disabled"}')


@dataclass(frozen=True)
class Breach:
    """One objective that did not hold, with its worst value; times are Unix time in seconds."""

    slo: slo.Slo
    first_at: float
    last_at: float
    worst: float | None


@dataclass(frozen=True)
class StateResult:
    """One condition of a mitigation: its value now, and whether it was ever violated since the injection."""

    check: StateCheck
    value: float | None
    was_violated: bool = False

    @property
    def holds(self) -> bool:
        return self.value is not None and slo.COMPARISONS[self.check.comparison](self.value, self.check.value)


@dataclass(frozen=True)
class Facts:
    """Measured between injection and `at`; times are Unix time in seconds.

    `first_alert_at` is when the first alert became pending or fired.
    """

    injected_at: float
    at: float
    breaches: tuple[Breach, ...]
    states: tuple[StateResult, ...]
    first_alert_at: float | None = None

    @property
    def impact_at(self) -> float | None:
        return min((breach.first_at for breach in self.breaches), default=None)

    @property
    def symptom_at(self) -> float | None:
        """The first moment at which anybody could notice: an SLO is breached, or an alert is pending or fires."""
        return _first_symptom(self.breaches, self.first_alert_at)

    def had_effect(self, scenario: Scenario) -> bool:
        """Whether the fault broke what it ought to break, or has not had the time for that."""
        if scenario.impact_within is None or self.at - self.injected_at < scenario.impact_within:
            return True
        return bool(self.breaches) or any(state.was_violated for state in self.states)

    @property
    def last_breach_at(self) -> float | None:
        return max((breach.last_at for breach in self.breaches), default=None)

    @property
    def breached_seconds(self) -> float:
        """From the first to the last moment at which an objective did not hold; 0 where all always did."""
        return self.last_breach_at - self.impact_at if self.breaches else 0.0

    def steady_since(self, scenario: Scenario) -> float | None:
        """Since when the system has been whole; None when it is not.

        Without any breach, it counts from the time by which the fault, left alone, would have
        caused one: before that, steadiness proves nothing.
        """
        last_bad = self.last_breach_at
        if last_bad is None:
            return self.injected_at + (scenario.impact_within or 0)
        if self.at - last_bad < 2 * STEP_SECONDS:
            return None
        return last_bad + STEP_SECONDS

    def held_seconds(self, scenario: Scenario) -> float:
        """For how long the system has been whole by `at`; 0 when it is not."""
        since = self.steady_since(scenario)
        return max(0.0, self.at - since) if since is not None else 0.0

    def mitigated(self, scenario: Scenario) -> bool:
        return self.held_seconds(scenario) >= scenario.hold and all(state.holds for state in self.states)


def measure(prometheus: Prometheus, scenario: Scenario, injected_at: float, at: float,
            traffic_rate: float, ledgers: Callable[[], Path]) -> Facts:
    """Ask the judge, and the ledgers where the SLOs have been met for long enough.

    `traffic_rate` is the clients' usual rate, in requests per second; `ledgers` gives the ledgers' folder.
    Raises LabError when the judge does not answer.
    """
    # SLOs that are met because nobody sends anything, or nothing is processed, prove nothing.
    usual = [StateCheck(title=title, query=query, comparison=">=", value=traffic_rate / 2) for title, query in USUAL]
    facts = Facts(
        injected_at, at, _breaches(prometheus, injected_at, at),
        (*(StateResult(check, prometheus.value(check.query)) for check in usual),
         *(_state(prometheus, check, injected_at, at) for check in scenario.truth.mitigated_when)),
        _first_alert_at(prometheus, injected_at, at))
    if not facts.mitigated(scenario):
        return facts
    return replace(facts, states=(*facts.states, *_throughput(ledgers(), at - scenario.hold, at, traffic_rate)))


def first_symptom(prometheus: Prometheus, start: float, end: float) -> float | None:
    """See `Facts.symptom_at`: the first one between two moments (Unix time in seconds). Raises LabError."""
    return _first_symptom(_breaches(prometheus, start, end), _first_alert_at(prometheus, start, end))


def _first_symptom(breaches: tuple[Breach, ...], first_alert_at: float | None) -> float | None:
    moments = [*(breach.first_at for breach in breaches), first_alert_at]
    return min((moment for moment in moments if moment is not None), default=None)


def _state(prometheus: Prometheus, check: StateCheck, start: float, end: float) -> StateResult:
    holds = slo.COMPARISONS[check.comparison]
    measured = prometheus.series(check.query, start, end, STEP_SECONDS)
    return StateResult(check, prometheus.value(check.query), any(not holds(value, check.value) for _time, value in measured))


def _throughput(folder: Path, start: float, end: float, traffic_rate: float) -> list[StateResult]:
    """Whether the ledgers grew at about the usual rate between two moments (Unix time in seconds)."""
    return [StateResult(StateCheck(title=f"messages are {event} as before", query=f"ledger: {event} per second",
                                   comparison=">=", value=traffic_rate / 2),
                        throughput.rate(folder, event, start, end))
            for event in throughput.EVENTS]


def _first_alert_at(prometheus: Prometheus, start: float, end: float) -> float | None:
    """When the first alert that was not there at the injection became pending or fired."""
    found = prometheus.range("ALERTS", start - STEP_SECONDS, end, STEP_SECONDS)
    firsts = (series.points[0][0] for series in found)
    return min((first for first in firsts if first >= start), default=None)


def dropped_by_broker(prometheus: Prometheus, start: float, end: float) -> int:
    """How many messages the broker counted as thrown away between two moments (Unix time in seconds).

    Exact but for the last seconds before a restart of the broker: the sum of what its counters grew,
    which `increase` would extrapolate. Raises LabError when Prometheus does not answer.
    """
    # A counter that has just begun to be scraped began at 0.
    return round(sum(
        later if later < earlier else later - earlier
        for series in prometheus.range(DROPPED, start, end, STEP_SECONDS)
        for (_, earlier), (_, later) in pairwise(series.points)))


def _breaches(prometheus: Prometheus, start: float, end: float) -> tuple[Breach, ...]:
    found = (_breach(prometheus, objective, start, end) for objective in slo.objectives())
    return tuple(breach for breach in found if breach)


def _breach(prometheus: Prometheus, objective: slo.Slo, start: float, end: float) -> Breach | None:
    series = prometheus.series(objective.query, start, end, STEP_SECONDS)
    bad = [(time, value) for time, value in series if not objective.holds(value)]
    # What was not measured does not count as good: Prometheus itself may have been away.
    bad += [(time, None) for _began, time in holes([time for time, _value in series], start, end)]
    if not bad:
        return None
    worst = min if objective.comparison == ">=" else max
    values = [value for _time, value in bad if value is not None]
    times = [time for time, _value in bad]
    return Breach(objective, min(times), max(times), worst(values) if values else None)


def holes(times: list[float], start: float, end: float) -> list[tuple[float, float]]:
    """Begin and end of every stretch without a measurement that is too long to be a late scrape (Unix times)."""
    return [(earlier, later) for earlier, later in pairwise([start, *times, end])
            if later - earlier > LONGEST_HOLE_SECONDS]
