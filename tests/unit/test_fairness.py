"""The proof of fairness: what a play must show to be fair, how it is kept, and what the tables say of it."""

import shutil

import pytest

from lab import slo
from lab.engine import scenario as scenarios
from lab.engine.record import Event, Run
from lab.fairness import alerts, answers, baseline, report, verdict
from lab.fairness import play as plays
from lab.fairness.play import Moment, Play
from lab.grading.facts import Breach, Facts, StateResult
from lab.grading.ledger import Account

INJECTED = 1_700_000_000.0
FOLDERS = scenarios.folders()
SCENARIO = scenarios.load(2)
OTHERS = [scenarios.load(1), scenarios.load(3)]


def moment(at: float, broken_until: float, states_hold: bool = True, detected: bool = True) -> Moment:
    """A run of scenario 2 whose first objective broke after 20 s; seconds count from the injection."""
    breach = Breach(slo.objectives()[0], INJECTED + 20, INJECTED + broken_until, 0.5)
    states = tuple(StateResult(check, check.value + (0 if states_hold else 1))
                   for check in SCENARIO.truth.mitigated_when)
    events = (Event(INJECTED + 40, "detection", {}),) if detected else ()
    return Moment(
        run=Run(1, SCENARIO.number, 3, "running", INJECTED, None, None, "", events),
        facts=Facts(INJECTED, INJECTED + at, (breach,), states),
        account=Account(acknowledged=9, processed=9, duplicated=0, dead_lettered=0, queued=0, unknown=0, lost=0, discarded=0))


def a_play(**changes) -> Play:
    """A fair one."""
    measured = {
        "scenario": SCENARIO.number, "seed": 3, "digest": plays.digest(SCENARIO.number), "began_at": INJECTED,
        "versions": {"RabbitMQ": "3.10.8"}, "alerts": {"BrokerDown": 8, "AvailabilityErrorBudgetBurn": 4},
        "nothing": moment(60, 60, states_hold=False, detected=False), "blind": moment(100, 100, states_hold=False),
        "mended": moment(200, 150), "grade": {"score": 100, "lines": []}, "exit_code": 0}
    return Play(**(measured | changes))


def said(**changes) -> str:
    return "\n".join(verdict.unfair(SCENARIO, a_play(**changes), OTHERS))


def a_scenario(truth: dict | None = None, **fields):
    """Scenario 2 with some fields changed."""
    content = SCENARIO.model_dump() | fields
    changed = type(SCENARIO).model_validate(content | {"truth": content["truth"] | (truth or {})})
    changed._folder = FOLDERS[2]
    return changed


# -- the verdict ----------------------------------------------------------------------------------


def test_a_fair_play_has_nothing_to_say():
    assert said() == ""


def test_a_play_that_stopped_says_why_and_nothing_else():
    assert said(nothing=None, blind=None, mended=None, grade=None, exit_code=None, alerts={},
                troubles=["the oracle does not mitigate it"]) == "the oracle does not mitigate it"


def test_who_does_nothing_must_not_get_the_points_for_a_mended_system():
    assert said(nothing=moment(200, 100, detected=False)).startswith("doing nothing gives 30 points: state mitigated_when")


def test_a_blind_restart_may_mend_but_without_an_answer_that_is_no_more_than_it_may_give():
    assert said(blind=moment(200, 100)) == ""


def test_a_blind_restart_that_gives_more_is_named_unless_a_restart_is_the_fix(monkeypatch):
    monkeypatch.setattr(verdict, "MOST_FOR_A_BLIND_RESTART", 39)
    assert said(blind=moment(200, 100)).startswith("restarting everything blindly gives 40 points")
    for commands, fair in ((["restart consumer"], True), ([], False), (["restart consumer", "scale consumer 2"], False)):
        fixed_so = a_scenario(oracle={"commands": commands})
        assert (verdict.unfair(fixed_so, a_play(blind=moment(200, 100)), OTHERS) == []) is fair


def test_an_alert_that_does_not_fire_is_named_and_a_slow_burn_is_one():
    assert said(alerts={"BrokerDown": 8}) == \
        "AvailabilityErrorBudgetBurn does not fire: take it out of alerts, or make the fault stronger"
    assert said(alerts={"BrokerDown": 8, f"AvailabilityErrorBudgetBurn{alerts.SLOW}": 60}) == ""


def test_an_objective_must_break_and_in_time():
    unbroken = moment(60, 60, states_hold=False, detected=False)
    unbroken = Moment(run=unbroken.run, account=unbroken.account,
                      facts=Facts(INJECTED, INJECTED + 60, (), unbroken.facts.states))
    assert said(nothing=unbroken).startswith("the fault breaks no objective")
    hasty = a_scenario(impact_within=15)
    assert verdict.unfair(hasty, a_play(), OTHERS) == [
        "the first objective breaks after 20 s: raise impact_within (15 s)"]


def test_another_scenarios_answer_that_passes_is_named():
    [sentence] = verdict.unfair(SCENARIO, a_play(), [*OTHERS, SCENARIO, _twin()])
    assert sentence == ("who mends it and gives the answer of scenario 1 (process-down at broker) gets 100 points, "
                        "and passes with 70")


def _twin():
    """Another scenario with the same truth."""
    twin = a_scenario()
    twin._folder = FOLDERS[1]
    return twin


def test_near_answers_get_what_the_scenario_states():
    assert [answer for answer, _lost in answers.near_misses(SCENARIO)]
    right = verdict.answer_points(verdict.grade(SCENARIO, a_play().mended, answers.truth(SCENARIO)))
    for answer, lost in answers.near_misses(SCENARIO):
        assert verdict.answer_points(verdict.grade(SCENARIO, a_play().mended, answer)) == right - lost < right


def test_an_oracle_that_scores_too_little_says_where_it_lost_points():
    line = {"title": "Speed", "points": 3, "out_of": 10, "evidence": "solved 700 s after"}
    assert said(grade={"score": 93, "lines": [line]}) == \
        "the oracle scores 93 points, 95 are needed: Speed 3 of 10 (solved 700 s after)"
    assert "exit code 3" in said(exit_code=3)


@pytest.mark.parametrize("again, steady", [(97, True), (96, False), (None, True)])
def test_the_same_play_gets_the_same_points(again, steady):
    second = a_play(grade={"score": again, "lines": []} if again else None)
    assert (verdict.unsteady([a_play(), second]) == []) is steady


def test_a_signal_in_an_honest_run_is_named():
    assert said(tampering=[]) == ""
    assert said(tampering=["the ledger was edited"]) == \
        "the honest run of the oracle shows a tampering signal: the ledger was edited"


def test_a_trick_that_passes_is_named():
    assert said(attacks={"silence": moment(60, 60, states_hold=False)}, attacked={"pass": False}) == ""
    assert said(attacks={"silence": moment(200, 100)}) == "who mitigates nothing passes by a trick (silence), with 100 points"
    assert said(attacked={"pass": True}) == "who mitigates nothing passes by all tricks together"


# -- what is kept ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Scenarios 1 to 3 only, and plays that are kept apart from those of the repository."""
    for number in (1, 2, 3):
        shutil.copytree(FOLDERS[number], tmp_path / "scenarios" / FOLDERS[number].name)
    monkeypatch.setattr(scenarios, "FOLDER", tmp_path / "scenarios")
    monkeypatch.setattr(plays, "FOLDER", tmp_path / "proof")
    return tmp_path / "scenarios" / FOLDERS[2].name


def test_a_play_is_kept_whole_until_its_scenario_changes(folder):
    assert plays.kept(2, 1) is None
    plays.keep(a_play(), 1)
    assert plays.kept(2, 1) == a_play() and plays.kept(2, 2) is None
    path = folder / "scenario.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
    assert plays.kept(2, 1) is None


def test_a_play_that_is_damaged_or_forgotten_is_not_there(folder):
    plays.keep(a_play(), 1)
    plays.forget(2, 1)
    assert plays.kept(2, 1) is None
    plays.keep(a_play(), 1)
    [file] = plays.FOLDER.rglob("*.json")
    file.write_text(file.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    assert plays.kept(2, 1) is None


# -- the tables -----------------------------------------------------------------------------------


def test_the_table_has_a_row_a_scenario_and_the_matrix_every_answer(folder):
    examined = a_play(blind=None, seed=77, is_exam=True, tampering=[], grade={"score": 98, "lines": []})
    cheated = a_play(blind=None, nothing=None, mended=None, grade=None, exit_code=None, alerts={}, attacked={
        "score": 0, "verdict": "void", "pass": False}, attacks={"silence": moment(60, 60, states_hold=False)})
    text = report.content({1: {}, 2: {1: examined, 2: a_play(), 3: cheated}, 3: {}})
    assert ("| 2 | Nothing goes through | 100 | 98 | none | 0 | 10 | 60 (silence); all: 0, void | "
            "50, of 1 (latency at consumer-link) | 2 of 2 | 20 s | fair |") in text
    assert "| 1 | Messages arrive late |  |  |  |  |  |  |  |  |  | not played |" in text
    assert "\n| 2 | 50 | **100** | 50 |\n" in text
    assert "Nothing that was played." in text
    assert "3 plays with seed 3 (exams with what their keys drew), from 2023-11-14 to 2023-11-14: RabbitMQ 3.10.8." in text


def test_what_is_unfair_is_listed_once_and_a_pass_alone_proves_no_steadiness(folder):
    unfair = a_play(exit_code=3)
    text = report.content({2: {1: unfair, 2: unfair}})
    assert text.count("- 2: the run of the oracle ends with exit code 3") == 1
    assert "| **1 unfair** |" in text
    assert "| fair in 1 of 3 passes |" in report.content({2: {1: a_play()}})
    assert "| **1** |" in report.content({2: {1: a_play(tampering=["edited"])}})


def test_a_pass_that_was_not_played_is_no_proof(folder):
    plays.keep(a_play(), 1)
    assert report.verdict_on(2, (1, 2, 3)) == ["pass 2 has not been played", "pass 3 has not been played"]
    assert report.verdict_on(2, (1,)) == []


def test_the_table_of_alerts_keeps_the_columns_that_were_not_seen_anew(tmp_path, monkeypatch):
    table = alerts.TABLE.read_text(encoding="utf-8")
    monkeypatch.setattr(alerts, "FOLDER", tmp_path)
    assert alerts._written(alerts.table()) == alerts._written(table) != {}
    alerts.note("2", "Seen anew", {"BrokerDown": 7.6}, ["BrokerDown"])
    [row] = [line for line in alerts.table().splitlines() if line.startswith("| BrokerDown ")]
    assert "| **8** |" in row
    assert "- 2: Seen anew" in alerts.table() and "- A: " in alerts.table()


# -- the baseline ---------------------------------------------------------------------------------


def test_what_a_reset_left_is_named_part_by_part():
    before = {"user": {"admin": ["administrator"]}, "link": {"producer-link": ["enabled"]}, "queue": {}}
    after = {"user": {"admin": ["administrator"], "importer": [""]}, "link": {"producer-link": ["disabled"]}, "queue": {}}
    assert baseline.differences(before, before) == []
    assert baseline.differences(before, after) == [
        "user importer was not there, and is ['']",
        "link producer-link was ['enabled'], and is ['disabled']"]
