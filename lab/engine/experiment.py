"""Compiles a scenario to a Chaos Toolkit experiment: plain JSON that `chaos run` can run, too.

https://chaostoolkit.org/reference/api/experiment/
"""

import random
from collections.abc import Sequence

from lab import slo
from lab.engine.scenario import Scenario

_MODULE = "lab.engine.activities"
# No objective has a bound above this one; Chaos Toolkit's range tolerance needs two ends.
_HIGHEST = 1e12


def new_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


def compile_experiment(scenario: Scenario, seed: int, candidate: str | None = None) -> dict:
    """The experiment: steady state, injection, exercise, grade, steady state again, reset."""
    return _experiment(
        f"Scenario {scenario.number}: {scenario.title}", scenario, ["sre-lab", f"tier-{scenario.tier}"],
        {"scenario": scenario.number, "seed": seed} | ({"candidate": candidate} if candidate else {}),
        [{"index": index, "fault": fault.model_dump()} for index, fault in enumerate(scenario.faults, 1)])


def compile_exam(scenario: Scenario) -> dict:
    """The same, but it tells nothing that the page does not: the engine's memory knows which faults these are."""
    return _experiment("Exam", scenario, ["sre-lab"], {"scenario": 0, "seed": 0},
                       [{"index": index} for index in range(1, len(scenario.faults) + 1)],
                       [_action("await-fault", "await_fault")])


def _experiment(title: str, scenario: Scenario, tags: list[str], record: dict, injections: list[dict],
                before: Sequence[dict] = ()) -> dict:
    return {
        "version": "1.0.0",
        "title": title,
        "description": scenario.brief,
        "tags": tags,
        "controls": [{
            "name": "record",
            "provider": {"type": "python", "module": "lab.engine.control", "arguments": record},
        }],
        "steady-state-hypothesis": {
            "title": "Every SLO holds",
            "probes": [_probe(objective) for objective in slo.objectives()],
        },
        "method": [
            *before,
            *(_action(f"inject-{injection['index']}", "inject", **injection) for injection in injections),
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
