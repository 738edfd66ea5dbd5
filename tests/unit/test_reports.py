"""The folder of reports: listed, compared, and what is no report told and skipped."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from lab import cli, reports_view
from lab.engine import candidate, reports
from lab.errors import LabError

LINES = {"Detection": 10, "Localization": 20, "Root cause": 20}


def put(folder: Path, name: str = "one", candidate: str | None = "Ada", score: int = 50, started_at: float = 1e9,
        seed: int = 7, scenario: int = 2, hints: int = 0, exam: dict | None = None, **more: object) -> Path:
    path = folder / name / "grade.json"
    path.parent.mkdir()
    lines = LINES | {f"Hint {number}": -5 for number in range(1, hints + 1)}
    path.write_text(json.dumps({
        "scenario": {"number": scenario, "title": "Nothing goes through"},
        "run": {"seed": seed, "started_at": started_at}, "candidate": candidate, "exam": exam,
        "grade": {"score": score, "pass": score >= 70,
                  "lines": [{"title": title, "points": points} for title, points in lines.items()]},
        "incident": {"time_to_detect": 11.0, "time_to_restore": None},
        "timeline": [{"kind": "hint"}] * hints} | more), encoding="utf-8")
    return path


def listed(folder: Path, *options: str, monkeypatch) -> str:
    monkeypatch.setenv("LAB_REPORTS_DIR", str(folder))
    monkeypatch.setenv("ENV_FILE", str(folder / "no-env"))
    done = CliRunner().invoke(cli.main, ["reports", *options], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """What `lab reports` prints for the reports in the test's folder."""
    monkeypatch.setattr(cli, "console", Console(width=120, highlight=False))
    return lambda *options: listed(tmp_path, *options, monkeypatch=monkeypatch)


def test_the_newest_is_first(tmp_path):
    put(tmp_path, "a", started_at=1e9)
    put(tmp_path, "b", started_at=2e9, candidate=None, hints=2)
    new, old = reports.summaries(tmp_path)
    assert (new.folder, new.candidate, new.hints, new.lines["Hint 2"]) == (tmp_path / "b", None, 2, -5)
    assert (old.candidate, old.score, old.verdict, old.time_to_detect, old.time_to_restore) == ("Ada", 50, "fail", 11, None)


def test_without_a_folder_there_are_none(tmp_path, shown):
    assert reports.summaries(tmp_path / "missing") == []
    assert "no such report" in shown()


def test_an_exam_names_its_candidate_and_a_report_from_before_there_were_times_is_listed(tmp_path):
    path = put(tmp_path, exam={"candidate": "Zoë"})
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["candidate"], content["incident"]
    path.write_text(json.dumps(content), encoding="utf-8")
    [one] = reports.summaries(tmp_path)
    assert (one.candidate, one.is_exam, one.time_to_detect) == ("Zoë", True, None)


@pytest.mark.parametrize("damaged", [
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b"[" * 100_000, b'{"grade": 1, "run": 2, "scenario": 3, "exam": 4}'],
    ids=range(9))
def test_what_is_no_report_is_told_in_a_line_and_skipped(tmp_path, damaged):
    put(tmp_path, "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "grade.json").write_bytes(damaged)
    told = []
    assert len(reports.summaries(tmp_path, told.append)) == 1
    [line] = told
    assert "bad/grade.json is skipped" in line and "\n" not in line


@pytest.mark.parametrize("more", [
    {"run": {"seed": 7, "started_at": 1e300}}, {"run": {"seed": "seven", "started_at": 1e9}}, {"candidate": "a\x1b[31mb"},
    {"timeline": None}, {"grade": {"score": float("nan"), "pass": True, "lines": []}},
    {"incident": {"time_to_detect": float("inf"), "time_to_restore": None}}, {"incident": []}], ids=range(7))
def test_what_cannot_be_shown_is_skipped(tmp_path, more):
    put(tmp_path, **more)
    told = []
    assert reports.summaries(tmp_path, told.append) == []
    assert len(told) == 1


def test_a_folder_in_place_of_the_file_and_a_name_that_is_no_text_are_skipped(tmp_path, shown):
    (tmp_path / "folder" / "grade.json").mkdir(parents=True)
    put(Path(os.fsdecode(os.fsencode(tmp_path))), os.fsdecode(b"no-text-\xff"))
    assert shown().count("is skipped") == 2


def test_the_list_can_be_filtered(tmp_path, shown):
    put(tmp_path, "a", candidate="Ada Lovelace", seed=7)
    put(tmp_path, "b", candidate="Bob [red]", seed=8)
    put(tmp_path, "c", candidate=None, scenario=3)
    assert "Ada Lovelace" in shown() and "Bob [red]" in shown()
    assert "Bob" not in shown("--candidate", "ada") and "Ada" in shown("--candidate", "ada")
    assert [one["seed"] for one in json.loads(shown("--scenario", "2", "--seed", "8", "--json"))] == [8]
    assert json.loads(shown("--scenario", "99", "--json")) == []


def test_candidates_are_compared_on_the_same_scenario_and_seed_only(tmp_path, shown):
    put(tmp_path, "a", candidate="Ada", score=50)
    put(tmp_path, "b", candidate="Bob", score=80, hints=1)
    put(tmp_path, "c", candidate="Eve", seed=8)
    [(seven, first), (eight, second)] = reports.comparable(reports.summaries(tmp_path)).items()
    assert (seven, [one.candidate for one in first]) == ((2, 7), ["Bob", "Ada"])  # the best first
    assert (eight, [one.candidate for one in second]) == ((2, 8), ["Eve"])
    together, apart = shown("--compare").split("seed 8")
    for row in (r"Bob +Ada", r"Localization +20 +20", r"Hint 1 +-5", r"total +80 +50", r"pass +fail", r"MTTD +11 s +11 s",
                r"MTTR +— +—", r"hints +1 +0"):
        assert re.search(row, together), row
    assert "Eve" in apart and "Eve" not in together


def test_a_usual_terminal_is_wide_enough_for_the_list(tmp_path):
    put(tmp_path, candidate="Ada Lovelace", seed=999999, started_at=1.7e9)
    console = Console(width=80, record=True)
    console.print(reports_view.table(reports.summaries(tmp_path)))
    _head, line = console.export_text().splitlines()
    assert all(part in line for part in ("999999", "Ada Lovelace", "fail", "00:11"))


def test_more_candidates_than_fit_get_further_tables(tmp_path):
    for number in range(7):
        put(tmp_path, str(number), candidate=f"candidate {number}")
    tables = list(reports_view.comparison(reports.summaries(tmp_path), width=80))
    assert [len(table.columns) - 1 for table in tables] == [3, 3, 1]
    assert len(list(reports_view.comparison(reports.summaries(tmp_path), width=10))) == 7


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "\x1b[31m", "a\u202eb", "x" * 101, "\udcff"])
def test_a_name_that_cannot_be_shown_is_refused(name):
    with pytest.raises(LabError, match="CANDIDATE="):
        candidate.checked(name)


@pytest.mark.parametrize("name", ["Ada Lovelace", "Zoë [bold] O'Neil \\", "李"])
def test_any_other_name_is_taken(name):
    assert candidate.checked(name) == name
