"""The native stack: what its commands promise, and that it can be cleaned after anything."""

import os
import re
import socket
import sys

import psutil
import pytest
import requests

from lab import settings as lab_settings
from lab.console import daemon
from lab.errors import LabError
from lab.settings import ROOT
from lab.stack import addition, marked
from lab.stack.baseline import Management
from lab.stack.native import stack as native
from lab.stack.native.programs import toxiproxy_binary
from lab.stack.native.supervisor import Supervisor
from tests.conftest import Lab, metric, private_lab, wait_until


def processes(lab: Lab) -> list[psutil.Process]:
    return marked.processes(lab.settings.run_dir)


def consoles(lab: Lab) -> list[psutil.Process]:
    return marked.processes(lab.settings.run_dir, daemon.MARK)


def test_nothing_is_written_beside_the_run_folder_and_clean_leaves_no_process(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        assert processes(lab) and consoles(lab)
        assert re.search(r"console +running +healthy", lab.command("ps").stdout)
        lab.command("clean")
        assert not processes(lab) and not consoles(lab)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["env"]
        lab.command("clean")  # twice is safe


def test_after_kill_9_of_everything_clean_and_up_work(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        for process in [*processes(lab), *consoles(lab)]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        lab.command("clean")
        assert not processes(lab)
        lab.command("up")
        assert consoles(lab)


def test_after_kill_9_of_the_supervisor_up_takes_over_and_keeps_the_queues(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        lab.command("stop", "consumer")
        answer = requests.post(f"{lab.settings.producer_url}/produce", timeout=30,
                               json={"id": "kept", "payload": 1})
        assert answer.status_code == 201
        psutil.Process(int((lab.settings.run_dir / "supervisord.pid").read_text(encoding="utf-8"))).kill()
        assert processes(lab), "the programs outlive their supervisor"
        lab.command("up")
        wait_until(lambda: '"kept"' in (lab.settings.ledger_dir / "processed-consumer-1.jsonl").read_text(encoding="utf-8"),
                   what="processing")


def test_a_taken_port_is_named_with_its_setting_and_its_holder(tmp_path):
    with private_lab(tmp_path) as lab, socket.socket() as holder:
        holder.bind(("127.0.0.1", lab.settings.producer_port))
        holder.listen()
        done = lab.command("up", check=False)
        assert done.returncode == 1
        assert f"port {lab.settings.producer_port} (PRODUCER_PORT, for producer)" in done.stderr
        assert f"pid {os.getpid()}" in done.stderr
        assert not processes(lab)


def test_a_part_that_does_not_start_is_named_with_the_end_of_its_log(tmp_path):
    with private_lab(tmp_path) as lab:
        addition.remember(lab.settings, "consumer-1", {"CONSUMER_PREFETCH": "none"})
        done = lab.command("up", check=False)
        assert done.returncode == 1
        assert "consumer-1" in done.stderr
        assert "CONSUMER_PREFETCH='none'" in done.stderr


def test_a_changed_user_and_password_reach_the_broker(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        for user, password in (("admin", "new1"), ("Jürgen", """ pa#ss $5 "it's" \\ é☃ """), ("admin", "-p%s;{x}")):
            lab.command("down")
            lab.command("set", f"RABBITMQ_USER={user}")
            lab.command("set", f"RABBITMQ_PASS={password}")
            lab.command("up")
            assert lab.command("dlq", "list").stdout.strip() == "no dead letters"
            assert [one["name"] for one in Management(lab_settings.load()).call("GET", "users")] == [user]


def test_a_first_start_takes_any_password_and_a_reset_puts_it_back(tmp_path):
    with private_lab(tmp_path, RABBITMQ_PASS="""'pa#ss é"\\x$ '""") as lab:
        lab.command("up")
        lab.command("exec", "rabbitmq", "rabbitmqctl", "change_password", "admin", "other")
        lab.command("exec", "rabbitmq", "rabbitmqctl", "set_user_tags", "admin")
        lab.command("reset")
        assert lab.settings.rabbitmq_pass == 'pa#ss é"\\x$ '
        assert Management(lab.settings).call("GET", "whoami")["tags"] == ["administrator"]


def test_the_stand_in_serves_where_there_is_no_toxiproxy(tmp_path):
    with private_lab(tmp_path, LAB_TOXIPROXY="standin") as lab:
        assert toxiproxy_binary(lab_settings.load()) is None
        lab.command("up")
        assert "standin" in lab.command("status").stdout


def test_a_run_folder_with_a_space_works(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    with private_lab(folder) as lab:
        lab.command("up")
        lab.command("clean")


@pytest.mark.parametrize("name", ["läb", "it's", "a;b", "p%s", "d$HOME", "e(f)"])
def test_a_run_folder_in_which_the_broker_cannot_run_is_refused_at_once(tmp_path, name):
    with private_lab(tmp_path, LAB_RUN_DIR=f"'{tmp_path / name}'".replace("it's", "it\\'s")) as lab:
        done = lab.command("up", check=False)
        assert done.returncode == 1
        assert "set LAB_RUN_DIR in .env to a folder" in done.stderr
        assert not processes(lab)


@pytest.mark.parametrize("command", [["set_user_tags", "admin", "monitoring"], ["delete_user", "admin"]])
def test_reset_makes_the_user_an_administrator_again(running_lab, command):
    running_lab.command("exec", "rabbitmq", "rabbitmqctl", *command)
    running_lab.command("reset")
    assert Management(running_lab.settings).call("GET", "whoami")["tags"] == ["administrator"]


def test_a_program_that_an_edited_configuration_put_in_the_place_of_ours_is_an_impostor(running_lab):
    stack, path = running_lab.stack, running_lab.settings.run_dir / "supervisord.conf"
    assert stack.impostors() == []
    configuration = path.read_text(encoding="utf-8")
    invented = f"-m lab.fairness.exporter {running_lab.settings.traffic_metrics_port} 24"
    path.write_text(configuration.replace("-m lab.stack.native.launch traffic", invented), encoding="utf-8")
    supervisor = Supervisor(running_lab.settings).rpc
    try:
        stack.stop("traffic")
        supervisor.reloadConfig()
        supervisor.removeProcessGroup("traffic")
        supervisor.addProcessGroup("traffic")
        supervisor.startProcess("traffic")
        assert stack.impostors() == ["traffic runs another program: its supervisor was given another configuration"]
        assert stack.impostors()[0] in stack.differences()
    finally:
        running_lab.command("reset")
    assert stack.impostors() == []


def test_the_environment_has_precedence_over_the_file_for_the_services_too(running_lab):
    url = f"http://127.0.0.1:{running_lab.settings.consumer_port}"
    assert metric(url, "consumer_prefetch") == 10
    running_lab.command("down")
    running_lab.command("up", env=os.environ | {"CONSUMER_PREFETCH": "77"})
    assert metric(url, "consumer_prefetch") == 77


def test_a_broker_that_is_too_old_or_missing_is_named(tmp_path, monkeypatch):
    with private_lab(tmp_path) as lab:
        monkeypatch.setattr(native, "installed_broker_version", lambda: (3, 8, 9))
        with pytest.raises(LabError, match="3.8.9 is too old: the lab needs 3.10"):
            lab.stack.up(print)
        monkeypatch.setattr(native, "RABBITMQ_BIN", tmp_path)
        with pytest.raises(LabError, match="not installed: run `make setup`"):
            lab.stack.up(print)


@pytest.mark.parametrize("binary", ["grafana", "grafana-server"])
def test_grafana_runs_where_it_is_installed(tmp_path, monkeypatch, binary):
    """A stand-in for it, which checks what it is given as Grafana would."""
    programs = tmp_path / "bin"
    programs.mkdir()
    server = programs / binary
    server.write_text(f"#!/bin/sh\nexec {sys.executable} {ROOT / 'tests/standins/grafana.py'} \"$@\"\n", encoding="utf-8")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with private_lab(tmp_path) as lab:
        assert f"http://127.0.0.1:{lab.settings.grafana_port}" in lab.command("up").stdout
        url = f"http://127.0.0.1:{lab.settings.grafana_port}/api"
        assert "sre-lab-overview" in {one["uid"] for one in requests.get(f"{url}/search", timeout=30).json()}
        for source in ("prometheus", "alertmanager"):
            assert requests.get(f"{url}/datasources/uid/{source}/health", timeout=30).json() == {"status": "OK"}
