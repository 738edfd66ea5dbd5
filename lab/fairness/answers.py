"""Answers as a candidate gives them: what is the right one, and how it is submitted."""

from lab.engine.scenario import Scenario
from lab.grading.answers import submit_words
from lab.grading.report import named
from lab.grading.rubric import ROOT_CAUSE

Answer = dict[str, list[dict[str, str]]]  # a submission's data


def truth(scenario: Scenario) -> Answer:
    """The right answer."""
    return {"findings": [{"component": finding.component, "cause": finding.cause}
                         for finding in scenario.truth.findings]}


def near_misses(scenario: Scenario) -> list[tuple[Answer, int]]:
    """Every answer that is right in the component and near in the cause, and the points that it states to be lost.

    Of two faults, an answer that misses one is no near miss: the rubric says what it gets.
    """
    if scenario.truth.also:
        return []
    return [({"findings": [{"component": scenario.truth.component, "cause": cause}]}, ROOT_CAUSE - points)
            for cause, points in scenario.truth.partial_causes.items()]


def told(answer: Answer) -> str:
    """The answer in words."""
    return named(answer["findings"])


def command(answer: Answer) -> list[str]:
    """The words of `lab` that submit it."""
    return [*submit_words(answer["findings"]), "--notes", "the oracle"]
