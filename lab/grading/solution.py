"""What the reference solution does: the commands that it types, and what the walkthrough says of the fix."""

import re

from lab.engine.scenario import Scenario
from lab.grading.answers import submit_words

_FIX = re.compile(r"^## Mitigate\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def solution(scenario: Scenario) -> dict:
    """As a report has it; `mitigation` is Markdown, empty where the walkthrough has no such section."""
    findings = [{"component": finding.component, "cause": finding.cause} for finding in scenario.truth.findings]
    fix = _FIX.search(scenario.walkthrough)
    return {
        "commands": ["lab detect", *(f"lab {command}" for command in scenario.oracle.commands),
                     f"lab {' '.join(submit_words(findings))}"],
        "mitigation": fix[1].strip() if fix else "",
    }
