"""What a candidate can change with the tools of the lab: the comparison names it, and a reset puts it back."""

import json
from collections.abc import Callable

import pika
import pytest
import requests

from lab import baseline
from lab.amqp import parameters
from lab.faults.importer import Importer
from lab.stack.baseline import Management
from lab.toxiproxy import toxiproxy
from tests.conftest import Lab, wait_until

Damage = Callable[[Lab], object]


def ctl(*arguments: str) -> Damage:
    """With the broker's own tools."""
    return lambda lab: lab.command("exec", "rabbitmq", *arguments)


def api(method: str, *path: str, **body: object) -> Damage:
    """With the broker's management."""
    return lambda lab: Management(lab.settings).call(method, *path, **body)


def typed(*arguments: str) -> Damage:
    return lambda lab: lab.command(*arguments)


def link(change: Callable) -> Damage:
    """With Toxiproxy's API."""
    return lambda lab: change(toxiproxy(lab.stack))


def written(file: str, text: str) -> Damage:
    """In the run folder."""
    def write(lab: Lab) -> None:
        path = lab.settings.run_dir / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return write


def reload(lab: Lab) -> None:
    requests.post(f"{lab.settings.prometheus_url}/-/reload", timeout=30).raise_for_status()


def rule_added(lab: Lab) -> None:
    written("prometheus/rules/mine.yml", "groups: [{name: a, rules: [{record: b, expr: vector(1)}]}]")(lab)
    reload(lab)


def rules_changed_and_put_back(lab: Lab) -> None:
    path = lab.settings.run_dir / "prometheus" / "rules" / "sli.yml"
    before = path.read_text(encoding="utf-8")
    path.write_text("groups: []\n", encoding="utf-8")
    reload(lab)
    path.write_text(before, encoding="utf-8")


def setting_changed_and_put_back(lab: Lab) -> None:
    before = lab.env_file.read_text(encoding="utf-8")
    lab.command("set", "CONSUMER_PREFETCH=77")
    lab.command("restart", "consumer")
    lab.env_file.write_text(before, encoding="utf-8")


def silence(lab: Lab) -> None:
    requests.post(f"http://127.0.0.1:{lab.settings.alertmanager_port}/api/v2/silences", timeout=30, json={
        "matchers": [{"name": "severity", "value": "page", "isRegex": False}], "createdBy": "a", "comment": "b",
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"}).raise_for_status()


def queue_of_another_kind(lab: Lab) -> None:
    management = Management(lab.settings)
    management.call("DELETE", "queues", "/", "messages.retry.1000ms")
    management.call("PUT", "queues", "/", "messages.retry.1000ms", durable=True, arguments={"x-message-ttl": 1})


def importer(lab: Lab) -> None:
    Importer(kind="importer", rate=5, defect="wrong-schema").inject(lab.settings, lab.stack)


SHOVEL = {"src-protocol": "amqp091", "src-uri": "amqp://", "src-queue": "messages.dlq",
          "dest-protocol": "amqp091", "dest-uri": "amqp://", "dest-queue": "stolen"}
# Each is what was done, and what the comparison says then.
ACCESS = {
    "password": ([ctl("rabbitmqctl", "change_password", "admin", "rotated")], ["user admin: not an administrator"]),
    "tags": ([ctl("rabbitmqctl", "set_user_tags", "admin", "monitoring")], ["user admin: not an administrator"]),
    "user": ([ctl("rabbitmqctl", "delete_user", "admin")], ["user admin: not an administrator"]),
    "management": ([ctl("rabbitmq-plugins", "disable", "rabbitmq_management")], ["rabbitmq: its management does not"]),
    "application": ([ctl("rabbitmqctl", "stop_app")], ["rabbitmq: its management does not answer"]),
    "listeners": ([ctl("rabbitmqctl", "suspend_listeners")], ["rabbitmq: its management does not answer"]),
    "virtual-host": ([api("DELETE", "vhosts", "/")], [
        "virtual host /: missing", "permissions of admin: missing", "policy messages: missing", "queue messages: missing",
        "exchange messages: missing", "binding messages queue messages messages: missing"]),
}
DAMAGES = {
    "definitions": ([
        api("PUT", "policies", "/", "messages", pattern="^messages$", definition={"max-length": 3}, priority=0,
            **{"apply-to": "queues"}),
        api("PUT", "policies", "/", "mine", pattern="^x$", definition={"max-length": 3}, priority=10),
        api("PUT", "operator-policies", "/", "limit", pattern="^messages$", definition={"max-length": 5000}),
        api("PUT", "user-limits", "admin", "max-connections", value=100),
        api("PUT", "vhost-limits", "/", "max-queues", value=100),
        api("PUT", "global-parameters", "mine", value="a"),
        api("PUT", "vhosts", "/", tracing=True),
        api("PUT", "vhosts", "mine"),
        api("PUT", "users", "eve", password="eve", tags="administrator"),
        api("PUT", "topic-permissions", "/", "admin", exchange="messages", write="^$", read="^$"),
        api("PUT", "queues", "/", "junk", durable=True, arguments={}),
        api("PUT", "exchanges", "/", "mine", type="fanout"),
        api("POST", "bindings", "/", "e", "messages", "q", "junk", routing_key="messages", arguments={}),
        api("DELETE", "bindings", "/", "e", "messages", "q", "messages", "messages"),
        api("DELETE", "queues", "/", "messages.dlq"),
        api("PUT", "permissions", "/", "admin", configure=".*", write=".*", read="^messages$"),
        queue_of_another_kind,
    ], [
        "policy messages: changed (definition)", "policy mine: not one", "parameter operator_policy limit: not",
        "user admin: changed (limits)", "parameter vhost-limits limits: not one", "global parameter mine: not one",
        "tracing: on", "virtual host mine: not one", "user eve: not one", "topic permissions of admin messages: not one",
        "queue junk: not one of the lab's", "exchange mine: not one", "binding messages queue junk messages: not one",
        "binding messages queue messages messages: missing", "queue messages.dlq: missing",
        "permissions of admin: changed (read)", "queue messages.retry.1000ms: changed (arguments)",
    ]),
    "plugins-and-limits": ([
        ctl("rabbitmq-plugins", "set", "rabbitmq_management", "rabbitmq_shovel"),
        api("PUT", "parameters", "shovel", "/", "mine", value=SHOVEL),
        ctl("rabbitmqctl", "eval", "vm_memory_monitor:set_vm_memory_high_watermark(0.0001), "
                                   "rabbit_disk_monitor:set_disk_free_limit(\"1000000GB\")."),
    ], ["plugins: rabbitmq_management, rabbitmq_shovel instead of", "parameter shovel mine: not one", "queue stolen: not",
        "memory limit: changed", "disk limit: changed", "memory alarm: in effect", "disk alarm: in effect",
        "connection without a name of user none: not one"]),
    "services": ([
        setting_changed_and_put_back, typed("scale", "consumer", "3"), importer, typed("stop", "traffic"),
        typed("pause", "alertmanager"),
        written("environment/producer.json", json.dumps({"CONFIRM_TIMEOUT": "1"})),
    ], ["consumer-1: runs with other settings", "consumers: 3 instead of 1", "legacy-importer: running, though it usually",
        "traffic: stopped", "alertmanager: paused", "producer: runs with other settings", "user legacy-importer: not one",
        "connection legacy-importer of user legacy-importer: not one"]),
    "links-and-watchers": ([
        link(lambda server: server.get_proxy("consumer-link").disable()),
        link(lambda server: server.get_proxy("producer-link").add_toxic(type="timeout", attributes={"timeout": 0})),
        link(lambda server: server.get_proxy("producer-link-standby").destroy()),
        link(lambda server: server.populate([{"name": "mine", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}])),
        silence, rule_added, written("prometheus/targets/traffic.yml", "[]"),
    ], ["link consumer-link: disabled", "link producer-link: toxic timeout_downstream", "link producer-link-standby: missing",
        "link mine: not one of the lab's", "silence of severity=page: not one of the lab's",
        "prometheus: rules/mine.yml changed", "prometheus: targets/traffic.yml changed"]),
    "rules-put-back": ([rules_changed_and_put_back], ["prometheus: has not loaded its configuration since"]),
}


@pytest.mark.parametrize("name", [*ACCESS, *DAMAGES])
def test_what_is_changed_is_named_and_a_reset_puts_it_back(running_lab, name):
    damages, named = (ACCESS | DAMAGES)[name]
    for damage in damages:
        damage(running_lab)
    wait_until(lambda: not missing_of(named, differences(running_lab)), what=f"{named} in the comparison")
    done = running_lab.command("reset")
    assert "is restarted" not in done.stdout
    # A part may be slow to answer, and of the producer's workers one may still be connecting.
    wait_until(lambda: differences(running_lab) == [], what="the baseline")
    wait_until(lambda: is_accepted(running_lab), what="an accepted message")


def is_accepted(lab: Lab) -> bool:
    return requests.post(f"{lab.settings.producer_url}/produce", json={"id": "a", "payload": 1}, timeout=30).status_code == 201


def test_a_consumer_of_somebody_else_is_disconnected_before_a_run(running_lab):
    said: list[str] = []
    connection = pika.BlockingConnection(parameters(running_lab.settings, "mine"))
    connection.channel().basic_consume("messages", lambda *_: None)
    line = wait_until(lambda: differences(running_lab), what="a difference")
    baseline.ensure(running_lab.settings, running_lab.stack, said.append)
    assert line == ["connection mine of user admin: not one of the lab's"]
    assert said[0] == f"not at the baseline, so it is put back: {line[0]}"
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()


def test_a_lab_at_its_baseline_costs_a_run_no_command_of_the_broker(running_lab, monkeypatch):
    stack = running_lab.stack
    monkeypatch.setattr(stack, "run_in", lambda *_: pytest.fail("a command ran"))
    baseline.ensure(running_lab.settings, stack, lambda line: pytest.fail(line))


def differences(lab: Lab) -> list[str]:
    return baseline.differences(lab.settings, lab.stack)


def missing_of(named: list[str], lines: list[str]) -> list[str]:
    return [start for start in named if not any(line.startswith(start) for line in lines)]
