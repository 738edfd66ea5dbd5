"""When an incident began, was noticed and was over, and the two times that the field takes from that.

MTTD and MTTR are means over incidents; a run is one incident, and gives one value for each.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Incident:
    """Its moments, as Unix time in seconds; None is what did not happen.

    The impact is when the first objective broke, as clients see it; restored is since when all hold again.
    """

    injected_at: float
    impact_at: float | None
    first_alert_at: float | None
    detected_at: float | None
    restored_at: float | None

    @property
    def time_to_detect(self) -> float | None:
        """Seconds from the impact to the declaration, 0 where that came first; from the injection where none broke."""
        if self.detected_at is None:
            return None
        return max(0.0, self.detected_at - (self.impact_at or self.injected_at))

    @property
    def time_to_restore(self) -> float | None:
        """Seconds from the impact until all objectives hold again; None where none broke, or not again."""
        if self.impact_at is None or self.restored_at is None:
            return None
        return self.restored_at - self.impact_at

    def as_dict(self) -> dict:
        return asdict(self) | {"time_to_detect": self.time_to_detect, "time_to_restore": self.time_to_restore}
