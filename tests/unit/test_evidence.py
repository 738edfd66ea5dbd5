"""The watch over the evidence: tampering is reported, and what is usual is not."""

import subprocess
from dataclasses import replace

import pytest

from lab.engine.record import Event, Records
from lab.evidence import files, metrics
from lab.evidence.ledgers import LedgerWatch
from lab.evidence.record import RecordWatch
from lab.evidence.signal import Signal
from lab.prometheus import Series

# -- ledgers --------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "processed-consumer-1.jsonl"
    path.write_text("one\ntwo\n", encoding="utf-8")
    return path


def watched(ledger) -> LedgerWatch:
    """It has looked twice, and the ledger has grown since."""
    watch = LedgerWatch()
    watch.look(ledger.parent)
    for line in ("three\n", "four\n"):
        with ledger.open("a", encoding="utf-8") as file:
            file.write(line)
        if line == "three\n":
            watch.look(ledger.parent)
    return watch


def test_a_ledger_that_grows_is_usual(ledger):
    watch = watched(ledger)
    assert watch.signals(ledger.parent) == []
    digests = watch.digests()[ledger.name]
    assert (digests["first"]["bytes"], digests["last"]["bytes"]) == (8, 14)


@pytest.mark.parametrize(("change", "told"), [
    (lambda path: path.unlink(), "was removed"),
    (lambda path: path.write_text("one\n", encoding="utf-8"), "was shortened, from 14 to 4 bytes"),
    (lambda path: path.write_text("ONE\ntwo\nthree\nfour\n", encoding="utf-8"), "was edited, between byte 0 and byte 8"),
    (lambda path: path.write_text("one\ntwo\nTHREE\nfour\n", encoding="utf-8"), "was edited, between byte 8 and byte 14"),
])
def test_a_ledger_that_was_touched_is_told(ledger, change, told):
    watch = watched(ledger)
    change(ledger)
    assert watch.signals(ledger.parent) == [Signal(f"the ledger {ledger.name} {told}")]


def test_an_edit_shows_though_the_watch_looked_again_after_it(ledger):
    watch = watched(ledger)
    ledger.write_text("ONE\ntwo\nthree\nfour\n", encoding="utf-8")
    watch.look(ledger.parent)
    assert watch.signals(ledger.parent)


# -- the record -----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    records = Records(tmp_path)
    run = records.begin(1, 7, "A=1\n")
    records.add(run.id, "injected")
    return records, records.get(run.id)


def test_events_that_are_entered_as_they_happen_are_usual(run):
    records, first = run
    watch = RecordWatch(first)
    records.add(first.id, "detection")
    records.take_over(first.id)
    records.set_state(first.id, "graded")
    watch.look(records.get(first.id))
    watch.look(records.get(first.id))
    assert watch.signals() == []


@pytest.mark.parametrize(("change", "told"), [
    (lambda run: replace(run, settings_before="A=2\n"), "row of this run was edited"),
    (lambda run: replace(run, seed=8), "row of this run was edited"),
    (lambda run: replace(run, events=()), "edited or removed"),
    (lambda run: replace(run, events=(replace(run.events[0], time=run.injected_at + 60),)), "edited or removed"),
    (lambda run: replace(run, events=(*run.events, Event(run.injected_at - 60, "detection", {}))),
     "the event 'detection' says"),
])
def test_a_record_that_was_edited_is_told_once(run, change, told):
    _records, first = run
    watch = RecordWatch(first)
    watch.look(change(first))
    watch.look(change(first))
    [signal] = watch.signals()
    assert told in signal.text and signal.voids


# -- sources --------------------------------------------------------------------------------------


def test_files_that_changed_are_named_folder_by_folder(tmp_path):
    for name in ("lab/one.py", "lab/two.py", *(f"scenarios/{letter}" for letter in "abcd"), "locustfile.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    before = files.digests(tmp_path)
    assert files.signals(before, files.digests(tmp_path)) == []
    (tmp_path / "lab" / "one.py").write_text("other", encoding="utf-8")
    (tmp_path / "locustfile.py").unlink()
    for name in "abcd":
        (tmp_path / "scenarios" / name).unlink()
    assert files.signals(before, files.digests(tmp_path)) == [
        Signal("files changed during the run: lab/one.py"),
        Signal("files changed during the run: scenarios/a, scenarios/b, scenarios/c and 1 more"),
        Signal("files changed during the run: locustfile.py")]


def git(folder, *words: str) -> str:
    done = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=folder, check=True,
                          capture_output=True, encoding="utf-8")
    return done.stdout.strip()


def test_the_commit_is_told_and_whether_the_sources_differ_from_it(tmp_path):
    assert files.commit(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "one").write_text("one", encoding="utf-8")
    git(tmp_path, "add", "one")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "tag", "a-tag")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert files.commit(tmp_path) == commit
    (tmp_path / "one").write_text("other", encoding="utf-8")
    assert files.commit(tmp_path) == f"{commit}-dirty"
    inside = tmp_path / "inside"
    inside.mkdir()
    assert files.commit(inside) is None  # another project's repository


def test_a_checkout_of_another_user_has_its_commit(tmp_path, monkeypatch):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # of git's own test suite
    assert files.commit(tmp_path) == commit


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    assert files.commit(tmp_path) is None  # git finds no repository
    monkeypatch.setenv("PATH", "")
    assert files.commit(tmp_path) is None


# -- the judge ------------------------------------------------------------------------------------


class Measured:
    """Stands for the judge: when it scraped."""

    def __init__(self, *scrapes: float):
        self._scrapes = scrapes

    def range(self, _query: str, _start: float, _end: float, _step: float) -> list[Series]:
        return [Series({}, [(moment, moment) for moment in self._scrapes])]


def test_a_judge_that_measures_all_the_time_is_usual():
    assert metrics.signals(Measured(*range(1000, 1100, 2)), 1000, 1100) == []


def test_a_hole_in_the_measurements_is_reported_and_proves_nothing():
    [hole] = metrics.signals(Measured(*(moment for moment in range(1000, 1100, 2) if not 1030 < moment < 1060)), 1000, 1100)
    assert hole.text.startswith("the judge measured nothing from") and not hole.voids
