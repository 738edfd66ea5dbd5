"""Scenario folders: what loads, what is refused and with which words, and that all of ours are sound."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest

from lab.engine import scenario as scenarios
from lab.engine.scenario import DrawError, draw
from lab.errors import LabError
from lab.fairness import authoring

FOLDERS = scenarios.folders()
SEEDS = range(20)

every_scenario = pytest.mark.parametrize("number", FOLDERS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of scenario 1, whose fault is a toxic."""
    return Path(shutil.copytree(FOLDERS[1], tmp_path / FOLDERS[1].name))


def edit(folder: Path, prefix: str, new: str) -> int:
    """Put `new` in the place of the first line that begins with `prefix`; gives that line's number."""
    path = folder / "scenario.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    index = next(index for index, line in enumerate(lines) if line.lstrip().startswith(prefix))
    indent = lines[index][:-len(lines[index].lstrip())]
    lines[index] = f"{indent}{new}\n"
    path.write_text("".join(lines), encoding="utf-8")
    return index + 1


def refusal(folder: Path) -> str:
    """What is said when the folder is loaded."""
    with pytest.raises(LabError) as caught:
        scenarios.load_folder(folder)
    return str(caught.value)


# -- what is refused ------------------------------------------------------------------------------


def test_a_good_folder_loads(folder):
    scenario = scenarios.load_folder(folder)
    assert (scenario.number, scenario.name) == (1, folder.name)
    assert scenario.brief == (folder / "brief.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("prefix, new, field, says", [
    ("tier:", "teir: 1", "teir", "not permitted"),
    ("par_time:", "par_time: soon", "par_time", "valid integer"),
    ("par_time:", "par_time: 5", "par_time", "greater than or equal to 60"),
    ("title:", "title: [1]", "title", "valid string"),
    ("alerts:", "alerts: BrokerDown", "alerts", "valid list"),
    ("alerts:", "alerts: [1]", "alerts.0", "valid string"),
    ("component:", "component: cable", "truth.component", "'cable' is no component; there is: producer, "),
    ("cause:", "cause: gremlins", "truth.cause", "'gremlins' is no cause; there is: latency, "),
    ("partial_causes:", "partial_causes: {gremlins: 5}", "truth.partial_causes.gremlins.[key]", "is no cause"),
    ("partial_causes:", "partial_causes: {jitter: 20}", "truth.partial_causes.jitter", "less than or equal to"),
    ("- kind:", "- kind: meteor", "faults.0", "'toxic', 'link-down', 'service', 'alarm', "),
    ("- kind:", "- toxicity: 1", "faults.0", "'kind'"),
    ("link:", "link: nowhere", "faults.0.toxic.link", "'consumer-link'"),
    ("stream:", "steam: downstream", "faults.0.toxic.steam", "not permitted"),
    ("latency:", "latency: high", "faults.0.toxic.attributes.latency", "valid integer"),
    ("latency:", "latency: {range: [2, 1]}", "faults.0.attributes.latency", "range needs"),
    ("jitter:", "jitter: {choice: []}", "faults.0.attributes.jitter", "choice needs"),
    ("cost:", "cost: -5", "hints.0.cost", "greater than or equal to 0"),
    ("cost:", "cost: five", "hints.0.cost", "valid integer"),
])
def test_the_error_names_file_line_and_field(folder, prefix, new, field, says):
    line = edit(folder, prefix, new)
    [problem] = [part for part in refusal(folder).splitlines() if f", line {line}: " in part]
    assert problem.startswith(f"{folder}/scenario.yaml, line {line}: {field}")
    assert says in problem


def test_an_attribute_that_the_type_does_not_have_is_named(folder):
    edit(folder, "jitter:", "jiter: 5")
    assert "faults.0.toxic.attributes: no attribute jiter; there is: jitter, latency" in refusal(folder)


@pytest.mark.parametrize("prefix, new, field", [
    ("service:", "service: mainframe", "faults.0.service.service"),
    ("action:", "action: explode", "faults.0.service.action"),
])
def test_the_error_names_the_line_in_a_fault_whose_kind_is_also_a_field(tmp_path, prefix, new, field):
    folder = Path(shutil.copytree(FOLDERS[2], tmp_path / FOLDERS[2].name))
    line = edit(folder, prefix, new)
    assert refusal(folder).startswith(f"{folder}/scenario.yaml, line {line}: {field}: ")


@pytest.mark.parametrize("faults", ["faults:\n\n", ""])
def test_a_scenario_without_faults_is_refused(folder, faults):
    path = folder / "scenario.yaml"
    path.write_text(re.sub(r"^faults:\n.*?(?=^truth:)", faults, path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL), encoding="utf-8")
    assert re.match(rf"{re.escape(str(path))}, line \d+: faults: ", refusal(folder))


def test_every_problem_is_named_at_once(folder):
    lines = {edit(folder, "tier:", "tier: 4"), edit(folder, "par_time:", "par_time: 0")}
    assert {int(number) for number in re.findall(r"line (\d+)", refusal(folder))} == lines


@pytest.mark.parametrize("name", ["scenario.yaml", "brief.md", "walkthrough.md"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert refusal(folder) == f"{folder / name} is missing"


def test_what_is_not_yaml_is_refused_with_its_line(folder):
    line = edit(folder, "tier:", "tier: @1")
    assert refusal(folder).startswith(f"{folder}/scenario.yaml, line {line}: not valid YAML: ")


@pytest.mark.parametrize("content", [
    b"", b"# nothing but a comment\n", b"- a list\n", b"a text\n",
    b"title: \xff\n",
])
def test_what_is_no_mapping_is_refused(folder, content):
    (folder / "scenario.yaml").write_bytes(content)
    assert refusal(folder).startswith(f"{folder}/scenario.yaml")


def test_a_field_that_stands_there_twice_is_named(folder):
    path = folder / "scenario.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "title: another\n", encoding="utf-8")
    assert refusal(folder) == f"{path}, line {len(path.read_text(encoding='utf-8').splitlines())}: the field stands there twice"


def test_two_folders_with_one_number_are_refused(folder, monkeypatch):
    shutil.copytree(folder, folder.parent / "01-another")
    monkeypatch.setattr(scenarios, "FOLDER", folder.parent)
    with pytest.raises(LabError, match="01-another and 01-slow-consumer-link have the same number"):
        scenarios.folders()


def test_an_unknown_number_lists_what_there_is():
    with pytest.raises(LabError, match=f"no scenario 999; there are: {', '.join(map(str, FOLDERS))}$"):
        scenarios.load(999)


# -- drawing --------------------------------------------------------------------------------------

TEMPLATE = {"whole": {"range": [1000, 1400]}, "list": [{"part": {"range": [0.5, 1.5]}}],
            "one": {"choice": ["a", "b", "c"]}, "fixed": {"range": 1, "of": "several keys"}}


def drawn(seed: int) -> dict:
    return draw(TEMPLATE, random.Random(seed))


def test_the_same_seed_draws_the_same():
    assert [drawn(seed) for seed in SEEDS] == [drawn(seed) for seed in SEEDS]


def test_other_seeds_draw_other_values_within_the_range():
    several = [drawn(seed) for seed in SEEDS]
    whole = {one["whole"] for one in several}
    part = {one["list"][0]["part"] for one in several}
    assert len(whole) > 1 and all(isinstance(value, int) and 1000 <= value <= 1400 for value in whole)
    assert len(part) > 1 and all(0.5 <= value <= 1.5 for value in part)
    assert {one["one"] for one in several} == {"a", "b", "c"}


def test_what_is_no_range_or_choice_stays_as_it_is():
    assert drawn(0)["fixed"] == TEMPLATE["fixed"]
    assert draw(7, random.Random()) == 7


@pytest.mark.parametrize("value", [
    {"range": [2, 1]}, {"range": [1]}, {"range": [1, 2, 3]}, {"range": ["1", "2"]}, {"range": 1}, {"range": None},
    {"choice": []}, {"choice": "abc"}, {"choice": None},
])
def test_what_cannot_be_drawn_from_is_refused(value):
    with pytest.raises(DrawError, match=f"{next(iter(value))} needs"):
        draw([{"deep": value}], random.Random())


def test_the_seed_reaches_the_faults_of_a_scenario():
    latencies = [scenarios.load(1, seed).faults[0].attributes["latency"] for seed in (1, 2, 1)]
    assert latencies[0] == latencies[2] != latencies[1]


# -- the scenarios that there are -----------------------------------------------------------------


def test_every_folder_is_a_scenario_with_a_number_of_its_own():
    assert sorted(path for path in scenarios.FOLDER.iterdir() if path.is_dir()) == sorted(FOLDERS.values())


def test_the_schema_is_up_to_date():
    stored = json.loads((scenarios.FOLDER / "schema.json").read_text(encoding="utf-8"))
    assert stored == scenarios.json_schema(), "run: lab schema > scenarios/schema.json"


@every_scenario
def test_it_loads_with_any_seed(number):
    assert {scenarios.load(number, seed).number for seed in SEEDS} == {number}


@every_scenario
def test_its_text_names_what_there_is_and_gives_nothing_away(number):
    assert authoring.unfair_text(scenarios.load(number)) == []
