"""The engine: one run at a time, interruptions, resuming, the answer form, and Chaos Toolkit's own command."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lab.engine.record import Records
from tests.conftest import Lab, Terminal, private_lab, wait_until

SEED = "3"
CANDIDATE = "Zoë [bold] O'Neil"


@pytest.fixture(scope="module")
def exercised(tmp_path_factory):
    """A lab with scenario 2 injected, and its engine."""
    with private_lab(tmp_path_factory.mktemp("engine")) as lab:
        engine = start(lab)
        yield lab, engine
        engine.kill()
        engine.wait()


def start(lab: Lab) -> subprocess.Popen:
    engine = lab.engine("scenario", "2", "--seed", SEED, "--candidate", CANDIDATE)
    wait_until(lambda: (run := records(lab).active()) and run.first("fault") and run.engine_is_alive
               or engine.poll() is not None, 300, "injection")
    assert engine.poll() is None, engine.stdout.read()
    return engine


def records(lab: Lab) -> Records:
    return Records(lab.settings.run_dir)


def refused(lab: Lab, *arguments: str) -> str:
    done = lab.command(*arguments, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.racing
class TestWhileARunIsOn:
    def test_a_second_run_is_refused(self, exercised):
        lab, _engine = exercised
        assert "run 1 of scenario 2 is on" in refused(lab, "scenario", "1")
        assert "in another terminal" in refused(lab, "scenario", "2")

    @pytest.mark.parametrize(("arguments", "named"), [
        (("--component", "brokr", "--cause", "latency"), "did you mean 'broker'"),
        (("--component", "broker", "--cause", "gremlins"), "no cause"),
        (("--component", "broker"), "--cause is missing"),
        ((), "--component is missing"),
    ])
    def test_an_answer_outside_the_lists_is_refused(self, exercised, arguments, named):
        lab, _engine = exercised
        assert named in refused(lab, "submit", *arguments)
        assert not records(lab).active().all("submission")

    def test_hints_cost_points_and_end(self, exercised):
        lab, _engine = exercised
        assert "5 points" in lab.command("hint").stdout
        assert "10 points" in lab.command("hint").stdout
        assert "no more hints" in refused(lab, "hint")

    def test_status_tells_of_the_run(self, exercised):
        lab, _engine = exercised
        assert "run 1 of scenario 2: running, 2 hints, 0 answers" in lab.command("status").stdout

    def test_prometheus_may_be_killed_meanwhile(self, exercised):
        lab, engine = exercised
        # Else the first thing that breaks an SLO may be the gap in the measurements.
        wait_until(lambda: "broken" in lab.command("status").stdout, what="the impact")
        lab.command("kill", "prometheus")
        assert "Prometheus does not answer" in refused(lab, "status")
        lab.command("start", "prometheus")
        assert engine.poll() is None

    def test_ctrl_c_without_a_terminal_leaves_the_run_going(self, exercised):
        lab, engine = exercised
        engine.send_signal(signal.SIGINT)
        output, _ = engine.communicate(timeout=60)
        assert "the run goes on" in output
        assert records(lab).active().state == "running"
        assert "engine is gone" in lab.command("status").stdout

    def test_nobody_takes_up_anothers_run(self, exercised):
        lab, _engine = exercised
        assert f"it is {CANDIDATE}'s, not Ada's" in refused(lab, "scenario", "2", "--candidate", "Ada")

    def test_a_run_is_taken_up_again_and_outlives_a_killed_engine(self, exercised):
        lab, _engine = exercised
        engine = start(lab)
        engine.kill()
        engine.wait()
        assert records(lab).active().state == "running"
        assert len(records(lab).active().all("fault")) == 1  # not injected twice

    def test_grade_ends_a_run_whose_engine_is_gone(self, exercised):
        lab, _engine = exercised
        # Prometheus forgot since when it had been pending.
        wait_until(lambda: "BrokerDown" in lab.command("status").stdout, what="the alert")
        done = lab.command("grade", check=False)
        assert done.returncode == 3, done.stdout + done.stderr  # no pass
        assert "0 of 100" in done.stdout
        assert records(lab).active() is None
        assert records(lab).latest().state == "reset"
        assert lab.stack.status()[1].healthy  # the broker is back

    def test_grade_shows_the_last_grade_again(self, exercised):
        lab, _engine = exercised
        assert "0 of 100" in lab.command("grade", check=False).stdout

    def test_its_report_names_who_did_it_and_what_fired_and_is_listed(self, exercised):
        lab, _engine = exercised
        [one] = json.loads(lab.command("reports", "--candidate", "o'neil", "--json").stdout)
        assert (one["candidate"], one["scenario"], one["seed"], one["hints"]) == (CANDIDATE, 2, int(SEED), 2)
        assert CANDIDATE in lab.command("reports", "--compare").stdout.replace("\n", "")
        report = json.loads((Path(one["folder"]) / "grade.json").read_text(encoding="utf-8"))
        incident = report["incident"]
        assert incident["injected_at"] < incident["impact_at"] and incident["time_to_restore"] is None
        assert "BrokerDown" in {alert["name"] for alert in report["alerts"]}
        assert all(begin >= incident["first_alert_at"] for alert in report["alerts"] for begin, _end in alert["stretches"])
        availability = report["curves"][0]
        assert availability["points"] and availability["broken"][0][0] == incident["impact_at"]

    def test_reset_ends_a_run_without_a_grade(self, exercised):
        lab, _engine = exercised
        engine = start(lab)
        lab.command("reset")
        output, _ = engine.communicate(timeout=60)
        assert "ended from another terminal" in output
        assert records(lab).active() is None
        assert lab.stack.status()[1].healthy


    def test_in_a_terminal_the_run_is_shown_live_and_everything_is_asked(self, exercised):
        lab, _engine = exercised
        first = Terminal(sys.executable, "-m", "lab.cli", "scenario", "2", "--seed", SEED)
        first.wait_for("SLOs have held for", 300)
        second = Terminal(sys.executable, "-m", "lab.cli", "submit")
        for question, answer in (("component: ", "broker"), ("cause: ", "process-down"), ("another fault?", "n"),
                                 ("notes", "it's “down”")):
            second.wait_for(question)
            second.type(f"{answer}\n")
        assert second.wait_end() == 0
        assert records(lab).active().last("submission").data == {
            "findings": [{"component": "broker", "cause": "process-down"}], "notes": "it's “down”"}
        first.wait_for("answer submitted")
        first.type("\x03")
        first.wait_for("Leave the run going, or reset the lab?")
        first.type("reset\n")
        assert first.wait_end() == 0
        assert records(lab).active() is None
        assert lab.stack.status()[1].healthy


@pytest.mark.parametrize("arguments", [("submit", "--component", "broker", "--cause", "latency"), ("hint",), ("detect",)])
def test_without_a_run_the_candidates_commands_say_how_to_start_one(tmp_path, arguments):
    with private_lab(tmp_path) as lab:
        assert "make scenario-1" in refused(lab, *arguments)


def test_an_unknown_scenario_lists_what_there_is(tmp_path):
    with private_lab(tmp_path) as lab:
        assert "there are: 1, 2, 3" in refused(lab, "scenario", "99")


def test_clean_in_the_middle_of_a_run_takes_back_what_the_candidate_set(tmp_path):
    with private_lab(tmp_path) as lab:
        before = lab.env_file.read_text(encoding="utf-8")
        run = records(lab).begin(1, 1, before)
        records(lab).set_state(run.id, "running")
        lab.command("set", "CONSUMER_LINK=standby")
        assert lab.env_file.read_text(encoding="utf-8") != before
        lab.command("clean")
        assert lab.env_file.read_text(encoding="utf-8") == before


def test_an_exercise_insists_on_the_usual_settings(tmp_path):
    with private_lab(tmp_path, CONSUMER_PREFETCH=100) as lab:
        assert "lab set CONSUMER_PREFETCH=10" in refused(lab, "scenario", "1")


def test_an_exported_experiment_runs_under_chaos_run(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        experiment = tmp_path / "experiment.json"
        lab.command("export", "2", "--output", str(experiment))
        yaml.safe_load(experiment.read_text(encoding="utf-8"))
        wait_until(lambda: lab.command("status", check=False).stdout.count("holds") == 3, what="the steady state")
        chaos = subprocess.Popen([sys.executable, "-m", "chaostoolkit", "--no-version-check", "run", str(experiment)],
                                 cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        wait_until(lambda: (run := records(lab).active()) and run.first("fault") or chaos.poll() is not None, 120,
                   "injection")
        lab.command("submit", "--component", "broker", "--cause", "process-down")
        lab.command("start", "rabbitmq")
        output, _ = chaos.communicate(timeout=240)
        assert chaos.returncode == 0, output
        assert json.loads((tmp_path / "journal.json").read_text(encoding="utf-8"))["status"] == "completed"
        assert records(lab).latest().state == "reset"
