"""Exams: the draw, the seal, the signature, and what holds the truth."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from lab.engine import experiment
from lab.engine import scenario as scenarios
from lab.engine.record import Event, Run
from lab.errors import LabError
from lab.exam import exam as exams
from lab.exam import signature
from lab.exam.commands import exam as commands
from lab.exam.exam import draw
from lab.exam.key import Key, PublicKey

KEY, OTHER = Key(b"a" * 32), Key(b"b" * 32)
SEEDS = range(1000)
CONTENT = {"grade": {"score": 50, "ratio": 0.1}, "answer": None, "exam": {"candidate": "Zoë"}}
PAGE = "<p>50</p>"


@pytest.fixture
def nothing_held(monkeypatch):
    monkeypatch.setattr(exams, "_held", None)


def drawn(key: Key) -> list[tuple[int, int]]:
    return [(one.scenario_number, one.scenario_seed) for one in (draw(key, "Ada", 45, seed, None) for seed in SEEDS)]


def run_of(sealed: str) -> Run:
    return Run(1, 0, 0, "running", 990.0, None, None, "", (Event(990.0, "exam", {"sealed": sealed}),))


# -- the draw -------------------------------------------------------------------------------------


def test_the_same_key_and_seed_draw_the_same_exam():
    assert drawn(KEY) == drawn(Key(b"a" * 32))
    assert draw(KEY, "Ada", 45, 7, None).scenario_seed == draw(KEY, "Bob", 90, 7, None).scenario_seed


def test_another_key_draws_others():
    assert drawn(KEY) != drawn(OTHER)


def test_every_scenario_can_be_drawn():
    assert {number for number, _seed in drawn(KEY)} == set(scenarios.folders())


def test_a_tier_limits_the_draw():
    assert {draw(KEY, "Ada", 45, seed, 1).scenario.tier for seed in range(5)} == {1}


def test_without_a_seed_one_is_chosen():
    assert draw(KEY, "Ada", 45, None, None).seed != draw(KEY, "Ada", 45, None, None).seed


def test_its_minutes_are_the_time_limit():
    exam = draw(KEY, "Ada", 30, 7, None)
    assert exam.scenario.time_limit == 1800
    assert exam.scenario.brief == scenarios.load(exam.scenario_number).brief


# -- the seal -------------------------------------------------------------------------------------


def test_a_sealed_exam_tells_nothing_and_only_its_key_opens_it():
    exam = draw(KEY, "Ada", 45, 7, None)
    token = exams.sealed(exam, KEY)
    assert "Ada" not in token and "scenario" not in token
    assert exams.opened(token, KEY) == exam
    for wrong in (lambda: exams.opened(token, OTHER), lambda: exams.opened(token[:-8] + "AAAAAAA=", KEY)):
        with pytest.raises(LabError, match="another key"):
            wrong()


def test_only_who_holds_an_exam_knows_its_scenario_and_needs_no_file_for_it(nothing_held, monkeypatch, tmp_path):
    exam = draw(KEY, "Ada", 45, 7, None)
    token = exams.sealed(exam, KEY)
    with pytest.raises(LabError, match="only the interviewer's key"):
        exams.scenario_of(run_of(token))
    exams.hold(exam, token, KEY)
    _ = exam.scenario
    monkeypatch.setattr(scenarios, "FOLDER", tmp_path / "taken-away")
    scenario = exams.scenario_of(run_of(token))
    assert scenario.number == exam.scenario_number
    assert scenario.brief.startswith("# The page")


@pytest.mark.parametrize("number", scenarios.folders())
def test_its_experiment_tells_no_more_than_the_page(number):
    scenario = scenarios.load(number, 3)
    compiled = experiment.compile_exam(scenario)
    injections = [step["provider"]["arguments"] for step in compiled["method"] if step["name"].startswith("inject-")]
    assert injections == [{"index": index} for index, _fault in enumerate(scenario.faults, 1)]
    text = json.dumps(compiled | {"description": ""})
    assert not [secret for secret in (scenario.name, scenario.title, f"tier-{scenario.tier}") if secret in text]


def test_the_memory_of_its_engine_is_closed():
    code = "from lab.exam import memory; memory.close(); assert memory.is_closed()"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the signature --------------------------------------------------------------------------------


def test_what_was_signed_is_valid_after_a_round_trip():
    content = json.loads(json.dumps(signature.signed(CONTENT, PAGE, KEY), indent=2))
    assert signature.problems(content, PAGE, PublicKey(KEY.public.text)) == []
    assert signature.problems(content, None, KEY.public) == []


@pytest.mark.parametrize(("change", "problem"), [
    (lambda content: content["grade"].update(score=100), ["grade was changed"]),
    (lambda content: content.update(answer={}), ["answer was changed"]),
    (lambda content: content.update(more=1), ["more was added"]),
    (lambda content: content.pop("exam"), ["exam was removed"]),
    (lambda content: content.pop("signature"), ["there is no signature"]),
    (lambda content: content.update(signature="x"), ["there is no signature"]),
    (lambda content: content["signature"]["sections"].update(grade="0"),
     ["the signature is not of this key, or was edited"]),
    (lambda content: content["signature"].update(value="no base 64"),
     ["the signature is not of this key, or was edited"]),
])
def test_a_change_shows_and_where(change, problem):
    content = signature.signed(json.loads(json.dumps(CONTENT)), PAGE, KEY)
    change(content)
    assert signature.problems(content, PAGE, KEY.public) == problem


def test_a_changed_page_shows():
    assert signature.problems(signature.signed(CONTENT, PAGE, KEY), "<p>100</p>", KEY.public) == \
        ["report.html was changed"]


def test_a_report_that_somebody_else_signed_is_not_valid():
    assert signature.problems(signature.signed(CONTENT, PAGE, OTHER), PAGE, KEY.public)


# -- keys -----------------------------------------------------------------------------------------


def test_a_key_is_for_its_owner_alone_and_is_never_replaced(tmp_path):
    path = tmp_path / "folder" / "key"
    key = Key.create(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert Key.read(path).public.text == key.public.text
    with pytest.raises(LabError, match="is not replaced"):
        Key.create(path)


@pytest.mark.parametrize("text", ["", "short", "no base 64 at all!", "x" * 60])
def test_what_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match="holds? no key"):
        Key.read(path)
    with pytest.raises(LabError, match="no public key"):
        PublicKey(text)


@pytest.mark.parametrize("arguments", [[], ["--candidate", " "], ["--candidate", "two\nlines"]])
def test_an_exam_needs_a_candidate(arguments):
    result = CliRunner().invoke(commands, ["start", *arguments])
    assert "CANDIDATE=" in str(result.exception)


@pytest.mark.parametrize("minutes", ["4", "241", "soon"])
def test_an_exam_has_bounds(minutes):
    result = CliRunner().invoke(commands, ["start", "--candidate", "Ada", "--minutes", minutes])
    assert result.exit_code == 2 and "--minutes" in result.output
