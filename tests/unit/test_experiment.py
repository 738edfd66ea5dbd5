"""The compiled experiments: valid for Chaos Toolkit, and plain JSON."""

import json

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from lab import slo
from lab.engine import scenario as scenarios
from lab.engine.experiment import compile_experiment

SEED = 7


@pytest.fixture(params=scenarios.folders())
def scenario(request) -> scenarios.Scenario:
    return scenarios.load(request.param, SEED)


def test_chaos_toolkit_accepts_it(scenario):
    ensure_experiment_is_valid(compile_experiment(scenario, SEED))


def test_it_is_plain_json(scenario):
    compiled = compile_experiment(scenario, SEED)
    assert json.loads(json.dumps(compiled, allow_nan=False)) == compiled


def test_it_injects_the_faults_that_were_drawn_then_grades_and_resets(scenario):
    compiled = compile_experiment(scenario, SEED)
    *injections, exercise, grade = compiled["method"]
    assert [step["provider"]["arguments"]["fault"] for step in injections] == \
        [fault.model_dump() for fault in scenario.faults]
    assert [exercise["name"], grade["name"]] == ["exercise", "grade"]
    assert [step["name"] for step in compiled["rollbacks"]] == ["reset"]


def test_it_names_who_does_it_only_where_that_was_said():
    scenario = scenarios.load(1, SEED)

    def recorded(*candidate: str) -> dict:
        [control] = compile_experiment(scenario, SEED, *candidate)["controls"]
        return control["provider"]["arguments"]

    assert recorded("Ada") == recorded() | {"candidate": "Ada"}


def test_its_steady_state_is_that_every_objective_holds(scenario):
    probes = compile_experiment(scenario, SEED)["steady-state-hypothesis"]["probes"]
    assert [probe["name"] for probe in probes] == [objective.name for objective in slo.objectives()]
    for probe, objective in zip(probes, slo.objectives(), strict=True):
        low, high = probe["tolerance"]["range"]
        assert low <= objective.objective <= high
        assert objective.holds(low) and objective.holds(high)
