"""Completes a grade once the stocktaking of the reset has told where each message is.

While a run goes on, messages are only counted, and what may still wait in a queue is unknown. A grade that was given
then is corrected by the ids that the reset found: the Integrity line, the score, and the reports, signed again.

An engine that was killed between grade and reset leaves its grade as it was; the command that ends that run (`lab reset`,
another scenario) completes it from its file. Of an exam only the engine holds the key, so that report stays as it is,
and says how many messages are unknown.
"""

import json
from dataclasses import dataclass, fields

from lab.engine import reports, view
from lab.engine.record import Records, Run
from lab.exam import exam as exams
from lab.exam import signature
from lab.grading import ledger, page
from lab.grading.ledger import Account
from lab.grading.rubric import Grade, Line, completed
from lab.settings import LabSettings
from lab.stack.base import Stack


@dataclass(frozen=True)
class _Published:
    """A report, in memory: its file could be edited between grade and reset."""

    run: int
    content: dict
    stock_size: int  # of the stocktakings' file at the grade, in bytes


_published: _Published | None = None


def publish(settings: LabSettings, run: Run, content: dict) -> dict:
    """Write the reports, signed where it is an exam; returns what was written."""
    global _published
    stock, folder = settings.ledger_dir / ledger.STOCK, reports.folder(settings, run)
    _published = _Published(run.id, content, stock.stat().st_size if stock.exists() else 0)
    shown = page.html(content)
    if held := exams.held():
        content = signature.signed(content, shown, held.key)
    (folder / "grade.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    (folder / "report.html").write_text(shown, encoding="utf-8")
    return content


def complete(settings: LabSettings, stack: Stack, records: Records, run: Run) -> None:
    """To be called after the stocktaking; changes nothing where the run has no grade, or that one was certain."""
    published = _report(settings, run)
    if published is None:
        return
    content = published.content
    before = Account(**content["ledger"])
    if before.certain:
        return
    if run.sealed and not exams.held():
        view.current().progress(f"the exam's report leaves {before.unknown} messages unknown: only its engine had the key")
        return
    account = ledger.completed(stack.ledger_dir(), content["run"]["injected_at"], _graded_at(content), before.dropped,
                               published.stock_size)
    grade = completed(_grade(content), account, acted=content["answer"] is not None)
    records.add(run.id, "completed", score=grade.score)
    publish(settings, run, _with(content, grade, account))
    view.current().completed(content["grade"], grade)


def _report(settings: LabSettings, run: Run) -> _Published | None:
    if _published is not None and _published.run == run.id:
        return _published
    content = reports.read_grade(settings, run) if run.last("graded") else None
    return _Published(run.id, content, 0) if content else None


def _graded_at(content: dict) -> float:
    return next(event["time"] for event in reversed(content["timeline"]) if event["kind"] == "graded")


def _grade(content: dict) -> Grade:
    """It may have been read from JSON."""
    stated = {field.name: content["grade"][field.name] for field in fields(Grade)}
    return Grade(**stated | {"lines": tuple(Line(**line) for line in stated["lines"])})


def _with(content: dict, grade: Grade, account: Account) -> dict:
    timeline = [event | {"data": event["data"] | {"score": grade.score}} if event["kind"] == "graded" else event
                for event in content["timeline"]]
    return content | {"grade": grade.as_dict(), "ledger": account.as_dict(), "timeline": timeline}
