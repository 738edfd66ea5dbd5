"""What a dashboard asks Prometheus, with Grafana's variables filled in: for tests, pictures, and the console's pages."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.errors import LabError
from lab.prometheus import Prometheus, Series

POINTS = 240
SHORTEST_STEP = 2.0  # seconds; the lab's scrape interval
# What Grafana fills in by itself.
BUILT_IN = {"__rate_interval": "10s"}


@dataclass(frozen=True)
class Moment:
    """The time that is shown, Unix time in seconds."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(SHORTEST_STEP, (self.end - self.start) / POINTS)


def panels(dashboard: dict) -> list[dict]:
    """All panels that ask for something."""
    return [panel for panel in dashboard["panels"] if panel.get("targets")]


def fill_in(expr: str, values: Mapping[str, str]) -> str:
    """With `$name` and `${name}` replaced. Raises LabError for a variable that nobody knows."""
    def value(match: re.Match) -> str:
        name = match[1] or match[2]
        if name not in values:
            raise LabError(f"${name} is not known, in {expr}")
        return values[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, expr)


def variables(dashboard: dict) -> list[dict]:
    """The variables that ask Prometheus, and so can be chosen."""
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def choices(variable: dict, prometheus: Prometheus) -> list[str]:
    """Every value of the variable. Raises LabError when Prometheus does not answer."""
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
    return sorted({labels[label] for labels, _value in prometheus.vector(metric) if label in labels})


def pattern(values: Iterable[str]) -> str:
    """What stands in PromQL's quotes for any of these: a value is no pattern, and PromQL reads each backslash once more."""
    return json.dumps("|".join(re.escape(value) for value in values), ensure_ascii=False)[1:-1]


def variable_values(dashboard: dict, prometheus: Prometheus) -> dict[str, str]:
    """What Grafana fills in where nobody has chosen: of each variable that asks Prometheus, every value.

    Raises LabError when Prometheus does not answer.
    """
    return {variable["name"]: pattern(choices(variable, prometheus)) for variable in variables(dashboard)}


def named_series(panel: dict, values: Mapping[str, str], prometheus: Prometheus, moment: Moment) -> list[tuple[str, Series]]:
    """What the panel shows, with the names of its legend; of an instant query, only what is there at the end.

    `values` are those of the dashboard's variables. Raises LabError when Prometheus does not answer or refuses.
    """
    return [(legend(target["legendFormat"], one.labels), one)
            for target in panel["targets"]
            for one in prometheus.range(fill_in(target["expr"], {**values, **BUILT_IN}), moment.start, moment.end, moment.step)
            if not target.get("instant") or one.points[-1][0] > moment.end - 2 * moment.step]


def legend(template: str, labels: Mapping[str, str]) -> str:
    """The name of a series; `{{label}}` stands for a label's value."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template).strip() or "value"


def overrides(panel: dict) -> dict[str, dict]:
    """By the name of a series, what is set for it alone."""
    return {one["matcher"]["options"]: {each["id"]: each["value"] for each in one["properties"]}
            for one in panel["fieldConfig"].get("overrides", [])}
