"""Answers as a candidate gives them: what is the right one, and how it is submitted."""

from lab.engine.scenario import Scenario
from lab.grading.rubric import ROOT_CAUSE

Answer = dict[str, str]  # a submission's data


def truth(scenario: Scenario) -> Answer:
    """The right answer."""
    return {"component": scenario.truth.component, "cause": scenario.truth.cause}


def near_misses(scenario: Scenario) -> list[tuple[Answer, int]]:
    """Every answer that is right in the component and near in the cause, and the points that it states to be lost."""
    return [(truth(scenario) | {"cause": cause}, ROOT_CAUSE - points)
            for cause, points in scenario.truth.partial_causes.items()]


def told(answer: Answer) -> str:
    """The answer in words."""
    return f"{answer['cause']} at {answer['component']}"


def command(answer: Answer) -> list[str]:
    """The words of `lab` that submit it."""
    return ["submit", "--component", answer["component"], "--cause", answer["cause"], "--notes", "the oracle"]
