"""A tampering signal: one finding of the watch over a run."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Signal:
    """`voids`: it proves a change that could have changed the grade, so the run does not count."""

    text: str
    voids: bool = True

    def as_dict(self) -> dict:
        return asdict(self)
