"""The containers, as a new user meets them: a fresh clone, no settings, `docker-compose up -d`."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from lab.engine.record import Records
from lab.settings import EXAMPLE_FILE, ROOT, LabSettings
from lab.stack.compose import docker
from lab.stack.compose.stack import ComposeStack
from tests.conftest import Lab, activated, answer_of, missed, private_lab, tracked_files, wait_until
from tests.ports import free_ports

PORTS = [line.split("=")[0] for line in EXAMPLE_FILE.read_text(encoding="utf-8").splitlines() if "_PORT=" in line]
# Both versions of Compose, where both are there.
COMPOSES = {"1": ["docker-compose"], "2": ["docker", "compose"]}


class Clone:
    """A copy of what git tracks, as `umask 077` leaves it, without any .env.

    Only the ports differ, as a busy machine needs it.
    """

    def __init__(self, folder: Path, ports: list[int]):
        self.folder = folder
        self.project = f"sre-lab-test-clone-{ports[0]}"  # another clone may be under test on the same engine
        for name in tracked_files("--cached", "--others", "--exclude-standard"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for path in folder.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)
        self.ports = dict(zip(PORTS, map(str, ports), strict=True))
        self.environment = {**activated(), **self.ports, "COMPOSE_PROJECT_NAME": self.project}
        self.environment.pop("ENV_FILE", None)

    def run(self, *command: str, timeout: float = 600) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, encoding="utf-8", timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
        return done.stdout

    def type(self, command: str) -> str:
        """What it says, typed word by word; it must succeed."""
        return self.run(*shlex.split(command))

    def compose(self, *arguments: str) -> str:
        """`docker-compose ...`, as the document types it."""
        return self.run(*docker.compose_command(), *arguments)

    def follow(self, command: str, until: str) -> None:
        """Read what it says until that text, then press Ctrl-C."""
        with subprocess.Popen(shlex.split(command), cwd=self.folder, env=self.environment, encoding="utf-8",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                said = next((line for line in process.stdout if until in line), "")
                process.send_signal(signal.SIGINT)
                process.wait(30)
            finally:
                process.kill()
        assert until in said, f"{command} ended without it"

    def url(self, setting: str, path: str = "") -> str:
        return f"http://localhost:{self.ports[setting]}{path}"

    def get(self, setting: str, path: str, **options) -> requests.Response:
        return requests.get(self.url(setting, path), timeout=30, **options)


@pytest.fixture(scope="module")
def clone(docker_engine, tmp_path_factory) -> Iterator[Clone]:
    """A clone in which `docker compose up -d` was typed."""
    with free_ports(len(PORTS)) as ports:
        clone = Clone(tmp_path_factory.mktemp("clone"), ports)
        try:
            clone.type("docker compose up -d" if docker.compose_command()[0] == "docker" else "docker-compose up -d")
            yield clone
        finally:
            docker.remove_all(clone.project)


def inspected(clone: Clone) -> list[dict]:
    ids = docker.run("ps", "-aq", "--filter", f"label=com.docker.compose.project={clone.project}").split()
    return json.loads(docker.run("inspect", *ids))


def is_up(clone: Clone, job: str) -> int:
    """How many targets of a job answer Prometheus."""
    found = clone.get("PROMETHEUS_PORT", "/api/v1/query", params={"query": f'sum(up{{job="{job}"}})'}).json()
    return int(found["data"]["result"][0]["value"][1]) if found["data"]["result"] else 0


@pytest.mark.parametrize("version", COMPOSES)
def test_the_file_is_clean_in_both_versions_of_compose(docker_engine, version):
    command = COMPOSES[version]
    if shutil.which(command[0]) is None or not subprocess.run([*command, "version"], capture_output=True, encoding="utf-8").stdout:
        pytest.skip(f"Compose {version} is not installed")
    done = subprocess.run([*command, "config", "--quiet"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_everything_becomes_healthy(clone):
    wait_until(lambda: {one["State"].get("Health", {}).get("Status") for one in inspected(clone)} == {"healthy"},
               120, "every container healthy")
    assert len(inspected(clone)) == 11


def test_the_system_test_passes(clone):
    said = clone.type("python scripts/test_system.py")
    assert "all checks passed" in said


def test_the_documented_calls_answer(clone):
    assert clone.get("PRODUCER_PORT", "/health").json()["status"] == "healthy"
    assert "messages_produced_total" in clone.get("PRODUCER_PORT", "/metrics").text
    assert "messages_consumed_total" in clone.get("CONSUMER_PORT", "/metrics").text
    queues = clone.get("RABBITMQ_MANAGEMENT_PORT", "/api/queues", auth=("admin", "password")).json()
    assert {"messages", "messages.dlq"} <= {queue["name"] for queue in queues}
    policies = clone.get("RABBITMQ_MANAGEMENT_PORT", "/api/policies", auth=("admin", "password")).json()
    assert {policy["name"] for policy in policies} == {"messages", "dead-letters"}
    assert "Locust" in clone.get("LOCUST_PORT", "/").text
    assert clone.get("ALERTMANAGER_PORT", "/-/ready").ok


def test_compose_shows_states_and_logs(clone):
    assert "consumer" in clone.compose("ps")
    assert "broker connected" in clone.compose("logs", "consumer")


def test_grafana_has_its_data_sources_and_every_dashboard(clone):
    found = {one["uid"] for one in clone.get("GRAFANA_PORT", "/api/search").json()}
    ours = {json.loads(path.read_text(encoding="utf-8"))["uid"] for path in (ROOT / "dashboards").glob("*.json")}
    assert ours and ours <= found
    assert clone.get("GRAFANA_PORT", "/api/dashboards/uid/sre-lab-overview").ok
    assert clone.get("GRAFANA_PORT", "/api/datasources/uid/prometheus/health").json()["status"] == "OK"


def test_scaled_consumers_are_found_by_name(clone):
    clone.compose("up", "-d", "--scale", "consumer=3", "--no-recreate")
    wait_until(lambda: is_up(clone, "consumer") == 3, what="three scraped consumers")
    clone.compose("up", "-d", "--scale", "consumer=1", "--no-recreate")
    wait_until(lambda: is_up(clone, "consumer") == 1, what="one scraped consumer")


def test_nothing_is_published_beyond_loopback_and_no_control_api_at_all(clone):
    published = [(one["Name"], port, binding["HostIp"]) for one in inspected(clone)
                 for port, bindings in one["NetworkSettings"]["Ports"].items() for binding in bindings or []]
    assert published and {address for _name, _port, address in published} == {"127.0.0.1"}
    assert not [name for name, port, _address in published if port.startswith("8474")]


def test_nothing_runs_as_root_or_can_write_its_image(clone):
    for one in inspected(clone):
        assert one["HostConfig"]["ReadonlyRootfs"], one["Name"]
        user = docker.run("exec", one["Id"], "id", "-u") if one["Config"]["User"] else "0"
        assert user.strip() != "0", one["Name"]


def test_only_a_container_that_takes_the_place_of_a_service_is_an_impostor(clone):
    stack = ComposeStack(LabSettings(_env_file=None, compose_project_name=clone.project))
    [network] = docker.run("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={clone.project}").split()
    [image] = {one.image for one in docker.containers(clone.project) if one.service == "producer"}

    def visitor(*options: str) -> str:
        return docker.run("run", "--detach", "--network", network, *options, "--entrypoint", "sleep", image, "600").strip()

    visitors = [visitor()]
    try:
        assert stack.impostors() == []
        visitors.append(visitor("--network-alias", "traffic"))
        assert stack.impostors() == ["another container answers as traffic"]
    finally:
        docker.run("rm", "--force", *visitors)


def test_a_killed_broker_comes_back_with_its_messages(clone):
    clone.compose("stop", "consumer")
    answer = requests.post(clone.url("PRODUCER_PORT", "/produce"), json={"id": "kept", "payload": 1}, timeout=30)
    assert answer.status_code == 201
    clone.compose("kill", "rabbitmq")
    answer = requests.post(clone.url("PRODUCER_PORT", "/produce"), json={"id": "refused", "payload": 1}, timeout=30)
    assert answer.status_code in {503, 504}
    clone.compose("start", "rabbitmq")
    clone.compose("start", "consumer")
    ledger = "cat /ledger/processed-*.jsonl"
    wait_until(lambda: '"kept"' in clone.compose("exec", "-T", "consumer", "sh", "-c", ledger), what="processing")


def test_the_older_compose_does_it_all(clone):
    """The broker alone, for local development; then the rest beside it."""
    if shutil.which("docker-compose") is None:
        pytest.skip("not installed: docker-compose")
    clone.compose("down")
    assert docker.containers(clone.project) == []
    clone.type("docker-compose up -d rabbitmq")
    assert [one["Config"]["Labels"]["com.docker.compose.service"] for one in inspected(clone)] == ["rabbitmq"]
    management = clone.url("RABBITMQ_MANAGEMENT_PORT", "/api/queues")
    answer = wait_until(lambda: answer_of(management, auth=("admin", "password")), what="the management")
    assert "messages" in {queue["name"] for queue in answer.json()}  # the volume outlived `down`

    clone.type("docker-compose up -d")
    assert len(inspected(clone)) == 11
    assert "consumer" in clone.type("docker-compose ps")
    clone.follow("docker-compose logs -f consumer", until="broker connected")
    clone.type("docker-compose down")


@pytest.fixture
def lab(docker_engine, tmp_path) -> Iterator[Lab]:
    with private_lab(tmp_path, LAB_STACK="compose") as lab:
        yield lab


@pytest.mark.racing
def test_a_scenario_is_played_graded_and_reset(lab):
    engine = lab.engine("scenario", "2", "--seed", "3")
    try:
        wait_until(lambda: engine.poll() is not None or (run := Records(lab.settings.run_dir).latest()) and run.first("fault"),
                   400, "injection")
        assert engine.poll() is None, engine.stdout.read()
        wait_until(lambda: "BrokerDown" in lab.command("status").stdout, what="the alert")
        lab.command("start", "rabbitmq")
        lab.command("submit", "--component", "broker", "--cause", "process-down", "--notes", "the oracle")
        output, _ = engine.communicate(timeout=300)
    finally:
        engine.kill()
        engine.wait()
    assert engine.returncode == 0, output
    [report] = lab.settings.reports_dir.glob("*-scenario-2/grade.json")
    grade = json.loads(report.read_text(encoding="utf-8"))["grade"]
    assert grade["pass"] and missed(grade) == [], json.dumps(grade, indent=2)
    marks = requests.get(f"http://127.0.0.1:{lab.settings.grafana_port}/api/annotations", timeout=30).json()
    assert {mark["tags"][1] for mark in marks} == {"injected", "mitigation", "submission", "graded"}
    assert {one.state for one in lab.stack.status()} == {"running"}
    _check_that_clean_leaves_nothing_of_ours_and_touches_nothing_else(lab)


def _check_that_clean_leaves_nothing_of_ours_and_touches_nothing_else(lab: Lab) -> None:
    # From an image of ours, whose labels Docker hands on to it.
    [image] = {one.image for one in docker.containers(lab.settings.compose_project_name) if one.service == "producer"}
    other = f"another-{lab.settings.compose_project_name}"
    docker.run("volume", "create", other)
    docker.run("network", "create", other)
    foreign = docker.run("create", "--name", other, "-v", f"{other}:/data", image, "true").strip()
    try:
        lab.command("clean")
        lab.command("clean")  # twice is safe
        project = f"label=com.docker.compose.project={lab.settings.compose_project_name}"
        assert docker.containers(lab.settings.compose_project_name) == []
        assert docker.run("volume", "ls", "-q", "--filter", project) == ""
        assert docker.run("network", "ls", "-q", "--filter", project) == ""
        assert not lab.settings.run_dir.exists()
        assert docker.run("volume", "ls", "-q", "--filter", f"name={other}").split() == [other]
        assert docker.run("network", "ls", "-q", "--filter", f"name={other}")
        assert docker.run("ps", "-aq", "--no-trunc", "--filter", f"name={other}").strip() == foreign
    finally:
        docker.run("rm", "--force", "--volumes", foreign)
        docker.run("network", "rm", other)
        docker.run("volume", "rm", "--force", other)


def test_a_taken_port_is_named_with_its_setting_and_its_holder(lab):
    with socket.create_server(("127.0.0.1", lab.settings.grafana_port)):
        done = lab.command("up", check=False)
    assert done.returncode == 1
    assert f"port {lab.settings.grafana_port} (GRAFANA_PORT, for grafana) is taken by pid {os.getpid()}" in done.stderr
    assert docker.containers(lab.settings.compose_project_name) == []


def test_a_container_that_does_not_become_healthy_is_named_with_the_end_of_its_log(docker_engine, tmp_path, monkeypatch):
    bad = tmp_path / "bad.yml"
    bad.write_text("services: {consumer: {environment: {CONSUMER_PREFETCH: none}}}\n", encoding="utf-8")
    monkeypatch.setenv("COMPOSE_FILE", f"docker-compose.yml:{bad}")
    with private_lab(tmp_path, LAB_STACK="compose") as lab:
        done = lab.command("up", check=False, timeout=400)
        assert done.returncode == 1
        assert "consumer-1" in done.stderr
        assert "CONSUMER_PREFETCH='none'" in done.stderr


def test_a_proxy_of_dockers_client_and_a_changed_password_harm_nothing(lab, tmp_path, monkeypatch):
    config = tmp_path / "docker-config"
    shutil.copytree(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"), config, symlinks=True)
    broken = {"default": {"httpProxy": "http://127.0.0.1:1", "httpsProxy": "http://127.0.0.1:1"}}
    (config / "config.json").write_text(json.dumps({"proxies": broken}), encoding="utf-8")
    lab.command("up", timeout=600)
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    password = """ pa#ss $5 "it's" \\ é☃ """
    lab.command("down")
    lab.command("set", f"RABBITMQ_PASS={password}")
    lab.command("up", timeout=600)
    assert lab.command("dlq", "list").stdout.strip() == "no dead letters"
    before = {one.name: one.pid for one in lab.stack.status()}
    lab.command("start", "producer")
    assert {one.name: one.pid for one in lab.stack.status()} == before
