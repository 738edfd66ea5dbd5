"""What every form of the stack promises: one suite, run against each."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
import requests

from lab.faults.broker import Alarm, ExporterOff, Permissions, Policy, Unbind
from lab.faults.deployments import OddConsumer, Setting
from lab.faults.importer import Importer
from lab.faults.partner import Partner
from lab.settings import ROOT
from lab.stack.base import Status
from lab.stack.baseline import Management
from lab.toxiproxy import toxiproxy
from tests.conftest import Lab, activated, answer_of, metric, private_lab, wait_until


@pytest.fixture(scope="module", params=["native", "compose"])
def running_lab(request, tmp_path_factory) -> Iterator[Lab]:
    """A lab that is up, in each of the forms."""
    if request.param == "compose":
        request.getfixturevalue("docker_engine")
    with private_lab(tmp_path_factory.mktemp(request.param), LAB_STACK=request.param) as lab:
        lab.command("up", timeout=600)
        yield lab


def status(lab: Lab, name: str) -> Status:
    return next(one for one in lab.stack.status() if one.name == name)


def state(lab: Lab, name: str) -> str:
    return status(lab, name).state


def scraped_consumers(lab: Lab) -> int:
    return sum(up == 1 for _labels, up in lab.prometheus.vector('up{job="consumer"}'))


def test_the_form_is_the_one_that_was_asked_for(lab):
    assert lab.command("status").stdout.startswith(f"stack {lab.settings.lab_stack}, Toxiproxy: 2.12.0")


def test_up_twice_is_safe(lab):
    before = {one.name: one.pid for one in lab.stack.status()}
    lab.command("up")
    assert {one.name: one.pid for one in lab.stack.status()} == before


def test_a_reset_of_what_is_well_breaks_no_connection(lab):
    urls = [lab.settings.producer_url, f"http://127.0.0.1:{lab.settings.consumer_port}"]
    before = [metric(url, "amqp_connection_losses_total") for url in urls]
    lab.command("reset")
    assert [metric(url, "amqp_connection_losses_total") for url in urls] == before


def test_everything_is_scraped(lab):
    wait_until(lambda: {labels["job"] for labels, up in lab.prometheus.vector("up") if up == 1} == {
        "producer", "consumer", "rabbitmq", "rabbitmq-queues", "toxiproxy", "traffic", "prometheus",
        "alertmanager"}, what="all targets up")


@pytest.mark.racing
def test_the_console_is_served_beside_it_with_its_data(lab):
    def charts() -> dict:
        return requests.get(f"{lab.settings.console_url}/dashboards/overview/data", timeout=30).json()["charts"]

    wait_until(lambda: any(series["points"] for chart in charts().values() for series in chart["series"]), what="data")
    assert requests.get(f"{lab.settings.console_url}/run", timeout=30).ok
    assert re.search(r"console +running +healthy", lab.command("ps").stdout)


def test_scaling_gives_that_many_consumers_each_scraped(lab):
    lab.command("scale", "consumer", "3")
    wait_until(lambda: scraped_consumers(lab) == 3, what="three scraped consumers")
    wait_until(lambda: lab.prometheus.value(
        'rabbitmq_detailed_queue_consumers{queue="messages"}') == 3, what="three consumers of the queue")
    lab.command("scale", "consumer", "1")
    wait_until(lambda: scraped_consumers(lab) == 1, what="one scraped consumer")


def test_scaling_out_of_bounds_is_refused(lab):
    done = lab.command("scale", "consumer", "11", check=False)
    assert done.returncode == 1
    assert "0 to 10" in done.stderr


@pytest.mark.parametrize("service", ["producer", "consumer-1", "rabbitmq", "toxiproxy", "prometheus"])
def test_a_killed_service_stays_down_until_it_is_started(lab, service):
    lab.command("kill", service)
    assert state(lab, service) == "stopped"
    lab.command("start", service)
    assert state(lab, service) == "running"


def test_a_crashed_service_is_started_again(lab):
    pid = status(lab, "prometheus").pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: (now := status(lab, "prometheus")).healthy and now.pid not in (None, pid),
               what="a new prometheus")


def test_a_stopped_service_stays_down_until_it_is_started(lab):
    lab.command("stop", "consumer")
    assert state(lab, "consumer-1") == "stopped"
    lab.command("start", "consumer")
    assert status(lab, "consumer-1").healthy


def test_a_paused_service_answers_again_when_resumed(lab):
    lab.command("pause", "producer")
    assert state(lab, "producer") == "paused"
    with pytest.raises(requests.Timeout):
        requests.get(f"{lab.settings.producer_url}/health", timeout=1)
    lab.command("resume", "producer")
    assert requests.get(f"{lab.settings.producer_url}/health", timeout=30).ok


def test_a_changed_setting_holds_after_a_restart_and_reset_takes_it_back(lab):
    before = lab.env_file.read_text(encoding="utf-8")
    lab.command("set", "CONSUMER_PREFETCH=77")
    lab.command("restart", "consumer")
    url = f"http://127.0.0.1:{lab.settings.consumer_port}/metrics"
    assert "consumer_prefetch 77.0" in requests.get(url, timeout=30).text
    lab.env_file.write_text(before, encoding="utf-8")
    lab.command("reset")
    assert "consumer_prefetch 10.0" in requests.get(url, timeout=30).text


def test_logs_can_be_filtered(lab):
    lines = lab.command("logs", "producer", "--grep", "broker connected").stdout.splitlines()
    assert lines
    assert all("broker connected" in line for line in lines)


def test_logs_can_be_followed(lab):
    following = lab.engine("logs", "producer", "--follow", "--grep", "followed")
    try:
        answer = requests.post(f"{lab.settings.producer_url}/produce", timeout=30,
                               json={"id": "followed", "payload": 1})
        assert answer.status_code == 201
        assert "message confirmed" in following.stdout.readline()
    finally:
        following.kill()
        following.communicate()


@pytest.mark.racing
def test_locusts_page_is_served_and_its_workers_reach_producer_broker_and_ledgers(lab):
    url = f"http://127.0.0.1:{lab.settings.locust_port}"
    page = lab.engine("load", "--workers", "2")
    try:
        wait_until(lambda: "Locust" in page_at(url), what="Locust's page")
        wait_until(lambda: '"worker_count":2' in page_at(f"{url}/worker-count").replace(" ", ""), what="two workers")
        requests.post(f"{url}/swarm", data={"shape": "poison-mix", "user_count": 10, "spawn_rate": 10}, timeout=30)
        for kind in ("load", "poison"):
            wait_until(lambda kind=kind: f'"{kind}-' in acknowledged_by_workers(lab), what=f"a message of kind {kind}")
        wait_until(lambda: dead_letters(lab), what="a dead letter")
        requests.post(f"{url}/stop", timeout=30)
        lab.command("ledger")
    finally:
        page.kill()
        page.communicate()


def acknowledged_by_workers(lab: Lab) -> str:
    lines = [line for path in lab.stack.ledger_dir().glob("acknowledged-load-*.jsonl")
             for line in path.read_text(encoding="utf-8").splitlines()]
    return "".join(line for line in lines if '"acknowledged"' in line)


def page_at(url: str) -> str:
    answer = answer_of(url)
    return "" if answer is None else answer.text


def test_commands_run_in_the_brokers_environment(lab):
    done = lab.command("exec", "rabbitmq", "rabbitmqctl", "list_queues", "name")
    assert "messages.dlq" in done.stdout


def test_the_system_test_passes(lab):
    done = subprocess.run("python scripts/test_system.py", shell=True, cwd=ROOT, env=activated(), encoding="utf-8",
                          capture_output=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_prometheus_page_is_served(lab):
    assert "Prometheus" in requests.get(f"{lab.settings.prometheus_url}/graph", timeout=30).text


def test_an_unknown_service_lists_what_there_is(lab):
    done = lab.command("restart", "cosumer", check=False)
    assert done.returncode == 1
    assert "producer" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_ledger_accounts_for_every_message(lab):
    ids = [f"ledger-{number}" for number in range(20)]
    answer = requests.post(f"{lab.settings.producer_url}/batch-produce", timeout=30,
                           json={"messages": [{"id": one, "payload": 1} for one in ids]})
    assert answer.status_code == 201

    def processed() -> str:
        return "".join(path.read_text(encoding="utf-8") for path in lab.stack.ledger_dir().glob("processed-*.jsonl"))

    wait_until(lambda: all(f'"{one}"' in processed() for one in ids), what="processing")
    lab.command("ledger")


def test_what_a_reset_empties_is_not_asked_for(lab):
    lab.command("stop", "consumer")
    kept = wait_until(lambda: Management(lab.settings).call("GET", "queues", "/", "messages").get("messages"),
                      what="a backlog")
    assert kept
    lab.command("reset")
    lab.command("ledger")


def test_a_fault_can_add_to_the_environment_of_what_it_starts(lab):
    Importer(kind="importer", rate=50, defect="wrong-schema").inject(lab.settings, lab.stack)
    wait_until(lambda: dead_letters(lab) > 20, what="dead letters")
    lab.command("stop", "legacy-importer")
    assert "legacy-importer" not in {one.name for one in lab.stack.status() if one.state == "running"}


def inject(lab: Lab, *faults) -> None:
    for fault in faults:
        fault.inject(lab.settings, lab.stack)


@pytest.mark.racing
def test_faults_of_configuration_and_traffic_bite_in_both_forms(lab):
    inject(lab,
           Setting(kind="setting", key="CONSUMER_PREFETCH", value=7, service="consumer"),
           OddConsumer(kind="odd-consumer", consumers=2, key="CONSUMER_RELEASE", value=0.9),
           Partner(kind="partner", batch=20, interval=0.5, expects=200))
    wait_until(lambda: {labels["release"] for labels, _ in lab.prometheus.vector("consumer_build_info")} == {"1.0", "0.9"},
               what="two releases")
    wait_until(lambda: {value for _labels, value in lab.prometheus.vector("consumer_prefetch")} == {7},
               what="a scrape of every restarted consumer")
    wait_until(lambda: dead_letters(lab) > 20, what="dead letters of the old release")

    def batches() -> list[str]:
        path = lab.stack.ledger_dir() / "acknowledged-partner.jsonl"
        return [line for line in path.read_text(encoding="utf-8").splitlines() if '"acknowledged"' in line] if path.exists() else []

    wait_until(lambda: len(batches()) > 40, what="the partner's batches")
    assert len({json.loads(line)["id"] for line in batches()}) == 20  # the same one again and again


def test_faults_of_the_broker_bite_in_both_forms(lab):
    def answer() -> str:
        return requests.post(f"{lab.settings.producer_url}/produce", json={"id": "a", "payload": 1}, timeout=30).text

    inject(lab, Unbind(kind="unbind", exchange="messages", queue="messages"))
    assert "no queue" in answer()
    lab.command("restart", "producer")
    inject(lab, Policy(kind="policy", name="limit", pattern="^messages$", definition={"max-length": 3}),
           ExporterOff(kind="exporter-off"), Alarm(kind="alarm", of="disk"), Alarm(kind="alarm", of="memory"))
    assert {policy["name"] for policy in Management(lab.settings).call("GET", "policies")} == {
        "messages", "dead-letters", "limit"}
    wait_until(lambda: "blocks" in answer(), what="a blocked producer")
    wait_until(lambda: lab.prometheus.value('up{job="rabbitmq"}') == 0, what="a scrape that fails")
    inject(lab, Permissions(kind="permissions", read="^nothing$"))
    wait_until(lambda: not status(lab, "consumer-1").healthy, what="an unhealthy consumer")


def dead_letters(lab: Lab) -> int:
    return Management(lab.settings).call("GET", "queues", "/", "messages.dlq").get("messages", 0)


def test_reset_brings_back_the_baseline_whatever_was_done(lab):
    for command in (
            "scale consumer 3", "kill prometheus", "pause producer", "stop traffic",
            "exec rabbitmq rabbitmqctl delete_queue messages.dlq", "exec rabbitmq rabbitmqctl add_user bob bob",
            "exec rabbitmq rabbitmqctl set_vm_memory_high_watermark absolute 1MB",
            "exec rabbitmq rabbitmqctl set_policy drop ^messages$ {\"max-length\":1} --priority 10"):
        lab.command(*command.split())
    server = toxiproxy(lab.stack)
    server.get_proxy("consumer-link").disable()
    server.get_proxy("producer-link").add_toxic(type="timeout", attributes={"timeout": 0})
    server.get_proxy("producer-link-standby").destroy()
    lab.command("reset")
    management = Management(lab.settings)
    assert {policy["name"] for policy in management.call("GET", "policies")} == {"messages", "dead-letters"}
    assert [user["name"] for user in management.call("GET", "users")] == [lab.settings.rabbitmq_user]
    assert {"messages", "messages.dlq"} <= {queue["name"] for queue in management.call("GET", "queues")}
    assert all(proxy.enabled and not proxy.toxics() for proxy in server.proxies().values())
    assert set(server.proxies()) == {link["name"] for link in lab.stack.links()}
    states = {one.name: one.state for one in lab.stack.status()}
    assert set(states.values()) == {"running"}
    assert "consumer-2" not in states
    answer = requests.post(f"{lab.settings.producer_url}/produce", json={"id": "a", "payload": 1}, timeout=30)
    assert answer.status_code == 201


def test_down_keeps_the_queues_and_up_brings_everything_back(lab):
    lab.command("stop", "consumer")
    answer = requests.post(f"{lab.settings.producer_url}/produce", json={"id": "kept", "payload": 1}, timeout=30)
    assert answer.status_code == 201
    lab.command("down")
    assert not lab.stack.is_up()
    lab.command("down")  # twice is safe
    lab.command("up")
    wait_until(lambda: any('"kept"' in path.read_text(encoding="utf-8") for path in lab.stack.ledger_dir().glob("processed-*.jsonl")),
               what="processing")
