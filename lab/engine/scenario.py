"""A scenario: one folder `NN-name` with `scenario.yaml`, `brief.md` and `walkthrough.md`."""

import random
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from lab.errors import LabError
from lab.faults import Fault
from lab.grading.answers import CAUSES, COMPONENTS
from lab.settings import ROOT

FOLDER = ROOT / "scenarios"
# Safe as yaml.SafeLoader, and much faster where libyaml is there: a page loads all scenarios.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _one_of(known: dict[str, str], what: str):
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is no {what}; there is: {', '.join(known)}")
        return value

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"enum": list(known)})]


Component = _one_of(COMPONENTS, "component")
Cause = _one_of(CAUSES, "cause")


class StateCheck(_Part):
    """A PromQL query that must compare so with `value` when the run is graded."""

    title: str
    query: str
    comparison: Literal[">=", "<=", "==", ">", "<"]
    value: float


class Finding(_Part):
    """One fault as an answer names it, and the answers that are near: points for what is not the true one."""

    component: Component
    cause: Cause
    partial_components: dict[Component, Annotated[int, Field(ge=0, le=19)]] = {}
    partial_causes: dict[Cause, Annotated[int, Field(ge=0, le=19)]] = {}


class Truth(Finding):
    """What is wrong, and by what state a mitigation is known."""

    # The second of two faults.
    also: Finding | None = None
    explanation: str
    # Beside the SLOs, which must hold in every scenario.
    mitigated_when: list[StateCheck] = []
    # The fault itself makes the broker throw messages away: what the broker counted is not held against anybody.
    broker_drops_messages: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (self, self.also) if self.also else (self,)


class Hint(_Part):
    text: str
    cost: int = Field(ge=0, le=50)


class Oracle(_Part):
    """The reference solution that the tests play: `lab` commands, without the word lab."""

    commands: list[str]


class Scenario(_Part):
    """`scenario.yaml`. Times are in seconds from the injection."""

    title: str
    tier: Literal[1, 2, 3]
    par_time: int = Field(ge=60, le=7200)
    time_limit: int = Field(ge=120, le=14400)
    # By when the fault, left alone, has broken an SLO; null where it breaks none.
    impact_within: Annotated[int, Field(ge=5, le=1800)] | None
    # How long after the first symptom a person on call is expected to have noticed.
    detect_within: int = Field(300, ge=30, le=3600)
    # How long the SLOs must hold again before the system counts as restored.
    hold: int = Field(30, ge=10, le=600)
    # None at all is a scenario, too.
    faults: list[Fault]
    truth: Truth
    alerts: list[str]
    hints: list[Hint] = []
    oracle: Oracle

    _folder: Path = PrivateAttr()

    @property
    def number(self) -> int:
        return int(self._folder.name.split("-")[0])

    @property
    def name(self) -> str:
        return self._folder.name

    @cached_property
    def brief(self) -> str:
        return (self._folder / "brief.md").read_text(encoding="utf-8")

    @cached_property
    def walkthrough(self) -> str:
        return (self._folder / "walkthrough.md").read_text(encoding="utf-8")


def folders() -> dict[int, Path]:
    """Every scenario's folder by its number. Raises LabError when two have the same."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if match := re.fullmatch(r"(\d+)-[a-z0-9-]+", path.name):
            if other := found.get(int(match[1])):
                raise LabError(f"{other.name} and {path.name} have the same number: give one of them another")
            found[int(match[1])] = path
    return found


def load(number: int, seed: int = 0) -> Scenario:
    """The scenario with its parameters drawn from `seed`.

    Raises LabError that names file, line and field for whatever is wrong.
    """
    known = folders()
    if number not in known:
        raise LabError(f"there is no scenario {number}; there are: {', '.join(map(str, known))}")
    return load_folder(known[number], seed)


def load_folder(folder: Path, seed: int = 0) -> Scenario:
    """See `load`."""
    path = folder / "scenario.yaml"
    for needed in (path, folder / "brief.md", folder / "walkthrough.md"):
        if not needed.exists():
            raise LabError(f"{needed} is missing")
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, _Loader)
        content = yaml.load(text, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read as UTF-8 text: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise LabError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if line := _repeated_key(tree):
        raise LabError(f"{path}, line {line}: the field stands there twice")
    if not isinstance(content, dict):
        raise LabError(f"{path}: must be a mapping of fields; see scenarios/schema.json")
    try:
        content["faults"] = draw(content.get("faults"), random.Random(seed), ("faults",))
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        problems = [
            f"{path}, line {_line(tree, _without_tag(problem['loc']))}: "
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()]
        raise LabError("\n".join(problems)) from None
    except DrawError as error:
        where = ".".join(map(str, error.location))
        raise LabError(f"{path}, line {_line(tree, error.location)}: {where}: {error}") from None
    scenario._folder = folder
    return scenario


def _repeated_key(node: yaml.Node | None) -> int | None:
    """The line of the first key that its mapping has already: YAML would let the last one win in silence."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, _value in node.value:
            if key.value in seen:
                return key.start_mark.line + 1
            seen.add(key.value)
        children = [value for _key, value in node.value]
    else:
        children = node.value if isinstance(node, yaml.SequenceNode) else []
    return next(filter(None, map(_repeated_key, children)), None)


class DrawError(Exception):
    """A range or a choice from which nothing can be drawn; `location` is the path to it."""

    def __init__(self, problem: str, location: tuple):
        super().__init__(problem)
        self.location = location


def draw(value: Any, source: random.Random, location: tuple = ()) -> Any:
    """Replace every {range: [low, high]} and {choice: [...]} by what `source` draws from it.

    `location` is the path to `value`. Raises DrawError.
    """
    if isinstance(value, dict):
        if set(value) == {"range"}:
            return _draw_range(value["range"], source, location)
        if set(value) == {"choice"}:
            if not isinstance(value["choice"], list) or not value["choice"]:
                raise DrawError("choice needs a list with at least one entry", location)
            return source.choice(value["choice"])
        return {key: draw(inner, source, (*location, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [draw(inner, source, (*location, index)) for index, inner in enumerate(value)]
    return value


def _draw_range(ends: Any, source: random.Random, location: tuple) -> int | float:
    match ends:
        case [int() as low, int() as high] if low <= high:
            return source.randint(low, high)
        case [int() | float() as low, int() | float() as high] if low <= high:
            return round(source.uniform(low, high), 3)
    raise DrawError(f"range needs two numbers, the lower first, not {ends!r}", location)


def _without_tag(location: tuple) -> tuple:
    """The path in the file: pydantic puts the kind of a fault into it, after the fault's index."""
    return location[:2] + location[3:] if location[0] == "faults" else location


def _line(node: yaml.Node, location: tuple) -> int:
    """The line on which the field at `location` stands, or the nearest one above it."""
    line = node.start_mark.line + 1
    for part in location:
        child = next(_children(node, part), None)
        if child is None:
            return line
        key, node = child
        line = key.start_mark.line + 1
    return line


def _children(node: yaml.Node, part: Any) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key, value) for key, value in node.value if key.value == str(part))
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        yield node.value[part], node.value[part]


def json_schema() -> dict:
    """The JSON schema of `scenario.yaml`, for editors; every value of a fault may also be drawn."""
    schema = Scenario.model_json_schema()
    drawn = {"anyOf": [
        {"type": "object", "required": [kind], "additionalProperties": False, "properties": {kind: {"type": "array"}}}
        for kind in ("range", "choice")]}
    schema["$defs"]["Drawn"] = drawn
    for reference in schema["properties"]["faults"]["items"]["discriminator"]["mapping"].values():
        properties = schema["$defs"][reference.removeprefix("#/$defs/")]["properties"]
        for name, field in properties.items():
            if "additionalProperties" in field:  # a mapping: each of its values
                field["additionalProperties"] = _or_drawn(field["additionalProperties"])
            elif name != "kind":
                properties[name] = _or_drawn(field)
    return schema


def _or_drawn(schema: dict) -> dict:
    return {"anyOf": [schema, {"$ref": "#/$defs/Drawn"}]}
