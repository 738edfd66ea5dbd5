"""An exam from the draw to the signed report, on a real lab: what shows of it, what is told of tampering."""

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests

from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.exam.exam import draw
from lab.exam.key import Key
from lab.prometheus import Prometheus
from lab.stack import marked
from tests.conftest import Lab, private_lab, wait_until

CANDIDATE = "Zoë [bold] O'Neil \\"
SCENARIO = 2


@pytest.fixture
def examined(tmp_path):
    """A lab, the interviewer's key file, and the key."""
    with private_lab(tmp_path) as lab:
        key_file = tmp_path / "interviewer.key"
        yield lab, key_file, Key.create(key_file)


def seed_for(key: Key, number: int) -> int:
    return next(seed for seed in range(1000) if draw(key, "", 45, seed, None).scenario_number == number)


def start(lab: Lab, key: Key, key_file: Path) -> subprocess.Popen:
    engine = lab.engine("exam", "start", "--candidate", CANDIDATE, "--minutes", "20",
                        "--seed", str(seed_for(key, SCENARIO)), "--key", str(key_file))
    wait_until(lambda: (run := Records(lab.settings.run_dir).active()) and run.first("fault") and run.engine_is_alive
               or engine.poll() is not None, 300, "injection")
    assert engine.poll() is None, engine.stdout.read()
    return engine


def report_of(lab: Lab) -> Path:
    return max(lab.settings.reports_dir.glob("*-exam/grade.json"))


def tampering(lab: Lab) -> list[dict]:
    return json.loads(report_of(lab).read_text(encoding="utf-8"))["evidence"]["tampering"]


def judge_process(lab: Lab) -> psutil.Process:
    """The process that listens at the judge's port."""
    [pid] = {one.pid for one in psutil.net_connections("tcp")
             if one.status == psutil.CONN_LISTEN and one.laddr.port == lab.settings.judge_port}
    return psutil.Process(pid)


def test_an_exam_gives_nothing_away_and_its_report_is_signed(examined):
    lab, key_file, key = examined
    engine = start(lab, key, key_file)
    key_file.rename(key_file.with_suffix(".away"))  # as the interviewer is told

    truth = scenarios.load(SCENARIO)
    secrets = [truth.name, truth.title, truth.truth.explanation.split(".")[0], "service: rabbitmq", '"action": "kill"']
    everything = lab.settings.run_dir.parent  # run folder, reports, settings
    found = subprocess.run(["grep", "-rlaF", *(f"-e{secret}" for secret in secrets), str(everything)],
                           capture_output=True, encoding="utf-8", env=os.environ | {"LC_ALL": "C"})
    # Prometheus and the broker may remove files of theirs meanwhile.
    unread = [line for line in found.stderr.splitlines() if not line.endswith("No such file or directory")]
    assert (found.stdout, unread) == ("", [])
    processes = [psutil.Process(engine.pid), *marked.processes(lab.settings.run_dir)]  # not other labs'
    shown = "\n".join(f"{' '.join(process.cmdline())}\n{process.environ()}" for process in processes)
    assert not [secret for secret in [*secrets, f"scenario {SCENARIO}"] if secret in shown]

    with pytest.raises(requests.ConnectionError):
        requests.get(f"{lab.settings.toxiproxy_url}/version", timeout=30)
    lab.command("restart", "toxiproxy")
    assert "does not answer" not in lab.command("status").stdout
    assert "run 1 of an exam: running" in lab.command("status").stdout
    assert "no hints in an exam" in lab.command("hint", check=False).stderr
    assert "an exam is on" in lab.command("scenario", str(SCENARIO), check=False).stderr
    wait_until(lambda: "broken" in lab.command("status", check=False).stdout, what="the symptom")
    lab.command("detect")
    lab.command("submit", "--component", truth.truth.component, "--cause", truth.truth.cause)
    for command in truth.oracle.commands:
        lab.command(*command.split())
    output, _ = engine.communicate(timeout=180)
    assert engine.returncode == 0, output
    before_the_grade = output.partition(" of 100")[0]
    assert "cannot place orders" in before_the_grade and CANDIDATE in before_the_grade
    assert not [secret for secret in [*secrets, f"cenario {SCENARIO}", " par "] if secret in before_the_grade]
    assert tampering(lab) == []

    content = json.loads(report_of(lab).read_text(encoding="utf-8"))
    assert content["exam"]["candidate"] == CANDIDATE
    assert content["scenario"]["number"] == SCENARIO
    assert requests.get(f"{lab.settings.toxiproxy_url}/version", timeout=30).ok
    verified = lab.command("exam", "verify", str(report_of(lab)), "--public", key.public.text)
    assert "VALID" in verified.stdout
    key_file.with_suffix(".away").rename(key_file)
    for field, section in (("score", "grade"), ("candidate", "exam")):
        edited = report_of(lab).with_name("edited.json")
        edited.write_text(json.dumps(content | {section: content[section] | {field: 1}}), encoding="utf-8")
        refused = lab.command("exam", "verify", str(edited), "--key", str(key_file), check=False)
        assert refused.returncode == 3
        assert f"NOT VALID: {section} was changed" in refused.stdout


@pytest.mark.racing
def test_what_was_touched_is_told_and_only_the_key_takes_up_an_exam(examined):
    lab, key_file, key = examined
    engine = start(lab, key, key_file)
    engine.kill()
    engine.wait()
    assert "only the interviewer's key" in lab.command("grade", check=False).stderr
    other = key_file.with_name("other.key")
    Key.create(other)
    refused = lab.command("exam", "start", "--candidate", CANDIDATE, "--key", str(other), check=False)
    assert "sealed with another key" in refused.stderr
    engine = start(lab, key, key_file)

    [acknowledged] = lab.settings.ledger_dir.glob("acknowledged-*.jsonl")
    acknowledged.write_text(acknowledged.read_text(encoding="utf-8").replace("acknowledged", "acknowledgeb", 1), encoding="utf-8")
    with closing(sqlite3.connect(lab.settings.run_dir / "lab.sqlite")) as database, database:
        database.execute("UPDATE events SET time = time + 60 WHERE kind = 'injected'")
    assert "no command" in lab.command("restart", "judge", check=False).stderr
    (lab.settings.run_dir / "judge" / "rules" / "causes.yml").unlink()
    judge_process(lab).send_signal(signal.SIGHUP)
    judge = Prometheus(lab.settings.judge_url)
    wait_until(lambda: not any(group["file"].endswith("causes.yml") for group in judge.rules()), what="the changed rules")
    lab.command("grade", check=False)
    output, _ = engine.communicate(timeout=180)

    voids = {signal["text"]: signal["voids"] for signal in tampering(lab)}
    for expected, is_proof in (("were not watched: the engine was started again", False),
                               ("acknowledged-traffic.jsonl was edited", True),
                               ("events of this run were edited", True), ("judge's rules changed", True)):
        [found] = [text for text in voids if expected in text]
        assert voids[found] == is_proof
    assert json.loads(report_of(lab).read_text(encoding="utf-8"))["grade"]["verdict"] == "void"
    assert "tampering signal: " in output
    assert "tampering signal: " in lab.command("exam", "verify", str(report_of(lab)), "--key", str(key_file)).stdout
