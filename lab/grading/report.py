"""The grade as data, and as a summary in the terminal; `lab.grading.page` makes the page of it."""

import shlex
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.engine.record import Run
from lab.engine.scenario import Scenario
from lab.grading.facts import Facts
from lab.grading.incident import Incident
from lab.grading.ledger import Account
from lab.grading.measurements import Measurements
from lab.grading.rubric import PASS, Grade
from lab.grading.solution import solution

VERDICTS = {"pass": "green", "fail": "red", "void": "yellow"}  # and their colours
# Shown in the plots, and in Grafana: the injection, what the candidate did, and the end.
CANDIDATE_EVENTS = ("detection", "hint", "submission")
MARKED_EVENTS = ("injected", *CANDIDATE_EVENTS, "graded")
# Told elsewhere in a report, or sealed.
_UNTOLD_EVENTS = {"fault", "exam", "candidate"}


def content(scenario: Scenario, run: Run, grade: Grade, facts: Facts, account: Account,
            measured: Measurements, evidence: dict, exam: dict | None = None) -> dict:
    """All that a report says, as plain data; times are Unix time in seconds.

    `evidence` is what the watch over the run concludes, `exam` is who was examined, and from what it was drawn.
    """
    submission = run.last("submission")
    seed = exam["scenario_seed"] if exam else run.seed
    return {
        "scenario": {"number": scenario.number, "name": scenario.name, "title": scenario.title,
                     "tier": scenario.tier, "par_time": scenario.par_time},
        "run": {"id": run.id, "seed": seed, "started_at": run.started_at, "injected_at": run.injected_at},
        "candidate": exam["candidate"] if exam else run.candidate,
        "exam": exam,
        "grade": grade.as_dict(),
        "pass_mark": PASS,
        "incident": _incident(run, grade, facts, measured).as_dict(),
        "truth": {"findings": [{"component": finding.component, "cause": finding.cause}
                               for finding in scenario.truth.findings],
                  "explanation": scenario.truth.explanation},
        "answer": submission.data if submission else None,
        "hints": [{"time": taken.time, "cost": taken.data["cost"], "text": hint.text}
                  for taken, hint in zip(run.all("hint"), scenario.hints)],
        "ledger": account.as_dict(),
        "solution": solution(scenario),
        "reproduce": _reproduce(scenario, seed, run.candidate, exam, evidence),
        "evidence": evidence,
        "curves": [asdict(curve) for curve in measured.curves],
        "alerts": [asdict(alert) for alert in measured.alerts],
        "timeline": [{"time": event.time, "kind": event.kind, "data": event.data}
                     for event in run.events if event.kind not in _UNTOLD_EVENTS],
    }


def terminal(content: dict) -> RenderableType:
    """The grade line by line, for a rich console."""
    grade, incident, truth = content["grade"], content["incident"], content["truth"]
    verdict = verdict_of(grade)
    table = Table(box=None, show_lines=False, pad_edge=False)
    for column, justify in (("", "left"), ("points", "right"), ("evidence", "left")):
        table.add_column(column, justify=justify, overflow="fold")
    for line in grade["lines"]:
        out_of = f" of {line['out_of']}" if line["out_of"] else ""
        table.add_row(line["title"], f"{line['points']}{out_of}", Text(line["evidence"]))
    return Group(
        Text.assemble("\n", (f"{grade['score']} of 100", "bold"), ": ", (verdict, VERDICTS[verdict]), f" (a pass is {content['pass_mark']})"),
        table,
        f"MTTD {duration(incident['time_to_detect'])}, MTTR {duration(incident['time_to_restore'])}: "
        "from the first broken objective to its declaration, and until all hold again",
        *(Text.assemble(("tampering signal: ", "yellow"), line) for line in tampering(content)),
        *(Text.assemble((f"hint {number} (-{hint['cost']}): ", "yellow"), hint["text"])
          for number, hint in enumerate(content["hints"], 1)),
        Text.assemble("It was: ", (named(truth["findings"]), "bold"), f". {truth['explanation']}"),
        Text("\n  ".join(["again:", *content["reproduce"]])))


def verdict_of(grade: dict) -> str:
    """pass, fail or void; reports of older versions do not know void."""
    return grade.get("verdict") or ("pass" if grade["pass"] else "fail")


def tampering(content: dict) -> list[str]:
    """The tampering signals of a report; those that void the run say so."""
    return [signal["text"] + (" (voids the run)" if signal["voids"] else "")
            for signal in content["evidence"].get("tampering", [])]


def named(findings: list[dict]) -> str:
    """Findings as people read them."""
    return ", and ".join(f"{finding['cause']} at {finding['component']}" for finding in findings)


def duration(seconds: float | None) -> str:
    """For people: 42 s, 3 min 07 s; a dash for what is None."""
    if seconds is None:
        return "—"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _incident(run: Run, grade: Grade, facts: Facts, measured: Measurements) -> Incident:
    def moment(seconds: float | None) -> float | None:
        return None if seconds is None else facts.injected_at + seconds

    return Incident(facts.injected_at, facts.impact_at, measured.first_alert_at,
                    moment(grade.time_to_detect), moment(grade.time_to_restore))


def _reproduce(scenario: Scenario, seed: int, candidate: str | None, exam: dict | None, evidence: dict) -> list[str]:
    """The commands that bring the same incident again: what an interviewer types, and the exercise of it."""
    again = [_make(f"scenario-{scenario.number}", {"SEED": seed, "CANDIDATE": candidate})]
    if exam:
        again.insert(0, _make("exam", {"CANDIDATE": exam["candidate"], "MINUTES": exam["minutes"],
                                       "SEED": exam["seed"], "TIER": exam["tier"], "KEY": "FILE"}))
    if commit := evidence["sources"]["commit"]:
        clean = commit.removesuffix("-dirty")
        again.insert(0, f"git checkout {clean}" + ("  # and it was changed" if clean != commit else ""))
    return again


def _make(target: str, variables: dict) -> str:
    return " ".join(["make", target, *(f"{name}={shlex.quote(str(value))}"
                                       for name, value in variables.items() if value is not None)])
