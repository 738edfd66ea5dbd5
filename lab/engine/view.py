"""What the first terminal shows of a run: live where it is a terminal, a line now and then where not."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.markdown import Markdown
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from lab import settings as lab_settings
from lab.engine.record import Run
from lab.engine.scenario import Scenario
from lab.errors import LabError
from lab.grading import report
from lab.grading.rubric import Grade
from lab.monitor import slo_table
from lab.slo import Reading

LINE_SECONDS = 10.0


class View:
    """Shows one run on `console`."""

    def __init__(self, console: Console):
        self._console = console
        self.reset_wanted = False  # the person chose it when interrupting
        self._briefed: int | None = None  # the run whose brief was printed

    def progress(self, line: str) -> None:
        self._console.print(f"[dim]·[/dim] {escape(line)}")

    @contextmanager
    def exercise(self, scenario: Scenario, run: Run, candidate: str | None = None) -> Iterator[Callable]:
        """Yields `show(run, readings, alerts, held_seconds, trouble=None)`; asks on Ctrl-C what to do.

        With a candidate it is an exam: only the page itself tells what it is about.
        """
        if self._briefed != run.id:
            self._briefed = run.id
            heading = Text(f"Exam of {candidate}" if candidate else _heading(scenario, run))
            self._console.print(Panel(Markdown(scenario.brief), title=heading))
            self._console.print(_how_to(lab_settings.load().console_url, with_hints=candidate is None))
        try:
            if self._console.is_terminal:
                with Live(console=self._console, auto_refresh=False, transient=True) as live:
                    par = f", par {_clock(scenario.par_time)}" if candidate is None else ""
                    yield lambda *now, **more: live.update(_panel(scenario, par, *now, **more), refresh=True)
            else:
                yield self._line_printer(scenario)
        except KeyboardInterrupt:
            again = "`make exam` with its key" if candidate else "the same `make scenario-N`"
            raise LabError(self._ask_what_to_do(again)) from None

    def _ask_what_to_do(self, again: str) -> str:
        if sys.stdin.isatty():
            try:
                answer = click.prompt("Leave the run going, or reset the lab?", default="leave",
                                      type=click.Choice(["leave", "reset"]))
            except (click.Abort, KeyboardInterrupt):
                answer = "leave"
            self.reset_wanted = answer == "reset"
        if self.reset_wanted:
            return "the run was ended"
        return f"the run goes on: `lab grade` ends it, {again} shows it again, `lab reset` drops it"

    def _line_printer(self, scenario: Scenario) -> Callable:
        last = 0.0

        def show(run: Run, readings: list[Reading], alerts: list[dict], held: float, trouble: str | None = None):
            nonlocal last
            if time.monotonic() - last < LINE_SECONDS:
                return
            last = time.monotonic()
            slos = ", ".join(f"{reading.slo.name} {reading.shown} {'ok' if reading.holds else 'BROKEN'}"
                             for reading in readings)
            self._console.print(f"{_clock(time.time() - run.begun_at)}  {trouble or slos}"
                                f"  alerts: {_names(alerts)}", soft_wrap=True, markup=False)

        return show

    def graded(self, content: dict, folder: Path) -> None:
        self._console.print(report.terminal(content))
        self._console.print(f"report: {folder / 'report.html'}", soft_wrap=True, markup=False)

    def completed(self, before: dict, grade: Grade) -> None:
        """The grade as it was reported before, and as it is now that every message is accounted for."""
        self._console.print("Every message is accounted for now.", markup=False)
        for line in grade.lines:
            if line.title == "Integrity":
                self._console.print(f"Integrity: {line.points} of {line.out_of}: {line.evidence}", markup=False)
        if grade.score != before["score"]:
            verdict = "pass" if grade.passed else "no pass"
            self._console.print(f"Score: {grade.score} of 100 instead of {before['score']}: {verdict}", markup=False)


def _heading(scenario: Scenario, run: Run) -> str:
    return f"Scenario {scenario.number}" + (f": {run.candidate}" if run.candidate else "")


def _how_to(console_url: str, with_hints: bool) -> str:
    hint = "\n  [bold]lab hint[/bold]                       a hint, for some points" if with_hints else ""
    return f"""\
Work in the browser, [bold]{console_url}/run[/bold], and in a second terminal, in this folder, after
[bold]. .venv/bin/activate[/bold]:
  [bold]lab status[/bold]  [bold]lab ps[/bold]  [bold]lab logs[/bold]   look around, with RUNBOOK.md beside you
  [bold]lab detect[/bold]                     declare the incident when you see it{hint}
  [bold]lab submit[/bold]                     say what is wrong; [bold]lab answers[/bold] lists the words
Then mitigate. The run is graded when you have answered and the SLOs hold
again, or at once with [bold]lab grade[/bold].
"""


def _panel(scenario: Scenario, par: str, run: Run, readings: list[Reading], alerts: list[dict],
           held: float, trouble: str | None = None) -> Panel:
    left = max(0.0, run.begun_at + scenario.time_limit - time.time())
    parts = [f"{_clock(time.time() - run.begun_at)} since the start, {_clock(left)} left{par}",
             slo_table(readings), f"alerts: {_names(alerts)}", _progress_of(run, scenario, held)]
    if trouble:
        parts.append(Text(trouble, style="red"))
    return Panel(Group(*parts), title="live", subtitle="Ctrl-C: leave or reset")


def _progress_of(run: Run, scenario: Scenario, held: float) -> str:
    said = "answer submitted" if run.first("submission") else "no answer yet"
    return f"{said}; SLOs have held for {min(held, scenario.hold):.0f} of {scenario.hold} s"


def _names(alerts: list[dict]) -> str:
    return ", ".join(sorted({alert["labels"]["alertname"] for alert in alerts})) or "none"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


_current = View(Console(highlight=False))


def current() -> View:
    return _current
