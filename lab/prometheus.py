"""Asks Prometheus. https://prometheus.io/docs/prometheus/latest/querying/api/"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import requests

from lab.errors import LabError

TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Series:
    """One result over time: (Unix time in seconds, value), without those that are no number."""

    labels: dict
    points: list[tuple[float, float]]


class Prometheus:
    """Every method raises LabError when Prometheus does not answer or refuses the query."""

    def __init__(self, url: str):
        self._url = f"{url}/api/v1"

    def value(self, query: str, at: float | None = None) -> float | None:
        """The value of a query with one result, None where there is none; `at` is Unix time in seconds."""
        result = self._ask("query", query=query, time=at)
        return _number(result[0]["value"][1]) if result else None

    def series(self, query: str, start: float, end: float, step: float = 2.0) -> list[tuple[float, float]]:
        """(Unix time, value) pairs of a query with one result; times are in seconds."""
        found = self.range(query, start, end, step)
        return found[0].points if found else []

    def range(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """Every result of a query over time, `step` seconds apart; those without any number are left out."""
        return _series(self._ask("query_range", query=query, start=start, end=end, step=step))

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        """What is stored of a selector's series between two moments (Unix time in seconds).

        `range` also repeats a sample for up to five minutes where the next one is missing, as after a crash.
        """
        return _series(self._ask("query", query=f"{selector}[{max(1, round((end - start) * 1000))}ms]", time=end))

    def vector(self, query: str) -> list[tuple[dict, float]]:
        """(labels, value) of every result."""
        return [(entry["metric"], float(entry["value"][1])) for entry in self._ask("query", query=query)]

    def firing_alerts(self) -> list[dict]:
        """Labels and annotations of every alert that fires."""
        return [alert for alert in self._ask("alerts")["alerts"] if alert["state"] == "firing"]

    def configuration(self) -> str:
        """What it has loaded, as YAML."""
        return self._ask("status/config")["yaml"]

    def started_at(self) -> str:
        """When its process started, as ISO 8601."""
        return self._ask("status/runtimeinfo")["startTime"]

    def rules(self) -> list[dict]:
        """The groups of rules that it has loaded."""
        return self._ask("rules")["groups"]

    def evaluated_at(self) -> float:
        """When (Unix time in seconds) the group of rules that has waited longest was last evaluated; inf without rules."""
        return min((datetime.fromisoformat(group["lastEvaluation"]).timestamp() for group in self.rules()), default=math.inf)

    def targets(self) -> list[dict]:
        """Everything that it scrapes."""
        return self._ask("targets", state="active")["activeTargets"]

    def _ask(self, endpoint: str, **parameters):
        parameters = {name: value for name, value in parameters.items() if value is not None}
        try:
            answer = requests.get(f"{self._url}/{endpoint}", params=parameters, timeout=TIMEOUT_SECONDS)
            content = answer.json()
        except (requests.RequestException, ValueError):
            raise LabError("Prometheus does not answer: `lab start prometheus`, then try again") from None
        if content.get("status") != "success":
            raise LabError(f"Prometheus refused {parameters.get('query')!r}: {content.get('error')}")
        data = content["data"]
        return data.get("result", data)


def _series(results: Iterable[dict]) -> list[Series]:
    found = []
    for result in results:
        pairs = ((time, _number(text)) for time, text in result["values"])
        found.append(Series(result["metric"], [(time, value) for time, value in pairs if value is not None]))
    return [series for series in found if series.points]


def _number(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
