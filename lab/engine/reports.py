"""Where the results of a run are kept: a folder each, outside of the run folder, so that `make clean` spares them."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lab.engine.record import Run
from lab.grading.report import verdict_of
from lab.settings import LabSettings


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has characters that cannot be shown")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]


@dataclass(frozen=True)
class Summary:
    """What a list of reports shows of one; `lines` are the points by the title of their line.

    `started_at` is Unix time in seconds, `time_to_detect` and `time_to_restore` are seconds (see
    `lab.grading.incident`), or None; so is who did an exercise without a name.
    """

    folder: Path
    started_at: Seconds
    is_exam: bool
    scenario: int
    title: Text
    seed: int
    candidate: Text | None
    score: int
    verdict: Literal["pass", "fail", "void"]
    lines: dict[Text, int]
    time_to_detect: Seconds | None
    time_to_restore: Seconds | None
    hints: int


_SUMMARY = TypeAdapter(Summary)


def folder(settings: LabSettings, run: Run) -> Path:
    """The run's own folder, made when it is not there."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.started_at))
    path = settings.reports_dir / f"{moment}-{'exam' if run.sealed else f'scenario-{run.scenario}'}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def read_grade(settings: LabSettings, run: Run) -> dict | None:
    """The grade that was written for the run, None when there is none."""
    where = folder(settings, run)
    return read(where) if (where / "grade.json").exists() else None


def read(where: Path) -> dict:
    """The report in that folder."""
    return json.loads((where / "grade.json").read_text(encoding="utf-8"))


def summaries(reports_dir: Path, tell: Callable[[str], object] = lambda line: None) -> list[Summary]:
    """All reports in the folder, the newest first; `tell` gets a line for each that cannot be read."""
    found = []
    for path in reports_dir.glob("*/grade.json"):
        try:
            found.append(_summary(path))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            tell(f"{path} is skipped, as it is no report: {_reason(error)}")
    return sorted(found, key=lambda one: one.started_at, reverse=True)


def comparable(found: Iterable[Summary]) -> dict[tuple[int, int], list[Summary]]:
    """Those of the same scenario and seed together, by both; the best of each first."""
    groups = defaultdict(list)
    for one in found:
        groups[one.scenario, one.seed].append(one)
    return {key: sorted(groups[key], key=lambda one: -one.score) for key in sorted(groups)}


def as_json(found: Iterable[Summary]) -> str:
    """For machines: a list of all their fields."""
    return TypeAdapter(list[Summary]).dump_json(list(found), indent=2).decode()


def _summary(path: Path) -> Summary:
    _printable(str(path))
    content = read(path.parent)
    grade, run, scenario, exam = content["grade"], content["run"], content["scenario"], content["exam"]
    # A report from before there were times from the impact, or candidates of exercises, has none.
    incident = content.get("incident", {})
    return _SUMMARY.validate_python({
        "folder": path.parent, "started_at": run["started_at"], "is_exam": exam is not None,
        "scenario": scenario["number"], "title": scenario["title"], "seed": run["seed"],
        "candidate": exam["candidate"] if exam else content.get("candidate"),
        "score": grade["score"], "verdict": verdict_of(grade),
        "lines": {line["title"]: line["points"] for line in grade["lines"]},
        "time_to_detect": incident.get("time_to_detect"), "time_to_restore": incident.get("time_to_restore"),
        "hints": sum(event["kind"] == "hint" for event in content["timeline"]),
    })


def _reason(error: Exception) -> str:
    """In a few words, without what the file says."""
    match error:
        case ValidationError():
            problem = error.errors()[0]
            return f"{'.'.join(map(str, problem['loc'][:1]))}: {problem['msg']}"
        case OSError():
            return error.strerror or type(error).__name__
        case KeyError():
            return f"{error} is missing"
        case json.JSONDecodeError():
            return f"no JSON ({error})"
    return "it has another form"
