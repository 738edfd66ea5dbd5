"""Makes the tables of what was proven, of the plays that are kept: scenarios/PROOF.md and prometheus/ALERTS.md."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.engine import scenario as scenarios
from lab.engine.scenario import Scenario
from lab.fairness import alerts, answers, authoring, verdict
from lab.fairness import play as plays
from lab.fairness.play import Play
from lab.grading.rubric import PASS
from lab.settings import ROOT

TABLE = scenarios.FOLDER / "PROOF.md"
EXAM, BLIND, CHEAT = PASSES = (1, 2, 3)  # an exam, an exercise with the blind restart, and all tricks

Rivals = dict[int, dict[int, Scenario]]  # by seed, then by number

HEAD = f"""\
# The scenarios are fair: the proof

`make scenarios-proof` writes this file: it plays every scenario three times, each time in another random order, on one
lab or shared among some, and grades what each kind of candidate would have got. Nobody may be rewarded for less than
the answer:

- the **oracle**, who mends it and answers right, gets at least {verdict.LEAST_FOR_THE_ORACLE} points, and within
  {verdict.MOST_BETWEEN_TWO_PLAYS} points the same when **examined**, that is in a blind exam, with other parameters;
- these two runs, which are honest, show **no tampering signal**;
- **nothing** done gives at most {verdict.MOST_FOR_NOTHING} points, when the fault shows in full;
- a **blind restart** of broker, Toxiproxy, producer and consumers, without an answer, gives at most
  {verdict.MOST_FOR_A_BLIND_RESTART}, unless a restart is the fix; «mends» tells that the system was whole afterwards
  (not played where nothing is broken: there a restart does the harm, and would spoil the oracle's play);
- the **best trick** of somebody who mitigates nothing, and knows the right answer, never passes: the lab's Prometheus gets
  rules that always hold, then the traffic is stopped and the queue purged, then an exporter invents traffic (the last
  also voids the run; not played where nothing is broken: there the answer is all that is asked for);
- the **answer of any other scenario** never passes ({PASS}), not even on a system that is mended;
- an answer that is right in the component and near in the cause gets the points that the scenario states;
- the **alerts** that the scenario names fire, an objective breaks in time, and the reset leaves nothing.
"""


def write() -> None:
    """Write both tables anew, with what has been played by now."""
    TABLE.write_text(content({number: _kept(number) for number in scenarios.folders()}), encoding="utf-8")
    alerts.write()


def verdict_on(number: int, passes: Iterable[int]) -> list[str]:
    """What is unfair in a scenario by its plays of those passes, and which of them are missing."""
    row = _judged(number, _kept(number), {})
    missing = [turn for turn in passes_of(row.scenario) if turn in passes and turn not in row.plays]
    return [f"pass {turn} has not been played" for turn in missing] + row.said


def passes_of(scenario: Scenario) -> tuple[int, ...]:
    """Those in which it is played: where nothing is broken, no trick is needed."""
    return PASSES if scenario.impact_within is not None else (EXAM, BLIND)


def content(played: Mapping[int, Mapping[int, Play]]) -> str:
    """The whole file; `played` has the plays of each scenario by their pass."""
    rivals: Rivals = {}
    rows = [_judged(number, passes, rivals) for number, passes in played.items()]
    return "\n".join([HEAD, *_table(rows), "", *_matrix(rows), "", *_unfair(rows), "", *_made(rows), ""])


@dataclass(frozen=True)
class _Row:
    """One scenario, what its plays have shown, and of each answer the points and whether they pass."""

    scenario: Scenario
    plays: Mapping[int, Play]
    said: list[str]
    answers: dict[int, tuple[int, bool]]


def _kept(number: int) -> dict[int, Play]:
    return {turn: play for turn in PASSES if (play := plays.kept(number, turn))}


def _judged(number: int, played: Mapping[int, Play], rivals: Rivals) -> _Row:
    """Loads the scenarios whose answers are tried once a seed, into `rivals`; an exam has a seed of its own."""
    scenario = scenarios.load(number)
    said = authoring.unfair_text(scenario)
    points: dict[int, tuple[int, bool]] = {}
    for play in played.values():
        if play.is_exam:
            said += verdict.unfair(scenarios.load(number, play.seed), play, ())
            continue
        if play.seed not in rivals:
            rivals[play.seed] = {rival.number: rival for rival in verdict.rivals(play.seed)}
        scenario, others = rivals[play.seed][number], rivals[play.seed].values()
        said += verdict.unfair(scenario, play, others)
        for other in others if play.mended else ():
            given = verdict.grade(scenario, play.mended, answers.truth(other))
            points[other.number] = max(points.get(other.number, (0, False)), (given.score, given.passed))
    # Each sentence once, whichever pass has shown it.
    return _Row(scenario, played, list(dict.fromkeys(said + verdict.unsteady(played.values()))), points)


# -- one row a scenario ---------------------------------------------------------------------------


def _table(rows: Iterable[_Row]) -> list[str]:
    lines = ["| | scenario | oracle | examined | tampering signals | nothing | blind restart | best trick | best wrong answer "
             "| alerts | broken after | verdict |",
             "|--:|---|--:|--:|---|--:|--:|---|---|---|--:|---|"]
    for row in rows:
        cells = [str(row.scenario.number), row.scenario.title, _oracle(row, BLIND), _oracle(row, EXAM), _honest(row),
                 _nothing(row), _blind(row), _best_trick(row), _best_wrong(row), _alerts(row), _impact(row), _verdict(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _oracle(row: _Row, turn: int) -> str:
    play = row.plays.get(turn)
    return str(play.score) if play and play.score is not None else ""


def _honest(row: _Row) -> str:
    found = [play.tampering for play in row.plays.values() if play.tampering is not None]
    if not found:
        return ""
    return f"**{sum(map(len, found))}**" if any(found) else "none"


def _best_trick(row: _Row) -> str:
    play = row.plays.get(CHEAT)
    points = verdict.attack_points(row.scenario, play) if play else {}
    if not points:
        return ""
    best = max(points, key=points.__getitem__)
    together = f"; all: {play.attacked['score']}, {play.attacked['verdict']}" if play.attacked else ""
    return f"{points[best]} ({best}){together}"


def _nothing(row: _Row) -> str:
    scores = [verdict.grade(row.scenario, play.nothing).score for play in row.plays.values() if play.nothing]
    return str(max(scores)) if scores else ""


def _blind(row: _Row) -> str:
    for play in row.plays.values():
        if play.blind:
            mends = ", mends" if play.blind.facts.mitigated(row.scenario) else ""
            return f"{verdict.grade(row.scenario, play.blind).score}{mends}"
    return ""


def _best_wrong(row: _Row) -> str:
    points = {other: score for other, (score, _passed) in row.answers.items() if other != row.scenario.number}
    if not points:
        return ""
    best = max(points, key=points.__getitem__)
    return f"{points[best]}, of {best} ({answers.told(answers.truth(scenarios.load(best)))})"


def _alerts(row: _Row) -> str:
    seen = [play for play in row.plays.values() if play.nothing]
    if not seen:
        return ""
    missing = {alert for play in seen for alert in verdict.missing_alerts(row.scenario, play)}
    return f"{len(row.scenario.alerts) - len(missing)} of {len(row.scenario.alerts)}"


def _impact(row: _Row) -> str:
    seconds = [after for play in row.plays.values() if (after := verdict.impact_seconds(play)) is not None]
    return f"{max(seconds):.0f} s" if seconds else ""


def _verdict(row: _Row) -> str:
    if not row.plays:
        return "not played"
    if row.said:
        return f"**{len(row.said)} unfair**"
    passes = passes_of(row.scenario)
    return "fair" if set(passes) <= row.plays.keys() else f"fair in {len(row.plays)} of {len(passes)} passes"


# -- every answer in every scenario ---------------------------------------------------------------


def _matrix(rows: list[_Row]) -> list[str]:
    numbers = [row.scenario.number for row in rows]
    lines = ["## Every answer in every scenario", "",
             "Row: the scenario that ran, and was mitigated as its oracle does. Column: whose answer was given. The points in",
             "the exercise; **bold**: they pass, which only the scenario's own answer may.", "",
             f"| | {' | '.join(map(str, numbers))} |", "|--:" * (len(numbers) + 1) + "|"]
    for row in rows:
        cells = (_cell(row.answers.get(other)) for other in numbers)
        lines.append(f"| {row.scenario.number} | {' | '.join(cells)} |")
    return lines


def _cell(points: tuple[int, bool] | None) -> str:
    if points is None:
        return ""
    score, passed = points
    return f"**{score}**" if passed else str(score)


# -- the rest -------------------------------------------------------------------------------------


def _unfair(rows: list[_Row]) -> list[str]:
    said = [f"- {row.scenario.number}: {sentence}" for row in rows if row.plays for sentence in row.said]
    return ["## What is unfair", "", *(said or ["Nothing that was played."])]


def _made(rows: list[_Row]) -> list[str]:
    every = [play for row in rows for play in row.plays.values()]
    if not every:
        return []
    days = sorted({time.strftime("%Y-%m-%d", time.localtime(play.began_at)) for play in every})
    seeds = sorted({play.seed for play in every if not play.is_exam})
    versions: dict[str, set[str]] = {}
    for play in every:
        for name, version in play.versions.items():
            versions.setdefault(name, set()).add(version)
    with_versions = ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in versions.items())
    return ["## How this was made", "",
            f"`make scenarios-proof`, {len(every)} plays with seed {' and '.join(map(str, seeds))} (exams with what their keys "
            f"drew), from {days[0]} to {days[-1]}: {with_versions}."]


if __name__ == "__main__":
    write()
    print(f"wrote {TABLE.relative_to(ROOT)} and {alerts.TABLE.relative_to(ROOT)}")
