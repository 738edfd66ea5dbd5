"""A grade is completed by the ids that the reset found, and only where it was not certain."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lab import slo
from lab.engine import completion, reports, view
from lab.engine import scenario as scenarios
from lab.engine.record import Records, Run
from lab.exam import exam as exams
from lab.exam import signature
from lab.exam.exam import Exam
from lab.exam.key import Key
from lab.grading import report, rubric
from lab.grading.facts import Breach, Facts
from lab.grading.ledger import Account
from lab.grading.measurements import Measurements
from lab.settings import LabSettings
from lab.stack.native.stack import NativeStack

SCENARIO = scenarios.load(1)
RIGHT = [{"component": finding.component, "cause": finding.cause} for finding in SCENARIO.truth.findings]
WRONG = [{"component": "partner", "cause": "process-down"}]
UNKNOWN = Account(acknowledged=3, processed=1, duplicated=0, dead_lettered=0, queued=0, unknown=2, lost=0, discarded=0)
CERTAIN = replace(UNKNOWN, processed=3, unknown=0)
KEY = Key(bytes(32))


@pytest.fixture(autouse=True)
def fresh(monkeypatch) -> io.StringIO:
    """No exam and no grade from another test; returns what the terminal shows."""
    shown = io.StringIO()
    monkeypatch.setattr(completion, "_published", None)
    monkeypatch.setattr(exams, "_held", None)
    monkeypatch.setattr(view, "_current", view.View(Console(file=shown, width=200)))
    return shown


@pytest.fixture
def settings(tmp_path: Path) -> LabSettings:
    return LabSettings(_env_file=None, lab_run_dir=tmp_path / "run", lab_reports_dir=tmp_path / "reports")


def graded(settings: LabSettings, account: Account, findings: list[dict] = RIGHT, sealed: bool = False) -> Run:
    """A run with an answer, graded and published."""
    records = Records(settings.run_dir)
    run = records.begin(1, 7, "")
    if sealed:
        records.add(run.id, "exam", sealed="…", brief="", time_limit=600)
    for kind, data in (("injected", {}), ("submission", {"findings": findings, "notes": ""})):
        records.add(run.id, kind, **data)
    run = records.get(run.id)
    breach = Breach(slo.objectives()[0], run.injected_at + 5, run.injected_at + 20, 0.5)
    facts = Facts(run.injected_at, run.injected_at + 100, (breach,), ())
    grade = rubric.grade(SCENARIO, run, facts, account)
    records.add(run.id, "graded", score=grade.score)
    records.set_state(run.id, "graded")
    run = records.get(run.id)
    evidence = {"tampering": [], "sources": {"commit": None}}
    about = {"candidate": "Ada", "minutes": 10, "seed": 1, "tier": None, "scenario_seed": 7} if sealed else None
    content = report.content(SCENARIO, run, grade, facts, account, Measurements((), ()), evidence, about)
    completion.publish(settings, run, content)
    return run


def ledgers(settings: LabSettings, run: Run, *found: str) -> None:
    """Three messages are acknowledged, the first is processed; the stocktaking found some."""
    def write(name: str, *entries: dict, at: float = run.injected_at) -> None:
        with (settings.ledger_dir / name).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"time": at, "process": "p", "seq": 1} | entry) + "\n" for entry in entries)

    settings.ledger_dir.mkdir(parents=True, exist_ok=True)
    write("acknowledged-load.jsonl", *({"event": "acknowledged", "id": one} for one in "abc"))
    write("processed-consumer-1.jsonl", {"event": "processed", "id": "a"})
    write("stocktaking.jsonl", *({"event": "found", "id": one, "queue": "messages"} for one in found),
          at=run.last("graded").time + 1)


def complete(settings: LabSettings, run: Run) -> dict:
    completion.complete(settings, NativeStack(settings), Records(settings.run_dir), run)
    return reports.read_grade(settings, run)


def integrity(content: dict) -> dict:
    return next(line for line in content["grade"]["lines"] if line["title"] == "Integrity")


def test_what_was_unknown_and_is_found_keeps_the_points(settings, fresh):
    run = graded(settings, UNKNOWN)
    before = reports.read_grade(settings, run)
    ledgers(settings, run, "b", "c")
    after = complete(settings, run)
    assert (after["ledger"]["queued"], after["ledger"]["unknown"], after["ledger"]["lost"]) == (2, 0, 0)
    assert after["grade"]["score"] == before["grade"]["score"] and integrity(after)["points"] == 10
    assert "Integrity: 10 of 10" in fresh.getvalue() and "instead of" not in fresh.getvalue()


def test_what_was_unknown_and_is_not_found_is_lost_everywhere(settings, fresh):
    run = graded(settings, UNKNOWN)
    before = reports.read_grade(settings, run)["grade"]["score"]
    ledgers(settings, run, "b", "junk")
    after = complete(settings, run)
    assert (after["ledger"]["lost"], after["ledger"]["lost_examples"]) == (1, ["c"])
    assert after["grade"]["score"] == before - 10 and after["grade"]["pass"] == (before - 10 >= rubric.PASS)
    assert [event["data"]["score"] for event in after["timeline"] if event["kind"] == "graded"] == [before - 10]
    assert Records(settings.run_dir).get(run.id).last("completed").data == {"score": before - 10}
    page = (reports.folder(settings, run) / "report.html").read_text(encoding="utf-8")
    assert "1 lost" in page and f"{before - 10} of 100" in page
    assert f"Score: {before - 10} of 100 instead of {before}" in fresh.getvalue()


def test_a_certain_grade_is_not_written_again(settings, fresh):
    run = graded(settings, CERTAIN)
    path = reports.folder(settings, run) / "grade.json"
    before = path.stat().st_mtime_ns
    ledgers(settings, run)
    complete(settings, run)
    assert path.stat().st_mtime_ns == before and not fresh.getvalue()
    assert Records(settings.run_dir).get(run.id).last("completed") is None


def test_another_process_completes_the_grade_of_an_engine_that_was_killed(settings, monkeypatch):
    run = graded(settings, UNKNOWN)
    monkeypatch.setattr(completion, "_published", None)
    ledgers(settings, run)
    assert complete(settings, run)["ledger"]["lost"] == 2


def test_what_is_edited_between_grade_and_reset_does_not_count(settings):
    run = graded(settings, UNKNOWN)
    path = reports.folder(settings, run) / "grade.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Integrity", "Bribe"), encoding="utf-8")
    ledgers(settings, run, "b", "c")
    assert integrity(complete(settings, run))


def test_what_was_noted_as_found_before_the_grade_does_not_count(settings):
    settings.ledger_dir.mkdir(parents=True)
    forged = {"time": time.time() + 3600, "event": "found", "id": "b", "queue": "messages"}
    (settings.ledger_dir / "stocktaking.jsonl").write_text(json.dumps(forged) + "\n", encoding="utf-8")
    run = graded(settings, UNKNOWN)
    ledgers(settings, run, "c")
    assert complete(settings, run)["ledger"]["lost_examples"] == ["b"]


def test_an_exam_is_signed_again_by_its_engine(settings):
    exams.hold(Exam(candidate="Ada", minutes=10, seed=1, tier=None, scenario_number=1, scenario_seed=7, delay=10), "…", KEY)
    run = graded(settings, UNKNOWN, sealed=True)
    ledgers(settings, run)
    after = complete(settings, run)
    page = (reports.folder(settings, run) / "report.html").read_text(encoding="utf-8")
    assert after["ledger"]["lost"] == 2
    assert signature.problems(after, page, KEY.public) == []


def test_an_exam_whose_engine_is_gone_stays_as_it_was_signed(settings, monkeypatch, fresh):
    exams.hold(Exam(candidate="Ada", minutes=10, seed=1, tier=None, scenario_number=1, scenario_seed=7, delay=10), "…", KEY)
    run = graded(settings, UNKNOWN, sealed=True)
    monkeypatch.setattr(completion, "_published", None)
    monkeypatch.setattr(exams, "_held", None)
    ledgers(settings, run)
    assert complete(settings, run)["ledger"]["unknown"] == 2
    assert "2 messages unknown" in fresh.getvalue()


def line(title: str, points: int, out_of: int) -> rubric.Line:
    return rubric.Line(title, points, out_of, "")


@pytest.mark.parametrize("localization, root_cause, lost, score", [
    (20, 20, 3, 90), (20, 20, 0, 100), (20, 10, 0, 69), (20, 10, 3, 69), (20, 0, 3, 69), (0, 0, 3, 50),
])
def test_the_limit_for_a_wrong_answer_is_drawn_again(localization, root_cause, lost, score):
    lines = (line("Detection", 10, 10), line("Localization", localization, 20), line("Root cause", root_cause, 20),
             line("Mitigation", 30, 30), line("Integrity", 10, 10), line("Speed", 10, 10), line("Not the answer", -5, 0))
    account = replace(CERTAIN, lost=lost)
    assert rubric.completed(rubric.Grade(lines, None, None), account, acted=True).score == score
