"""The service level objectives: read from `prometheus/slo.yml`, measured by Prometheus."""

import operator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import yaml
from pydantic import BaseModel

from lab.prometheus import Prometheus
from lab.settings import ROOT

COMPARISONS = {">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt}


class Slo(BaseModel):
    """One objective: `query` is compared with `objective`; `unit` is for people."""

    name: str
    title: str
    description: str
    query: str
    unit: str
    objective: float
    comparison: Literal[">=", "<="]

    def holds(self, value: float | None) -> bool:
        """A value that is missing proves nothing, so it does not hold."""
        return value is not None and COMPARISONS[self.comparison](value, self.objective)

    def shown(self, value: float | None) -> str:
        """A value with its unit, for people."""
        if value is None:
            return "no data"
        return f"{value:.2%}" if self.unit == "ratio" else f"{value:.1f} {self.unit}"

    @property
    def target(self) -> str:
        """The objective with its unit, for people."""
        return f"{'at least' if self.comparison == '>=' else 'at most'} {self.shown(self.objective)}"


@dataclass(frozen=True)
class Reading:
    """An objective as it was at one moment."""

    slo: Slo
    value: float | None

    @property
    def shown(self) -> str:
        return self.slo.shown(self.value)

    @property
    def holds(self) -> bool:
        return self.slo.holds(self.value)


@cache
def objectives() -> tuple[Slo, ...]:
    content = yaml.safe_load((ROOT / "prometheus" / "slo.yml").read_text(encoding="utf-8"))
    return tuple(Slo.model_validate(entry) for entry in content["slos"])


def read(prometheus: Prometheus) -> list[Reading]:
    """All objectives now. Raises LabError when Prometheus does not answer."""
    return [Reading(slo, prometheus.value(slo.query)) for slo in objectives()]
