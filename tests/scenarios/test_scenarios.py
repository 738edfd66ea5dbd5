"""Some scenarios, played on one lab, one after the other: nothing is unfair. `make scenarios-proof` plays them all."""

import json
from collections.abc import Iterator

import pytest

from lab.engine import scenario as scenarios
from lab.fairness import alerts, player, proof, verdict
from lab.fairness.play import Play
from tests.conftest import Lab, private_lab

# A bad link, a dead process, and nothing at all; test_integrity.py plays two more.
NUMBERS = [1, 2, 17]


@pytest.fixture(scope="module")
def one_lab(tmp_path_factory) -> Iterator[Lab]:
    with private_lab(tmp_path_factory.mktemp("scenarios")) as lab:
        yield lab


@pytest.fixture(scope="module", params=NUMBERS, ids=lambda number: f"scenario-{number}")
def played(request, one_lab: Lab) -> Play:
    """A play without the blind restart."""
    return player.play(request.param, proof.SEED, blind=False, progress=print)


def test_nothing_is_unfair(played: Play):
    scenario = scenarios.load(played.scenario, played.seed)
    assert verdict.unfair(scenario, played, verdict.rivals(played.seed)) == []
    alerts.note(str(scenario.number), scenario.title, played.alerts, scenario.alerts)


def test_the_run_leaves_a_page_and_a_journal(played: Play, one_lab: Lab):
    [folder] = one_lab.settings.reports_dir.glob(f"*-scenario-{played.scenario}")
    content = json.loads((folder / "grade.json").read_text(encoding="utf-8"))
    assert content["grade"] == played.grade
    assert [bool(curve["points"]) for curve in content["curves"] if curve["objective"] is not None] == [True] * 3
    assert json.loads((folder / "journal.json").read_text(encoding="utf-8"))["status"] == "completed"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 1
    assert page.count('class="curve" points="') >= 3
