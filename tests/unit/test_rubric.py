"""The grade: what earns points, what never does, and what Prometheus' measurements prove."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lab import slo
from lab.engine import scenario as scenarios
from lab.engine.record import Event, Run
from lab.engine.scenario import Scenario, StateCheck
from lab.grading import facts as grading_facts
from lab.grading.answers import CAUSES, COMPONENTS
from lab.grading.facts import Breach, Facts, StateResult
from lab.grading.ledger import Account
from lab.grading.rubric import PASS, Grade, grade
from lab.prometheus import Series

INJECTED = 1_700_000_000.0
TRUTH = {"component": "broker", "cause": "process-down"}
WRONG = {"component": "clients", "cause": "latency"}
AVAILABILITY, FRESHNESS = slo.objectives()[:2]


def a_scenario(**truth) -> Scenario:
    return Scenario.model_validate({
        "title": "A scenario", "tier": 1, "par_time": 600, "time_limit": 1800,
        "impact_within": 60, "detect_within": 300, "hold": 30,
        "faults": [{"kind": "service", "service": "rabbitmq", "action": "kill"}],
        "truth": {**TRUTH, "explanation": "It was killed.", **truth},
        "alerts": [], "oracle": {"commands": []},
    })


def event(seconds: float, kind: str, **data) -> Event:
    """Something that happened so many seconds after the injection."""
    return Event(INJECTED + seconds, kind, data)


def answer(seconds: float = 120, **given) -> Event:
    return event(seconds, "submission", findings=[TRUTH | given])


def breach(first: float, last: float, objective: slo.Slo = AVAILABILITY) -> Breach:
    return Breach(objective, INJECTED + first, INJECTED + last, 0.5)


def measured(*breaches: Breach, at: float, states: tuple[StateResult, ...] = ()) -> Facts:
    return Facts(INJECTED, INJECTED + at, breaches, states)


BROKEN = measured(breach(20, 200), at=200)
# Whole again 102 s after the injection, and long enough.
RESTORED = measured(breach(20, 100), at=140)


def an_account(**counts) -> Account:
    return Account(**({"acknowledged": 50, "processed": 50, "duplicated": 0, "dead_lettered": 0,
                       "queued": 0, "unknown": 0, "lost": 0, "discarded": 0} | counts))


SCENARIO = a_scenario()
QUIET = SCENARIO.model_copy(update={"impact_within": None})
INTACT = an_account()


def graded(*events: Event, facts: Facts = RESTORED, account: Account = INTACT, scenario: Scenario = SCENARIO,
           tampering: Sequence[str] = ()) -> Grade:
    run = Run(1, 1, 7, "running", INJECTED, None, None, "", events)
    return grade(scenario, run, facts, account, tampering)


def points(grade: Grade) -> dict[str, int]:
    return {line.title: line.points for line in grade.lines}


def evidence(grade: Grade, title: str) -> str:
    return next(line.evidence for line in grade.lines if line.title == title)


# -- the whole ------------------------------------------------------------------------------------


def test_a_perfect_run_gets_100():
    perfect = graded(event(60, "detection"), answer(120))
    assert points(perfect) == {"Detection": 10, "Localization": 20, "Root cause": 20,
                               "Mitigation": 30, "Integrity": 10, "Speed": 10}
    assert perfect.score == 100 and perfect.passed
    assert (perfect.time_to_detect, perfect.time_to_restore) == (60, 102)


def test_nothing_done_gets_nothing():
    nothing = graded(facts=BROKEN)
    assert nothing.score == 0 and not nothing.passed
    assert (nothing.time_to_detect, nothing.time_to_restore) == (None, None)


def test_only_declaring_the_incident_gets_no_more_than_10():
    assert graded(event(30, "detection"), facts=BROKEN).score == 10


def test_every_line_rests_on_evidence_and_the_grade_is_plain_json():
    for one in (graded(facts=BROKEN), graded(answer(), answer(130), event(5, "hint", cost=5))):
        assert all(line.evidence for line in one.lines)
        assert json.loads(json.dumps(one.as_dict()))["score"] == one.score


def an_answer(seconds: float, *findings: tuple[str, str]) -> Event:
    return event(seconds, "submission", findings=[{"component": component, "cause": cause}
                                                  for component, cause in findings])


ALARM, FROZEN = ("broker", "memory-alarm"), ("consumer", "process-frozen")
TWO_FAULTS = a_scenario(component=ALARM[0], cause=ALARM[1], also={"component": FROZEN[0], "cause": FROZEN[1]})


@pytest.mark.parametrize("scenario, findings, each", [
    (TWO_FAULTS, [FROZEN, ALARM], 20),
    (TWO_FAULTS, [ALARM], 10),  # one of two
    (TWO_FAULTS, [ALARM, ("clients", "retry-storm")], 10),
    (TWO_FAULTS, [("clients", "latency")], 0),
    (SCENARIO, [tuple(TRUTH.values()), ("clients", "latency")], 10),  # one too many
], ids=["both", "one", "one and a wrong one", "wrong", "one too many"])
def test_an_answer_names_every_fault_and_no_other(scenario, findings, each):
    found = graded(event(0, "detection"), an_answer(1, *findings), scenario=scenario)
    assert (points(found)["Localization"], points(found)["Root cause"]) == (each, each)
    assert found.passed == (each == 20)


def test_where_nothing_breaks_only_an_answer_earns_the_mitigation():
    quiet = a_scenario().model_copy(update={"impact_within": None})
    unharmed = measured(at=200)
    assert points(graded(event(0, "detection"), facts=unharmed, scenario=quiet))["Mitigation"] == 0
    assert graded(event(0, "detection"), answer(40), facts=unharmed, scenario=quiet).score == 100


@pytest.mark.parametrize("seconds, mitigation", [(8, 30), (40, 15)])
def test_where_nothing_breaks_who_breaks_something_loses_half_of_the_mitigation(seconds, mitigation):
    quiet = a_scenario().model_copy(update={"impact_within": None})
    found = graded(answer(40), facts=measured(breach(50, 50 + seconds), at=200), scenario=quiet)
    assert points(found)["Mitigation"] == mitigation
    assert f"until somebody acted: {seconds} s outside" in evidence(found, "Mitigation")


def best_score_of_a_wrong_answer(scenario: Scenario) -> int:
    """Everything else is perfect."""
    right = {(finding.component, finding.cause) for finding in scenario.truth.findings}
    wrong = set(itertools.product(COMPONENTS, CAUSES)) - (right if len(right) == 1 else set())
    return max(graded(event(0, "detection"), an_answer(1, one), scenario=scenario).score for one in wrong)


@pytest.mark.parametrize("scenario", [
    SCENARIO,
    *(scenarios.load(number) for number in scenarios.folders()),
], ids=lambda scenario: scenario.title)
def test_no_wrong_answer_passes_however_well_the_system_was_mended(scenario):
    assert best_score_of_a_wrong_answer(scenario) < PASS


# -- the answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("given, localization, root_cause", [
    ({}, 20, 20),
    ({"component": "producer"}, 7, 20),
    ({"cause": "crash-loop"}, 20, 11),
    ({"component": "producer", "cause": "crash-loop"}, 7, 11),
    (WRONG, 0, 0),
])
def test_near_answers_get_the_points_that_the_scenario_states(given, localization, root_cause):
    near = a_scenario(partial_components={"producer": 7}, partial_causes={"crash-loop": 11})
    found = graded(answer(**given), scenario=near)
    assert (points(found)["Localization"], points(found)["Root cause"]) == (localization, root_cause)
    assert ("is near" in evidence(found, "Localization")) == (localization == 7)
    assert ("is near" in evidence(found, "Root cause")) == (root_cause == 11)


def test_the_last_answer_counts_and_each_further_one_costs_5():
    found = graded(event(60, "detection"), answer(80, **WRONG), answer(90), answer(120))
    assert points(found)["Root cause"] == 20
    assert points(found)["Resubmission"] == -10
    assert found.score == 90


def test_hints_cost_what_they_cost():
    found = graded(answer(), event(30, "hint", cost=5), event(40, "hint", cost=10))
    assert (points(found)["Hint 1"], points(found)["Hint 2"]) == (-5, -10)
    assert found.score == 85


def test_a_score_is_never_negative():
    assert graded(event(30, "hint", cost=50), facts=BROKEN).score == 0


# -- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay, expected", [
    (0, 10), (300, 10), (360, 9), (600, 5), (840, 1), (900, 0), (5000, 0)])
def test_late_detection_fades_from_the_first_symptom_on(delay, expected):
    found = graded(event(100 + delay, "detection"), facts=measured(breach(100, 150), at=200))
    assert points(found)["Detection"] == expected


def test_where_nothing_breaks_detection_counts_from_the_injection():
    found = graded(event(600, "detection"), facts=measured(at=700), scenario=QUIET)
    assert points(found)["Detection"] == 5


@pytest.mark.parametrize("declared, expected", [
    ((80,), 0), ((80, 120), 7), ((-30, 80, 120), 4), ((80, 600), 4), ((10, 20, 30, 40, 120), 0), ((99.9,), 0), ((100,), 10)])
def test_a_declaration_before_any_symptom_is_a_false_alarm_and_a_true_one_later_counts_for_less(declared, expected):
    found = graded(*(event(seconds, "detection") for seconds in declared), facts=measured(breach(100, 150), at=200))
    assert points(found)["Detection"] == expected
    early = sum(seconds < 100 for seconds in declared)
    assert evidence(found, "Detection").count("false alarm") == early


def test_without_any_symptom_every_declaration_is_a_false_alarm():
    found = graded(event(20, "detection"), facts=measured(at=700))
    assert points(found)["Detection"] == 0 and found.time_to_detect is None


def test_an_alert_is_a_symptom_before_any_breach():
    facts = replace(measured(breach(100, 150), at=200), first_alert_at=INJECTED + 40)
    found = graded(event(45, "detection"), facts=facts)
    assert points(found)["Detection"] == 10
    assert "5 s after the first symptom" in evidence(found, "Detection")


def test_an_answer_is_a_detection_too_unless_there_was_one():
    assert graded(answer(120)).time_to_detect == 120
    assert graded(event(60, "detection"), answer(120)).time_to_detect == 60


@pytest.mark.parametrize("answered, last_breach, expected", [
    (120, 100, 10), (600, 100, 10), (100, 598, 10), (660, 100, 9), (900, 100, 5), (100, 898, 5), (1140, 100, 1),
    (1200, 100, 0), (1700, 100, 0)])
def test_a_late_solution_fades_by_its_later_half(answered, last_breach, expected):
    facts = measured(breach(20, last_breach), at=1750)
    assert points(graded(answer(answered), facts=facts))["Speed"] == expected


@pytest.mark.parametrize("events, facts", [
    ((answer(component="clients"),), RESTORED), ((answer(),), BROKEN), ((), RESTORED)],
    ids=["wrong component", "not restored", "no answer"])
def test_only_a_solution_is_fast(events, facts):
    assert points(graded(*events, facts=facts))["Speed"] == 0


# -- void -----------------------------------------------------------------------------------------


def state(holds: bool, was_violated: bool) -> StateResult:
    check = StateCheck(title="it runs", query="up", comparison="==", value=1)
    return StateResult(check, 1.0 if holds else 0.0, was_violated)


@pytest.mark.parametrize("facts, is_void", [
    (measured(at=700), True), (measured(at=700, states=(state(True, False),)), True),
    (measured(at=700, states=(state(True, True),)), False), (measured(breach(20, 100), at=700), False),
    (measured(at=30), False),
], ids=["no breach", "nothing violated", "a state was violated", "a breach", "too early to say"])
def test_a_run_whose_fault_had_no_effect_is_void(facts, is_void):
    found = graded(answer(25), facts=facts)
    assert (found.verdict == "void") == is_void
    assert not (is_void and (found.passed or found.score))


def test_a_scenario_that_breaks_nothing_is_not_void_for_that():
    assert graded(answer(25), facts=measured(at=700), scenario=QUIET).verdict == "pass"


def test_proven_tampering_voids_the_run():
    found = graded(event(60, "detection"), answer(), tampering=["the ledger was edited"])
    assert (found.verdict, found.score, found.passed) == ("void", 0, False)
    assert "the ledger was edited" in evidence(found, "Void")
    assert sum(points(found).values()) == 0


# -- integrity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts, says", [
    ({"lost": 3}, "50 acknowledged, 50 processed, 0 dead-lettered, 0 still queued, 0 unknown, 3 lost"),
    ({"dead_lettered": 9, "discarded": 7}, "9 dead-lettered, 0 still queued, 0 unknown, 0 lost, 7 discarded"),
])
def test_what_is_gone_costs_the_integrity(counts, says):
    found = graded(answer(), account=an_account(**counts))
    assert found.score == 90
    assert points(found)["Integrity"] == 0
    assert says in evidence(found, "Integrity")


def test_duplicates_and_messages_on_their_way_cost_nothing():
    assert graded(answer(), account=an_account(duplicated=5, queued=4, unknown=6, dead_lettered=3)).score == 100


def test_integrity_is_no_merit_of_who_does_nothing():
    assert points(graded(event(60, "detection")))["Integrity"] == 0


# -- mitigation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("facts, mitigated", [
    (measured(breach(20, 100), at=100), False),
    (measured(breach(20, 100), at=103), False),
    (measured(breach(20, 100), at=131), False),
    (measured(breach(20, 100), at=132), True),
    (measured(breach(20, 100), breach(30, 120, FRESHNESS), at=140), False),
    (measured(breach(20, 100), breach(30, 120, FRESHNESS), at=152), True),
    (measured(at=40), False),
    (measured(at=89), False),
    (measured(at=90), True),
], ids=["a breach lasts", "a moment later", "before the hold", "after the hold", "another breach", "after both",
        "no breach yet", "no breach, before the hold", "no breach by then"])
def test_the_objectives_must_hold_for_a_while_by_when_the_fault_would_show(facts, mitigated):
    found = graded(answer(), facts=facts)
    assert points(found)["Mitigation"] == (30 if mitigated else 0)
    assert (found.time_to_restore is not None) == mitigated


@pytest.mark.parametrize("at, since", [(100, None), (103, None), (104, 102), (900, 102)])
def test_the_system_is_whole_once_a_good_measurement_follows_the_breach(at, since):
    assert measured(breach(20, 100), at=at).steady_since(SCENARIO) == (since and INJECTED + since)


@pytest.mark.parametrize("value, expected", [(1, 30), (0, 0), (None, 0)])
def test_a_state_that_is_not_as_needed_denies_the_mitigation(value, expected):
    check = StateCheck(title="the broker runs", query="up", comparison="==", value=1)
    found = graded(answer(), facts=measured(breach(20, 100), at=140, states=(StateResult(check, value),)))
    assert points(found)["Mitigation"] == expected
    verdict = "as needed" if expected else "needed == 1"
    shown = "no data" if value is None else value
    assert f"the broker runs: up = {shown} ({verdict})" in evidence(found, "Mitigation")


def test_the_evidence_of_a_mitigation_names_query_objective_and_hold():
    found = evidence(graded(answer()), "Mitigation")
    assert f"{AVAILABILITY.query} left its objective (>= 0.99)" in found
    assert "at worst 0.5" in found
    assert "held for 38 of 30 s" in found


# -- what Prometheus measured ---------------------------------------------------------------------

LENGTH = 100


class FakePrometheus:
    """Answers by function: `measurement(objective, seconds)` is a value, or None where there is none."""

    def __init__(self, measurement: Callable[[str, int], float | None], **values: float):
        self._measurement = measurement
        self._values = values

    def series(self, query: str, start: float, end: float, step: float) -> list[tuple[float, float]]:
        name = next((objective.name for objective in slo.objectives() if objective.query == query), None)
        if name is None:
            return [(start, self._values[query])] if query in self._values else []
        values = {passed: self._measurement(name, passed) for passed in range(0, int(end - start) + 1, int(step))}
        return [(start + passed, value) for passed, value in values.items() if value is not None]

    def value(self, query: str) -> float | None:
        return self._values.get(query.split(":")[0])

    def range(self, _query: str, _start: float, _end: float, _step: float) -> list[Series]:
        return []


def good(name: str, _seconds: int) -> float:
    return 1.0


def write_ledgers(folder: Path, **rates: int) -> Path:
    """Ledgers of 100 s with so many messages of each event a second."""
    for event, rate in ({"acknowledged": 20, "processed": 20} | rates).items():
        (folder / f"{event}-one.jsonl").write_text("".join(
            json.dumps({"time": INJECTED + number / rate, "event": event, "id": str(number)}) + "\n"
            for number in range(LENGTH * rate)), encoding="utf-8")
    return folder


@pytest.fixture
def measure(tmp_path) -> Callable[..., Facts]:
    return partial(measure_with, write_ledgers(tmp_path))


def measure_with(folder: Path, measurement: Callable[[str, int], float | None], **values: float) -> Facts:
    values = {"client": 20.0, "sum(rate(messages_consumed_total[30s]))": 20.0} | values
    prometheus = FakePrometheus(measurement, **values)
    scenario = a_scenario(mitigated_when=[{"title": "it runs", "query": "up", "comparison": "==", "value": 1}])
    return grading_facts.measure(prometheus, scenario, INJECTED, INJECTED + LENGTH, traffic_rate=20, ledgers=lambda: folder)


def test_good_measurements_are_no_breach(measure):
    facts = measure(good, up=1)
    assert (facts.breaches, facts.impact_at, facts.last_breach_at) == ((), None, None)
    assert facts.mitigated(SCENARIO)


@pytest.mark.parametrize("name, values, worst", [
    ("availability", {20: 0.98, 22: 0.4, 40: 0.9}, 0.4), ("freshness", {20: 11, 22: 60, 40: 10.5}, 60)])
def test_a_breach_is_from_the_first_to_the_last_bad_value(measure, name, values, worst):
    [found] = measure(lambda of, seconds: values.get(seconds, 1.0) if of == name else 1.0).breaches
    assert (found.slo.name, found.first_at, found.last_at, found.worst) == (name, INJECTED + 20, INJECTED + 40, worst)


def test_a_value_just_at_its_objective_is_good(measure):
    limits = {objective.name: objective.objective for objective in slo.objectives()}
    assert measure(lambda name, _seconds: limits[name]).breaches == ()


@pytest.mark.parametrize("first, last, bad_at", [
    (30, 36, None), (30, 38, 40), (0, 8, None), (0, 10, 12),
    (92, LENGTH, None), (90, LENGTH, LENGTH), (0, LENGTH, LENGTH),
], ids=["a late scrape", "a hole", "a late start", "a hole at the start", "a late end", "a hole at the end", "nothing"])
def test_holes_in_the_measurements_are_breaches(measure, first, last, bad_at):
    facts = measure(lambda _name, seconds: None if first <= seconds <= last else 1.0, up=1)
    assert facts.last_breach_at == (INJECTED + bad_at if bad_at else None)
    assert all(breach.worst is None for breach in facts.breaches)
    assert facts.mitigated(SCENARIO) == (bad_at != LENGTH)


@pytest.mark.parametrize("values, mitigated", [
    ({"up": 1}, True), ({"up": 0}, False), ({}, False),
    ({"up": 1, "client": 10.0}, True), ({"up": 1, "client": 9.9}, False),
    ({"up": 1, "sum(rate(messages_consumed_total[30s]))": 9.9}, False),
], ids=["as needed", "otherwise", "no value", "half of the traffic", "less traffic", "less processed"])
def test_the_states_are_asked_for_and_messages_must_flow(measure, values, mitigated):
    assert measure(good, **values).mitigated(SCENARIO) == mitigated


@pytest.mark.parametrize("rates, mitigated", [
    ({}, True), ({"processed": 11}, True), ({"processed": 5}, False), ({"acknowledged": 5}, False)])
def test_the_ledgers_must_have_grown_through_the_hold(tmp_path, rates, mitigated):
    found = measure_with(write_ledgers(tmp_path, **rates), good, up=1)
    assert found.mitigated(SCENARIO) == mitigated
    assert len(found.states) == 5


def test_a_state_that_was_violated_since_the_injection_is_remembered(measure):
    assert measure(good, up=0).states[-1].was_violated
    assert not measure(good, up=1).states[2].was_violated
