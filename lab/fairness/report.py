"""Makes the tables of what was proven, of the plays that are kept: scenarios/PROOF.md and prometheus/ALERTS.md."""

import time
from collections.abc import Iterable, Mapping

from lab.engine import scenario as scenarios
from lab.engine.scenario import Scenario
from lab.fairness import alerts, answers, authoring, verdict
from lab.fairness import play as plays
from lab.fairness.play import Play
from lab.grading.rubric import PASS
from lab.settings import ROOT

TABLE = scenarios.FOLDER / "PROOF.md"
PASSES = (1, 2)
BLIND_PASS = 2  # which has the blind restart, too

HEAD = f"""\
# The scenarios are fair: the proof

`make scenarios-proof` writes this file: it plays every scenario twice, in two random orders on one lab, and grades
what each kind of candidate would have got. Nobody may be rewarded for less than the answer:

- the **oracle**, who mends it and answers right, gets at least {verdict.LEAST_FOR_THE_ORACLE} points, and within
  {verdict.MOST_BETWEEN_TWO_PLAYS} points the same in both passes;
- **nothing** done gives at most {verdict.MOST_FOR_NOTHING} points, when the fault shows in full;
- a **blind restart** of broker, Toxiproxy, producer and consumers, without an answer, gives at most
  {verdict.MOST_FOR_A_BLIND_RESTART}, unless a restart is the fix; «mends» tells that the system was whole afterwards;
- the **answer of any other scenario** never passes ({PASS}), not even on a system that is mended;
- an answer that is right in the component and near in the cause gets the points that the scenario states;
- the **alerts** that the scenario names fire, an objective breaks in time, and the reset leaves nothing.
"""


def write() -> None:
    """Write both tables anew, with what has been played by now."""
    TABLE.write_text(content({number: _kept(number) for number in scenarios.folders()}))
    alerts.write()


def verdict_on(number: int, passes: Iterable[int]) -> list[str]:
    """What is unfair in a scenario by its plays of those passes, and which of them are missing."""
    kept = _kept(number)
    said = [f"pass {turn} has not been played" for turn in passes if turn not in kept]
    return said + _said(number, kept)


def content(played: Mapping[int, Mapping[int, Play]]) -> str:
    """The whole file; `played` has the plays of each scenario by their pass."""
    return "\n".join([HEAD, *_table(played), "", *_matrix(played), "", *_unfair(played), "", *_made(played), ""])


def _kept(number: int) -> dict[int, Play]:
    return {turn: play for turn in PASSES if (play := plays.kept(number, turn))}


def _said(number: int, played: Mapping[int, Play]) -> list[str]:
    """Each sentence once, whichever pass has shown it."""
    scenario = scenarios.load(number)
    said = authoring.unfair_text(scenario)
    for play in played.values():
        said += verdict.unfair(scenarios.load(number, play.seed), play, verdict.rivals(play.seed))
    return list(dict.fromkeys(said + verdict.unsteady(played.values())))


# -- one row a scenario ---------------------------------------------------------------------------


def _table(played: Mapping[int, Mapping[int, Play]]) -> list[str]:
    lines = ["| | scenario | oracle | again | nothing | blind restart | best wrong answer | alerts | broken after | verdict |",
             "|--:|---|--:|--:|--:|--:|---|---|--:|---|"]
    for number, passes in played.items():
        if not passes:
            lines.append(f"| {number} | {scenarios.load(number).title} |" + " |" * 7 + " not played |")
            continue
        said = _said(number, passes)
        verdict_ = "fair" if not said else f"**{len(said)} unfair**"
        if not said and len(passes) < len(PASSES):
            verdict_ = "fair in one pass"
        cells = [scenarios.load(number).title, *(_shown(passes[turn].score) if turn in passes else "" for turn in PASSES),
                 _nothing(passes), _blind(passes), _best_wrong(number, passes), _alerts(number, passes),
                 _impact(passes), verdict_]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return lines


def _nothing(passes: Mapping[int, Play]) -> str:
    scores = [verdict.grade(_scenario(play), play.nothing).score for play in passes.values() if play.nothing]
    return _shown(max(scores, default=None))


def _blind(passes: Mapping[int, Play]) -> str:
    for play in passes.values():
        if play.blind:
            scenario = _scenario(play)
            mends = ", mends" if play.blind.facts.mitigated(scenario) else ""
            return f"{verdict.grade(scenario, play.blind).score}{mends}"
    return ""


def _best_wrong(number: int, passes: Mapping[int, Play]) -> str:
    points = {other: score for other, (score, _passed) in _row(number, passes).items() if other != number}
    if not points:
        return ""
    best = max(points, key=points.__getitem__)
    return f"{points[best]}, of {best} ({answers.told(answers.truth(scenarios.load(best)))})"


def _alerts(number: int, passes: Mapping[int, Play]) -> str:
    expected = scenarios.load(number).alerts
    missing = {alert for play in passes.values() for alert in verdict.missing_alerts(_scenario(play), play)}
    return f"{len(expected) - len(missing)} of {len(expected)}"


def _impact(passes: Mapping[int, Play]) -> str:
    seconds = [after for play in passes.values() if (after := verdict.impact_seconds(play)) is not None]
    return f"{max(seconds):.0f} s" if seconds else ""


def _shown(points: int | None) -> str:
    return "" if points is None else str(points)


# -- every answer in every scenario ---------------------------------------------------------------


def _matrix(played: Mapping[int, Mapping[int, Play]]) -> list[str]:
    lines = ["## Every answer in every scenario", "",
             "Row: the scenario that ran, and was mended as its oracle does. Column: whose answer was given. The points of",
             f"the better pass; **bold**: {PASS} or more, which only the scenario's own answer may have.", "",
             f"| | {' | '.join(map(str, played))} |", "|--:" * (len(played) + 1) + "|"]
    for number, passes in played.items():
        row = _row(number, passes)
        lines.append(f"| {number} | {' | '.join(_cell(row.get(other)) for other in played)} |")
    return lines


def _row(number: int, passes: Mapping[int, Play]) -> dict[int, tuple[int, bool]]:
    """Points, and whether they pass, by the number of the scenario whose answer was given."""
    row: dict[int, tuple[int, bool]] = {}
    for play in passes.values():
        if play.mended:
            for other in verdict.rivals(play.seed):
                given = verdict.grade(_scenario(play), play.mended, answers.truth(other))
                row[other.number] = max(row.get(other.number, (0, False)), (given.score, given.passed))
    return row


def _cell(points: tuple[int, bool] | None) -> str:
    if points is None:
        return ""
    score, passed = points
    return f"**{score}**" if passed else str(score)


# -- the rest -------------------------------------------------------------------------------------


def _unfair(played: Mapping[int, Mapping[int, Play]]) -> list[str]:
    said = [f"- {number}: {sentence}" for number, passes in played.items() if passes for sentence in _said(number, passes)]
    return ["## What is unfair", "", *(said or ["Nothing that was played."])]


def _made(played: Mapping[int, Mapping[int, Play]]) -> list[str]:
    every = [play for passes in played.values() for play in passes.values()]
    if not every:
        return []
    days = sorted({time.strftime("%Y-%m-%d", time.localtime(play.began_at)) for play in every})
    seeds = sorted({play.seed for play in every})
    versions: dict[str, set[str]] = {}
    for play in every:
        for name, version in play.versions.items():
            versions.setdefault(name, set()).add(version)
    return ["## How this was made", "",
            f"`make scenarios-proof SEED={', '.join(map(str, seeds))}`: {len(every)} plays, from {days[0]} to {days[-1]}; "
            + ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in versions.items()) + "."]


def _scenario(play: Play) -> Scenario:
    return scenarios.load(play.scenario, play.seed)


if __name__ == "__main__":
    write()
    print(f"wrote {TABLE.relative_to(ROOT)} and {alerts.TABLE.relative_to(ROOT)}")
