"""Each scenario, played on a fresh lab: by nobody, by every other scenario's answer, by its oracle."""

import dataclasses
import json
import subprocess
import time
from io import StringIO

import pytest
from dotenv import dotenv_values

from lab.engine import activities
from lab.engine import scenario as scenarios
from lab.engine.record import Event, Records, Run
from lab.faults.toxics import toxiproxy
from lab.grading.rubric import Grade
from lab.stack.baseline import Management
from tests.conftest import Lab, private_lab, wait_until
from tests.scenarios import proof

NUMBERS = sorted(scenarios.folders())
SEED = 3


@pytest.fixture(scope="module", params=NUMBERS, ids=lambda number: f"scenario-{number}")
def played(request, tmp_path_factory):
    """A scenario whose fault is in and whose alerts fire, on a lab of its own."""
    with private_lab(tmp_path_factory.mktemp(f"scenario-{request.param}")) as lab:
        engine = lab.engine("scenario", str(request.param), "--seed", str(SEED))
        try:
            play = Play(lab, scenarios.load(request.param, SEED), engine)
            wait_until(play.is_injected, 400, "injection")
            yield play
        finally:
            engine.kill()
            engine.wait()


@dataclasses.dataclass
class Play:
    """One run of one scenario."""

    lab: Lab
    scenario: scenarios.Scenario
    engine: subprocess.Popen

    @property
    def run(self) -> Run:
        return Records(self.lab.settings.run_dir).latest()

    def is_injected(self) -> bool:
        assert self.engine.poll() is None, self.engine.stdout.read()
        run = Records(self.lab.settings.run_dir).latest()
        return bool(run) and len(run.all("fault")) == len(self.scenario.faults)

    def grade_with(self, answer_of: scenarios.Scenario | None) -> Grade:
        """What the run would be graded now, if that scenario's truth had been the answer."""
        run = self.run
        if answer_of is not None:
            truth = answer_of.truth
            submission = Event(time.time(), "submission", {"component": truth.component, "cause": truth.cause})
            run = dataclasses.replace(run, events=(*run.events, submission))
        return activities.assess(self.lab.settings, self.scenario, run, wait=False)

    def has_fired(self, alert: str) -> bool:
        return bool(self.lab.prometheus.vector(
            f'max_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[10m])'))


def test_the_expected_alerts_fire(played: Play):
    for alert in played.scenario.alerts:
        wait_until(lambda alert=alert: played.has_fired(alert), 2 * played.scenario.impact_within, alert)


def test_the_fault_alone_breaks_an_slo_in_time(played: Play):
    left = played.run.injected_at + played.scenario.impact_within - time.time()
    wait_until(lambda: "no objective was broken" not in str(played.grade_with(None).lines), max(left, 0),
               "a broken objective")


def test_doing_nothing_scores_at_most_10(played: Play):
    assert played.grade_with(None).score <= 10


def test_the_answer_of_another_scenario_never_passes(played: Play):
    for other in NUMBERS:
        if other == played.scenario.number:
            continue
        wrong = scenarios.load(other, SEED)
        for command in wrong.oracle.commands:
            played.lab.command(*command.split(), check=False)
        grade = played.grade_with(wrong)
        assert not grade.passed, grade


def test_the_oracle_scores_at_least_95_and_the_lab_is_reset(played: Play):
    settings_before = dotenv_values(stream=StringIO(played.run.settings_before))
    injected_at = played.run.injected_at
    for command in played.scenario.oracle.commands:
        played.lab.command(*command.split())
    truth = played.scenario.truth
    played.lab.command("submit", "--component", truth.component, "--cause", truth.cause, "--notes", "the oracle")
    output, _ = played.engine.communicate(timeout=300)
    assert played.engine.returncode == 0, output
    [report] = played.lab.settings.reports_dir.glob(f"*-scenario-{played.scenario.number}/grade.json")
    grade = json.loads(report.read_text())["grade"]
    assert grade["score"] >= 95, json.dumps(grade, indent=2)
    assert json.loads((report.parent / "journal.json").read_text())["status"] == "completed"
    page = (report.parent / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == page.count('class="curve" points="2') == 3  # each objective, with its values
    _check_baseline(played, settings_before)
    wait_until(lambda: proof.only_slow_burns(played.lab.prometheus), 120, "an end of the alerts")
    proof.note(str(played.scenario.number), played.scenario.title, proof.fired(played.lab.prometheus, injected_at),
               played.scenario.alerts)


def _check_baseline(played: Play, settings_before: dict) -> None:
    settings = played.lab.settings
    assert played.run.state == "reset"
    assert dotenv_values(played.lab.env_file) == settings_before
    assert all(not proxy.toxics() and proxy.enabled for proxy in toxiproxy(played.lab.stack).proxies().values())
    assert {user["name"] for user in Management(settings).call("GET", "users")} == {settings.rabbitmq_user}
    states = {status.name: (status.state, status.healthy) for status in played.lab.stack.status()}
    assert {state for state, _healthy in states.values()} == {"running"}, states
    assert False not in {healthy for _state, healthy in states.values()}, states


