"""What helps the author of a scenario: a folder to begin with, and what can be said of it without a lab."""

import json
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from lab.engine import scenario as scenarios
from lab.engine.scenario import Scenario
from lab.errors import LabError
from lab.fairness import alerts

TEMPLATE = Path(__file__).parent / "template"
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"


def new_scenario(slug: str, title: str | None, tier: int) -> Path:
    """Write a folder with the next free number, valid as it is. Raises LabError for a bad or a taken name."""
    if not re.fullmatch(SLUG, slug):
        raise LabError(f"{slug!r} is no name for a folder: small letters and digits, joined by '-', like slow-disk")
    known = scenarios.folders()
    if taken := next((path for path in known.values() if path.name.partition("-")[2] == slug), None):
        raise LabError(f"{taken.name} is there already: take another name")
    number = max(known, default=0) + 1
    folder = scenarios.FOLDER / f"{number:02}-{slug}"
    folder.mkdir()
    templates = Environment(loader=FileSystemLoader(TEMPLATE), keep_trailing_newline=True)
    title = title or slug.replace("-", " ").capitalize()
    for path in sorted(TEMPLATE.iterdir()):
        text = templates.get_template(path.name).render(
            number=number, title=title, quoted_title=json.dumps(title, ensure_ascii=False), tier=tier)
        (folder / path.name).write_text(text, encoding="utf-8")
    scenarios.load_folder(folder)
    return folder


def find(which: str) -> int:
    """The number of a scenario, by that number, its folder, that without the number, or a path. Raises LabError."""
    name = Path(which).resolve().name if "/" in which else which
    known = scenarios.folders()
    for number, folder in known.items():
        if name in (str(number), folder.name, folder.name.partition("-")[2]):
            return number
    raise LabError(f"{which!r} is no scenario; there are: {', '.join(folder.name for folder in known.values())}")


def unfair_text(scenario: Scenario) -> list[str]:
    """What the folder's text gives away, leaves out, or has wrong."""
    known = {name.removesuffix(alerts.SLOW) for name in alerts.alerts()}
    said = [f"there is no alert {alert}: RUNBOOK.md lists them" for alert in scenario.alerts if alert not in known]
    truth = scenario.truth
    said += [f"walkthrough.md does not name the answer {word!r}" for finding in truth.findings
             for word in (finding.component, finding.cause) if word not in scenario.walkthrough]
    given = " ".join([scenario.brief, *(hint.text for hint in scenario.hints)])
    said += [f"brief or hints name the cause ({finding.cause}): describe what people see" for finding in truth.findings
             if re.search(rf"\b{finding.cause.replace('-', '[ -]')}\b", given, re.IGNORECASE)]
    return said
