"""Compiles a scenario to a Chaos Toolkit experiment: plain JSON that `chaos run` can run, too.

https://chaostoolkit.org/reference/api/experiment/
"""

import random

from lab import slo
from lab.engine.scenario import Scenario

_MODULE = "lab.engine.activities"
# No objective has a bound above this one; Chaos Toolkit's range tolerance needs two ends.
_HIGHEST = 1e12


def new_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


def compile_experiment(scenario: Scenario, seed: int) -> dict:
    """The experiment: steady state, injection, exercise, grade, steady state again, reset."""
    faults = [fault.model_dump() for fault in scenario.faults]
    return {
        "version": "1.0.0",
        "title": f"Scenario {scenario.number}: {scenario.title}",
        "description": scenario.brief,
        "tags": ["sre-lab", f"tier-{scenario.tier}"],
        "controls": [{
            "name": "record",
            "provider": {"type": "python", "module": "lab.engine.control",
                         "arguments": {"scenario": scenario.number, "seed": seed}},
        }],
        "steady-state-hypothesis": {
            "title": "Every SLO holds",
            "probes": [_probe(objective) for objective in slo.objectives()],
        },
        "method": [
            *(_action(f"inject-{index}", "inject", index=index, fault=fault)
              for index, fault in enumerate(faults, 1)),
            _action("exercise", "exercise"),
            _action("grade", "grade"),
        ],
        "rollbacks": [_action("reset", "reset")],
    }


def _probe(objective: slo.Slo) -> dict:
    bounds = [objective.objective, _HIGHEST] if objective.comparison == ">=" else [0, objective.objective]
    return {
        "type": "probe",
        "name": objective.name,
        "tolerance": {"type": "range", "range": bounds},
        "provider": {"type": "python", "module": _MODULE, "func": "sli", "arguments": {"name": objective.name}},
    }


def _action(name: str, function: str, **arguments) -> dict:
    return {
        "type": "action",
        "name": name,
        "provider": {"type": "python", "module": _MODULE, "func": function, "arguments": arguments},
    }
