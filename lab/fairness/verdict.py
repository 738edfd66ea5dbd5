"""Says what is unfair in a scenario: pure, from what was measured of its plays; each a sentence for its author."""

from collections.abc import Iterable
from dataclasses import replace

from lab.engine import scenario as scenarios
from lab.engine.record import Event
from lab.engine.scenario import Scenario
from lab.fairness import answers
from lab.fairness.alerts import SLOW
from lab.fairness.answers import Answer
from lab.fairness.play import Moment, Play
from lab.grading import rubric
from lab.grading.rubric import PASS, Grade

LEAST_FOR_THE_ORACLE = 95
MOST_FOR_NOTHING = 10
MOST_FOR_A_BLIND_RESTART = 40
MOST_BETWEEN_TWO_PLAYS = 3


def grade(scenario: Scenario, moment: Moment, answer: Answer | None = None) -> Grade:
    """What the run would have got at that moment, with that answer or none."""
    run = moment.run
    if answer is not None:
        run = replace(run, events=(*run.events, Event(moment.facts.at, "submission", dict(answer))))
    return rubric.grade(scenario, run, moment.facts, moment.account)


def rivals(seed: int) -> list[Scenario]:
    """Every scenario, for its answer to be tried in the others."""
    return [scenarios.load(number, seed) for number in scenarios.folders()]


def unfair(scenario: Scenario, play: Play, others: Iterable[Scenario]) -> list[str]:
    """What one play has shown; nothing where it was fair. `others` are those whose answers are tried."""
    return [*play.troubles, *_symptoms(scenario, play), *_lazy(scenario, play), *_lucky(scenario, play, others),
            *_nearly_right(scenario, play), *_oracle(play), *_accused(play), *_bought(scenario, play)]


def unsteady(plays: Iterable[Play]) -> list[str]:
    """Whether the same play gets different points."""
    scores = [play.score for play in plays if play.score is not None]
    if scores and max(scores) - min(scores) > MOST_BETWEEN_TWO_PLAYS:
        return [f"the oracle scores {' and '.join(map(str, scores))} in plays that are the same: at most "
                f"{MOST_BETWEEN_TWO_PLAYS} points may be between them"]
    return []


def _symptoms(scenario: Scenario, play: Play) -> list[str]:
    if play.nothing is None:
        return []
    said = [f"{alert} does not fire: take it out of alerts, or make the fault stronger"
            for alert in missing_alerts(scenario, play)]
    impact, within = impact_seconds(play), scenario.impact_within
    if within is None and impact is not None:
        said.append(f"an objective breaks after {impact:.0f} s, though impact_within says that none does")
    elif within is not None and impact is None:
        said.append("the fault breaks no objective: make it stronger, or set impact_within to null where that is meant")
    elif within is not None and impact > within:
        said.append(f"the first objective breaks after {impact:.0f} s: raise impact_within ({within} s)")
    return said


def _lazy(scenario: Scenario, play: Play) -> list[str]:
    said = []
    if play.nothing and (score := grade(scenario, play.nothing).score) > MOST_FOR_NOTHING:
        said.append(f"doing nothing gives {score} points: state mitigated_when so that it does not hold while the fault "
                    "is there")
    if play.blind and not _is_restart(scenario) and \
            (score := grade(scenario, play.blind).score) > MOST_FOR_A_BLIND_RESTART:
        said.append(f"restarting everything blindly gives {score} points: state mitigated_when so that a restart alone "
                    "does not bring it about")
    return said


def _is_restart(scenario: Scenario) -> bool:
    """Whether a restart is the honest fix."""
    commands = scenario.oracle.commands
    return bool(commands) and all(command.startswith("restart ") for command in commands)


def _lucky(scenario: Scenario, play: Play, others: Iterable[Scenario]) -> list[str]:
    if play.mended is None:
        return []
    said = []
    for other in others:
        answer = answers.truth(other)
        given = grade(scenario, play.mended, answer)
        if other.number != scenario.number and given.passed:
            said.append(f"who mends it and gives the answer of scenario {other.number} ({answers.told(answer)}) gets "
                        f"{given.score} points, and passes with {PASS}")
    return said


def _nearly_right(scenario: Scenario, play: Play) -> list[str]:
    if play.mended is None:
        return []
    right = answer_points(grade(scenario, play.mended, answers.truth(scenario)))
    said = []
    for answer, lost in answers.near_misses(scenario):
        got = answer_points(grade(scenario, play.mended, answer))
        if got != right - lost:
            said.append(f"the near answer {answers.told(answer)} gets {got} points for the answer, and the scenario "
                        f"states {right - lost}")
    return said


def _oracle(play: Play) -> list[str]:
    said = []
    if play.grade and play.score < LEAST_FOR_THE_ORACLE:
        lost = [f"{line['title']} {line['points']} of {line['out_of']} ({line['evidence']})"
                for line in play.grade["lines"] if line["points"] < line["out_of"]]
        said.append(f"the oracle scores {play.score} points, {LEAST_FOR_THE_ORACLE} are needed: {'; '.join(lost)}")
    if play.exit_code:
        said.append(f"the run of the oracle ends with exit code {play.exit_code}")
    return said


def _accused(play: Play) -> list[str]:
    return [f"the honest run of the oracle shows a tampering signal: {signal}" for signal in play.tampering or ()]


def _bought(scenario: Scenario, play: Play) -> list[str]:
    said = [f"who mitigates nothing passes by a trick ({name}), with {points} points"
            for name, points in attack_points(scenario, play).items() if points >= PASS]
    if play.attacked and play.attacked["pass"]:
        said.append("who mitigates nothing passes by all tricks together")
    return said


def attack_points(scenario: Scenario, play: Play) -> dict[str, int]:
    """The points of the right answer with each trick and no mitigation, if no tampering were detected."""
    return {name: grade(scenario, moment, answers.truth(scenario)).score for name, moment in play.attacks.items()}


def missing_alerts(scenario: Scenario, play: Play) -> list[str]:
    """Alerts that the scenario names, and that were not seen."""
    fired = {name.removesuffix(SLOW) for name in play.alerts}
    return [alert for alert in scenario.alerts if alert not in fired]


def impact_seconds(play: Play) -> float | None:
    """How long after the injection the first objective broke, by whom nothing was done."""
    facts = play.nothing.facts if play.nothing else None
    return facts.impact_at - facts.injected_at if facts and facts.impact_at is not None else None


def answer_points(given: Grade) -> int:
    """Points for the answer alone."""
    return sum(line.points for line in given.lines if line.title in ("Localization", "Root cause"))
