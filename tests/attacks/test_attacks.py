"""Tricks that repair nothing, each played with the right answer on a real lab: none of them passes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.fairness.cheat import invented_traffic, rewrite_rules
from lab.grading import facts
from lab.prometheus import Prometheus
from services.messaging.topology import QUEUE
from tests.conftest import Lab, private_lab, wait_until

SEED = "7"
NOT_PASSED = 3  # the exit code of a run that did not pass
USUAL_RATE = 24
AVAILABILITY = "client:requests:availability_ratio_rate30s"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> Iterator[Lab]:
    """One lab for all plays, so that what a trick leaves behind meets the next one."""
    with private_lab(tmp_path_factory.mktemp("attacks")) as lab:
        yield lab


@contextmanager
def played(lab: Lab, number: int) -> Iterator[subprocess.Popen]:
    """Scenario `number`, injected; the trick is played inside."""
    engine = lab.engine("scenario", str(number), "--seed", SEED)
    try:
        wait_until(lambda: (run := Records(lab.settings.run_dir).active()) and run.first("fault")
                   or engine.poll() is not None, 300, "injection")
        assert engine.poll() is None, engine.stdout.read()
        yield engine
    finally:
        engine.kill()
        engine.wait()


def answer(lab: Lab, number: int) -> None:
    truth = scenarios.load(number, int(SEED)).truth
    lab.command("submit", "--component", truth.component, "--cause", truth.cause)


def graded(lab: Lab, engine: subprocess.Popen) -> dict:
    """Ask for the grade; the report of the run once its engine has ended."""
    lab.command("grade", check=False)
    output, _ = engine.communicate(timeout=240)
    assert engine.returncode == NOT_PASSED, output
    report = json.loads(max(lab.settings.reports_dir.glob("*/grade.json"), key=os.path.getmtime).read_text(encoding="utf-8"))
    assert not report["grade"]["pass"], output
    return report


def line(report: dict, title: str) -> dict:
    return next(line for line in report["grade"]["lines"] if line["title"] == title)


def proven(report: dict) -> str:
    return "\n".join(signal["text"] for signal in report["evidence"]["tampering"] if signal["voids"])


def impact(lab: Lab) -> float | None:
    run = Records(lab.settings.run_dir).active()
    found = facts.first_symptom(Prometheus(lab.settings.judge_url), run.begun_at, time.time())
    return found


def has_lost_availability(lab: Lab) -> bool:
    """Whether the judge has measured a breach at a moment that the grade looks at; an alert may be pending before that."""
    run, judge = Records(lab.settings.run_dir).active(), Prometheus(lab.settings.judge_url)
    measured = judge.series(AVAILABILITY, run.injected_at, time.time(), facts.STEP_SECONDS)
    return any(value < 0.99 for _time, value in measured)


def process_at(port: int) -> psutil.Process:
    [pid] = {one.pid for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.laddr.port == port}
    return psutil.Process(pid)


class TestAnUnroutableExchangeWithInventedTraffic:
    """Scenario 6: the binding stays deleted, and the clients are replaced by an exporter."""

    @pytest.fixture(scope="class")
    @classmethod
    def report(cls, attacked: Lab) -> Iterator[dict]:
        with played(attacked, 6) as engine:
            wait_until(lambda: has_lost_availability(attacked), 120, "the breach")
            rewrite_rules(attacked.settings, {AVAILABILITY: "vector(1)"})
            attacked.command("stop", "traffic")
            with invented_traffic(attacked.settings, USUAL_RATE):
                answer(attacked, 6)
                judge = Prometheus(attacked.settings.judge_url)
                wait_until(lambda: (judge.value(AVAILABILITY) or 0) >= 0.99, 120,
                           "the judge believing the exporter")
                report = graded(attacked, engine)
            attacked.command("reset")  # the run's own cannot put a foreign exporter's port back
            yield report

    def test_a_foreign_exporter_voids_the_run(self, report):
        assert report["grade"]["verdict"] == "void"
        assert "at which traffic is measured, belongs to another process" in proven(report)

    def test_without_acknowledged_messages_nothing_is_mitigated(self, report):
        assert line(report, "Mitigation")["points"] == 0

    def test_a_rewritten_rule_of_the_labs_prometheus_changes_no_grade(self, report):
        assert "client:requests:availability_ratio_rate30s left its objective" in line(report, "Mitigation")["evidence"]
        assert "rules" not in proven(report)


class TestAFrozenConsumerWithMovedClocks:
    """Scenario 5: the consumer stays frozen; the watermark is moved, the queue purged, the judge held."""

    @pytest.fixture(scope="class")
    @classmethod
    def report(cls, attacked: Lab) -> Iterator[dict]:
        watermark = "queue:processed_until_timestamp_seconds:max"
        with played(attacked, 5) as engine:
            wait_until(lambda: impact(attacked), 120, "the symptom")
            attacked.command("detect")
            rewrite_rules(attacked.settings, {watermark: "vector(9999999999)"})
            wait_until(lambda: (attacked.prometheus.value(watermark) or 0) > 9e9, what="the moved watermark")
            answer(attacked, 5)
            attacked.command("exec", "rabbitmq", "rabbitmqctl", "--quiet", "purge_queue", QUEUE)
            process = process_at(attacked.settings.judge_port)
            process.suspend()
            try:
                began = time.monotonic()
                wait_until(lambda: time.monotonic() - began > facts.LONGEST_HOLE_SECONDS + 2, what="a hole")
            finally:
                process.resume()
            yield graded(attacked, engine)

    def test_nothing_is_mitigated(self, report):
        assert report["grade"]["verdict"] == "fail"
        assert line(report, "Mitigation")["points"] == 0

    def test_a_hole_in_the_measurements_is_reported(self, report):
        assert "the judge measured nothing from" in " ".join(signal["text"] for signal in report["evidence"]["tampering"])

    def test_a_moved_watermark_does_not_outlive_the_run(self, attacked, report):
        with played(attacked, 5):
            wait_until(lambda: "broken" in attacked.command("status", check=False).stdout, 120, "the breach in the lab's Prometheus")
        attacked.command("reset")


class TestAJudgeWithOtherRules:
    """Scenario 24: prepared with three consumers, declared at once, and the judge made to read other rules."""

    @pytest.fixture(scope="class")
    @classmethod
    def report(cls, attacked: Lab) -> Iterator[dict]:
        attacked.command("scale", "consumer", "3")
        with played(attacked, 24) as engine:
            said = attacked.command("detect").stdout
            consumers = [one for one in attacked.stack.status() if one.name.startswith("consumer")]
            wait_until(lambda: impact(attacked), 180, "the symptom")
            answer(attacked, 24)
            path = attacked.settings.run_dir / "judge" / "rules" / "sli.yml"
            path.write_text(path.read_text(encoding="utf-8").replace("or vector(0)", "or vector(1)"), encoding="utf-8")
            process_at(attacked.settings.judge_port).send_signal(signal.SIGHUP)
            judge = Prometheus(attacked.settings.judge_url)
            wait_until(lambda: any("vector(1)" in rule["query"] for group in judge.rules() for rule in group["rules"]
                                   if rule["name"] == "client:requests:rate30s"), what="the changed rules")
            yield graded(attacked, engine) | {"consumers": len(consumers), "said": said}

    def test_a_run_starts_with_the_usual_consumers(self, report):
        assert report["consumers"] == 1

    def test_rules_of_the_judge_that_change_void_the_run(self, report):
        assert report["grade"]["verdict"] == "void"
        assert "the judge's rules changed" in proven(report)

    def test_a_declaration_before_any_symptom_is_a_false_alarm(self, report):
        assert "false alarm" in report["said"]
        assert "false alarm" in line(report, "Detection")["evidence"]
