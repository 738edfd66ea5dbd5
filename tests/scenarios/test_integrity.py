"""Integrity in a whole run: lost messages cost the points, and messages that only wait do not."""

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from lab.engine import reports
from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.fairness import answers
from lab.stack.baseline import Management
from tests.conftest import Lab, private_lab, wait_until


@pytest.fixture(scope="module")
def one_lab(tmp_path_factory) -> Iterator[Lab]:
    with private_lab(tmp_path_factory.mktemp("integrity")) as lab:
        yield lab


@pytest.mark.parametrize("number, queue, spoiling, gone", [
    (5, "messages", "exec rabbitmq rabbitmqctl purge_queue messages", "lost"),
    (3, "messages.dlq", "dlq drop --all --yes", "discarded from the dead-letter queue"),
], ids=["the queue is purged", "the dead-letter queue is dropped"])
def test_it_costs_the_points_and_the_evidence_counts(one_lab: Lab, number, queue, spoiling, gone):
    scenario, records = scenarios.load(number, 3), Records(one_lab.settings.run_dir)
    engine = one_lab.engine("scenario", str(number), "--seed", "3")
    try:
        wait_until(lambda: (run := records.active()) and run.injected_at, 400, "injection")
        wait_until(lambda: Management(one_lab.settings).call("GET", "queues", "/", queue).get("messages", 0) > 50, 120,
                   "something to lose")
        for command in (spoiling, *scenario.oracle.commands):
            one_lab.command(*shlex.split(command))
        one_lab.command(*answers.command(answers.truth(scenario)))
        output, _ = engine.communicate(timeout=400)
    finally:
        engine.kill()
        engine.wait()
    [report] = one_lab.settings.reports_dir.glob(f"*-scenario-{number}/grade.json")
    [line] = [line for line in json.loads(report.read_text(encoding="utf-8"))["grade"]["lines"] if line["title"] == "Integrity"]
    assert line["points"] == 0, output
    assert int(re.search(rf"(\d+) {gone}", line["evidence"])[1]) > 20, line


def test_a_backlog_that_nobody_worked_off_costs_nothing_and_is_counted_at_the_end(one_lab: Lab):
    """The consumer stays frozen; what is unknown at the grade is found by the reset."""
    records = Records(one_lab.settings.run_dir)
    engine = one_lab.engine("scenario", "5", "--seed", "4")
    try:
        wait_until(lambda: (run := records.active()) and run.injected_at, 400, "injection")
        wait_until(lambda: Management(one_lab.settings).call("GET", "queues", "/", "messages").get("messages", 0) > 50, 120,
                   "a backlog")
        one_lab.command(*answers.command(answers.truth(scenarios.load(5, 4))))
        one_lab.command("grade", check=False)
        output, _ = engine.communicate(timeout=400)
    finally:
        engine.kill()
        engine.wait()
    run = records.latest()
    content = reports.read_grade(one_lab.settings, run)
    ledger = content["ledger"]
    assert (ledger["unknown"], ledger["lost"], ledger["discarded"]) == (0, 0, 0), output
    # The rollback wakes the consumer, which may process some of them first.
    assert ledger["queued"] + ledger["processed"] >= ledger["acknowledged"], output
    assert "Integrity: 10 of 10" in output
    assert run.last("completed").data == {"score": content["grade"]["score"]}
