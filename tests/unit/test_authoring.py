"""New scenarios: the folder that is written is valid, nothing is overwritten, and the guide names what there is."""

from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from lab import cli
from lab.engine import scenario as scenarios
from lab.errors import LabError
from lab.fairness import authoring
from lab.faults import Fault

GUIDE = scenarios.FOLDER / "AUTHORING.md"
KINDS = [get_args(fault.model_fields["kind"].annotation)[0] for fault in get_args(get_args(Fault)[0])]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(scenarios, "FOLDER", tmp_path)
    return tmp_path


def test_the_first_scenario_is_number_1_and_the_next_comes_after_the_last(folder):
    assert authoring.new_scenario("slow-disk", None, 1).name == "01-slow-disk"
    (folder / "01-slow-disk").rename(folder / "07-slow-disk")
    assert authoring.new_scenario("other", None, 1).name == "08-other"


def test_what_is_written_is_valid_and_says_what_was_asked_for(folder):
    number = authoring.find(authoring.new_scenario("a-b", 'It is "slow": # now', 3).name)
    scenario = scenarios.load(number, seed=5)
    assert (scenario.title, scenario.tier) == ('It is "slow": # now', 3)
    assert authoring.unfair_text(scenario) == []
    assert scenarios.load(authoring.find(authoring.new_scenario("what-is-it", None, 1).name)).title == "What is it"


@pytest.mark.parametrize("name", ["", "Slow", "slow disk", "../slow", "slow_disk", "-slow", "slow-", "a--b", "langsamé"])
def test_a_bad_name_is_refused(folder, name):
    with pytest.raises(LabError, match="is no name for a folder"):
        authoring.new_scenario(name, None, 1)
    assert list(folder.iterdir()) == []


def test_a_name_that_is_taken_is_refused_and_nothing_is_overwritten(folder):
    brief = authoring.new_scenario("slow-disk", None, 1) / "brief.md"
    brief.write_text("mine", encoding="utf-8")
    with pytest.raises(LabError, match="01-slow-disk is there already"):
        authoring.new_scenario("slow-disk", None, 1)
    assert brief.read_text(encoding="utf-8") == "mine" and len(list(folder.iterdir())) == 1


def test_the_command_says_what_to_do_next(folder):
    done = CliRunner().invoke(cli.main, ["new-scenario", "slow-disk", "--title", "Late", "--tier", "2"])
    assert done.exit_code == 0, done.output
    assert "make check SCENARIO=1" in done.output
    assert scenarios.load(1).title == "Late"


def test_a_scenario_is_found_by_number_name_and_path(folder):
    made = authoring.new_scenario("slow-disk", None, 1)
    assert {authoring.find(which) for which in ("1", made.name, made.name.removeprefix("01-"), str(made), f"{made}/")} == {1}
    with pytest.raises(LabError, match="'2' is no scenario; there are: 01-slow-disk"):
        authoring.find("2")


def test_the_text_must_not_name_the_cause_but_the_walkthrough_must(folder):
    made = authoring.new_scenario("slow-disk", None, 1)
    (made / "brief.md").write_text("There is some Latency.", encoding="utf-8")
    (made / "walkthrough.md").write_text("It was the producer-link.", encoding="utf-8")
    path = made / "scenario.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("[AvailabilityErrorBudgetBurn]", "[NoSuchAlert]"), encoding="utf-8")
    said = " ".join(authoring.unfair_text(scenarios.load(1)))
    assert "no alert NoSuchAlert" in said
    assert "brief or hints name the cause" in said
    assert "does not name the answer 'latency'" in said and "'producer-link'" not in said


def test_the_template_has_the_headings_of_the_walkthroughs():
    def headings(path: Path) -> set[str]:
        return {line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("## ")}

    template = headings(authoring.TEMPLATE / "walkthrough.md")
    common = set.intersection(*(headings(path / "walkthrough.md") for path in scenarios.folders().values()))
    assert common <= template


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_names_every_kind_of_fault(kind):
    assert f"`{kind}`" in GUIDE.read_text(encoding="utf-8")
