"""What Prometheus measured of a run: when the system broke, when it was whole again."""

from dataclasses import dataclass
from itertools import pairwise

from lab import slo
from lab.engine.scenario import Scenario, StateCheck
from lab.prometheus import Prometheus

STEP_SECONDS = 2.0
# A scrape that comes late makes a hole of this length, which is no breach.
LONGEST_HOLE_SECONDS = 10.0
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
    check: StateCheck
    value: float | None

    @property
    def holds(self) -> bool:
        return self.value is not None and slo.COMPARISONS[self.check.comparison](self.value, self.check.value)


@dataclass(frozen=True)
class Facts:
    """Measured between injection and `at`; times are Unix time in seconds."""

    injected_at: float
    at: float
    breaches: tuple[Breach, ...]
    states: tuple[StateResult, ...]

    @property
    def impact_at(self) -> float | None:
        return min((breach.first_at for breach in self.breaches), default=None)

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
            traffic_rate: float) -> Facts:
    """Ask Prometheus; `traffic_rate` is the clients' usual rate, in requests per second.

    Raises LabError when Prometheus does not answer.
    """
    # Objectives that hold because nobody asks for anything prove nothing.
    traffic = StateCheck(title="the clients send as before", query="client:requests:rate30s",
                         comparison=">=", value=traffic_rate / 2)
    breaches = (_breach(prometheus, objective, injected_at, at) for objective in slo.objectives())
    states = (StateResult(check, prometheus.value(check.query)) for check in [traffic, *scenario.truth.mitigated_when])
    return Facts(injected_at, at, tuple(breach for breach in breaches if breach), tuple(states))


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
