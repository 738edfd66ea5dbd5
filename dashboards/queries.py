"""The queries of a dashboard, with Grafana's variables filled in: for the tests, and for the pictures."""

import re

from lab.errors import LabError
from lab.prometheus import Prometheus


def panels(dashboard: dict) -> list[dict]:
    """All panels that ask for something."""
    return [panel for panel in dashboard["panels"] if panel.get("targets")]


def fill_in(expr: str, values: dict[str, str]) -> str:
    """With `$name` and `${name}` replaced. Raises LabError for a variable that nobody knows."""
    def value(match: re.Match) -> str:
        name = match[1] or match[2]
        if name not in values:
            raise LabError(f"${name} is not known, in {expr}")
        return values[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, expr)


def variable_values(dashboard: dict, prometheus: Prometheus) -> dict[str, str]:
    """What Grafana fills in where nobody has chosen: of each variable that asks Prometheus, every value.

    Raises LabError when Prometheus does not answer.
    """
    found = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            values = sorted({labels[label] for labels, _value in prometheus.vector(metric) if label in labels})
            # As Grafana does: a value is no pattern, and PromQL reads the backslash once more.
            found[variable["name"]] = "|".join(re.sub(r"([\\^$.*+?()[\]{}|])", r"\\\\\1", value) for value in values)
    return found
