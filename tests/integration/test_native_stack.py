"""The native stack: what its commands promise, and that it can be cleaned after anything."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
import requests

from lab import settings as lab_settings
from lab.errors import LabError
from lab.stack import native
from lab.stack.programs import consumer_names, toxiproxy_binary
from lab.stack.supervisor import marked_processes
from tests.conftest import Lab, private_lab, wait_until


def state(lab: Lab, name: str) -> str:
    return next(status.state for status in lab.stack.status() if status.name == name)


def scraped_consumers(lab: Lab) -> set[str]:
    return {labels["instance_name"] for labels, up in lab.prometheus.vector('up{job="consumer"}') if up == 1}


def processes(lab: Lab) -> list[psutil.Process]:
    return marked_processes(lab.settings.run_dir)


class TestCommands:
    def test_up_twice_is_safe(self, lab):
        before = {status.name: status.pid for status in lab.stack.status()}
        lab.command("up")
        assert {status.name: status.pid for status in lab.stack.status()} == before

    def test_everything_is_scraped(self, lab):
        wait_until(lambda: {labels["job"] for labels, up in lab.prometheus.vector("up") if up == 1} == {
            "producer", "consumer", "rabbitmq", "rabbitmq-queues", "toxiproxy", "traffic", "prometheus",
            "alertmanager"}, what="all targets up")

    def test_scaling_gives_that_many_consumers_each_scraped(self, lab):
        lab.command("scale", "consumer", "3")
        wait_until(lambda: scraped_consumers(lab) == set(consumer_names(3)), what="three scraped consumers")
        wait_until(lambda: lab.prometheus.value(
            'rabbitmq_detailed_queue_consumers{queue="messages"}') == 3, what="three consumers of the queue")
        lab.command("scale", "consumer", "1")
        wait_until(lambda: scraped_consumers(lab) == {"consumer-1"}, what="one scraped consumer")

    def test_scaling_out_of_bounds_is_refused(self, lab):
        done = lab.command("scale", "consumer", "11", check=False)
        assert done.returncode == 1
        assert "0 to 10" in done.stderr

    @pytest.mark.parametrize("service", ["producer", "consumer-1", "rabbitmq", "toxiproxy", "prometheus"])
    def test_a_killed_service_stays_down_until_it_is_started(self, lab, service):
        lab.command("kill", service)
        assert state(lab, service) == "stopped"
        lab.command("start", service)
        assert state(lab, service) == "running"

    def test_a_crashed_service_is_started_again(self, lab):
        pid = next(status.pid for status in lab.stack.status() if status.name == "prometheus")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: next(
            (status.healthy and status.pid not in (None, pid)) for status in lab.stack.status()
            if status.name == "prometheus"), what="a new prometheus")

    def test_a_paused_service_answers_again_when_resumed(self, lab):
        lab.command("pause", "producer")
        assert state(lab, "producer") == "paused"
        with pytest.raises(requests.Timeout):
            requests.get(f"{lab.settings.producer_url}/health", timeout=1)
        lab.command("resume", "producer")
        assert requests.get(f"{lab.settings.producer_url}/health", timeout=10).ok

    def test_a_changed_setting_holds_after_a_restart_and_reset_takes_it_back(self, lab):
        before = lab.env_file.read_text()
        lab.command("set", "CONSUMER_PREFETCH=77")
        lab.command("restart", "consumer")
        url = f"http://127.0.0.1:{lab.settings.consumer_port}/metrics"
        assert "consumer_prefetch 77.0" in requests.get(url, timeout=5).text
        lab.env_file.write_text(before)
        lab.command("reset")
        assert "consumer_prefetch 10.0" in requests.get(url, timeout=5).text

    def test_logs_can_be_filtered(self, lab):
        lines = lab.command("logs", "producer", "--grep", "broker connected").stdout.splitlines()
        assert lines
        assert all("broker connected" in line for line in lines)

    def test_commands_run_in_the_brokers_environment(self, lab):
        done = lab.command("exec", "rabbitmq", "rabbitmqctl", "list_queues", "name")
        assert "messages.dlq" in done.stdout

    def test_the_system_test_passes(self, lab):
        settings = lab.settings
        done = subprocess.run([
            sys.executable, "scripts/test_system.py", "--producer", settings.producer_url,
            "--consumer", f"http://127.0.0.1:{settings.consumer_port}",
            "--management", settings.management_url], text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_the_prometheus_page_is_served(self, lab):
        assert "Prometheus" in requests.get(f"{lab.settings.prometheus_url}/graph", timeout=5).text

    def test_an_unknown_service_lists_what_there_is(self, lab):
        done = lab.command("restart", "cosumer", check=False)
        assert done.returncode == 1
        assert "producer" in done.stderr
        assert "Traceback" not in done.stderr


def test_nothing_is_written_beside_the_run_folder_and_clean_leaves_no_process(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        assert processes(lab)
        lab.command("clean")
        assert not processes(lab)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["env"]
        lab.command("clean")  # twice is safe


def test_after_kill_9_of_everything_clean_and_up_work(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        for process in processes(lab):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        lab.command("clean")
        assert not processes(lab)
        lab.command("up")


def test_after_kill_9_of_the_supervisor_up_takes_over_and_keeps_the_queues(tmp_path):
    with private_lab(tmp_path) as lab:
        lab.command("up")
        lab.command("stop", "consumer")
        answer = requests.post(f"{lab.settings.producer_url}/produce", timeout=10,
                               json={"id": "kept", "payload": 1})
        assert answer.status_code == 201
        psutil.Process(int((lab.settings.run_dir / "supervisord.pid").read_text())).kill()
        assert processes(lab), "the programs outlive their supervisor"
        lab.command("up")
        wait_until(lambda: '"kept"' in (lab.settings.ledger_dir / "processed-consumer-1.jsonl").read_text(),
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
    with private_lab(tmp_path, CONSUMER_PREFETCH="none") as lab:
        done = lab.command("up", check=False)
        assert done.returncode == 1
        assert "consumer-1" in done.stderr
        assert "CONSUMER_PREFETCH='none'" in done.stderr


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


def test_a_broker_that_is_too_old_or_missing_is_named(tmp_path, monkeypatch):
    with private_lab(tmp_path) as lab:
        monkeypatch.setattr(native, "installed_broker_version", lambda: (3, 8, 9))
        with pytest.raises(LabError, match="3.8.9 is too old: the lab needs 3.10"):
            lab.stack.up(print)
        monkeypatch.setattr(native, "RABBITMQ_BIN", tmp_path)
        with pytest.raises(LabError, match="not installed: run `make setup`"):
            lab.stack.up(print)
