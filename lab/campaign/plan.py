"""Draws what is done to the system in one run: disturbances that overlap at random, from the taxonomy of faults."""

import random
from dataclasses import dataclass, field
from typing import Any

SERVICES = ("rabbitmq", "toxiproxy", "producer", "consumer")
LINKS = ("producer-link", "consumer-link")
FEWEST, MOST = 2, 5
# Seconds. A heartbeat notices a dead connection after about 20: some disturbances outlast that.
RUN_SECONDS = 14.0
SHORTEST, LONGEST = 1.0, 24.0
HOSTILE_MESSAGES = "hostile-messages"
HOSTILE_SHARE = 0.3  # of the runs, beside what else is drawn
HOSTILE_SECONDS = 8.0


@dataclass(frozen=True)
class Disturbance:
    """One fault, `at` seconds after the run's begin, for so many seconds."""

    kind: str  # kill, stop, pause, toxic, link-down, memory-alarm, reset-connections, hostile-messages
    target: str
    at: float
    lasts: float
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        details = f" {self.details['type']} {self.details['stream']}" if self.details else ""
        return f"{self.kind} {self.target}{details} at {self.at:.1f} s for {self.lasts:.1f} s"


def draw(seed: int) -> list[Disturbance]:
    """The disturbances of the run with that seed, in the order of their begin: always the same ones."""
    source = random.Random(seed)
    drawn = [_one(source) for _ in range(source.randint(FEWEST, MOST))]
    # From a source of its own, so that all else stays as it was before there were hostile messages.
    if random.Random(f"{HOSTILE_MESSAGES} {seed}").random() < HOSTILE_SHARE:
        drawn += only_hostile_messages()
    return sorted(drawn, key=lambda disturbance: disturbance.at)


def only_hostile_messages() -> list[Disturbance]:
    """For a run in which the parts are left alone; the messages are drawn from its seed."""
    return [Disturbance(HOSTILE_MESSAGES, "rabbitmq", 0.0, HOSTILE_SECONDS)]


def _one(source: random.Random) -> Disturbance:
    at = round(source.uniform(0, RUN_SECONDS - SHORTEST), 1)
    # Mostly short, now and then longer than a heartbeat.
    lasts = round(min(LONGEST, SHORTEST + source.expovariate(1 / 5)), 1)
    kind = source.choices(
        ["kill", "stop", "pause", "toxic", "link-down", "memory-alarm", "reset-connections"],
        weights=[4, 2, 3, 6, 1, 1, 2])[0]
    if kind in {"kill", "stop", "pause"}:
        return Disturbance(kind, source.choice(SERVICES), at, lasts)
    if kind == "toxic":
        return Disturbance(kind, source.choice(LINKS), at, lasts, _toxic(source))
    if kind == "link-down":
        return Disturbance(kind, source.choice(LINKS), at, lasts)
    return Disturbance(kind, "rabbitmq", at, lasts)


def _toxic(source: random.Random) -> dict[str, Any]:
    """A toxic as Toxiproxy takes it. https://github.com/Shopify/toxiproxy#toxics"""
    kind = source.choice(["latency", "bandwidth", "slow_close", "timeout", "slicer", "limit_data", "reset_peer"])
    attributes = {
        "latency": {"latency": source.randint(50, 3000), "jitter": source.randint(0, 500)},
        "bandwidth": {"rate": source.randint(1, 50)},
        "slow_close": {"delay": source.randint(100, 3000)},
        "timeout": {"timeout": source.choice([0, 0, 500, 3000])},
        "slicer": {"average_size": source.randint(16, 256), "size_variation": 8, "delay": source.randint(100, 20_000)},
        "limit_data": {"bytes": source.randint(1_000, 100_000)},
        "reset_peer": {"timeout": source.randint(0, 2000)},
    }[kind]
    return {"type": kind, "stream": source.choice(["upstream", "downstream"]),
            "toxicity": source.choice([1.0, 1.0, 0.5]), "attributes": attributes}
