"""Every alert by a real fault, none in a healthy lab, and each one over when its fault is: on one lab, one after the other.

The alerts that a scenario raises are proven by the scenario; here are those that need another fault.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pika
import pytest

from dashboards.queries import fill_in, panels, variable_values
from lab.engine import scenario as scenarios
from lab.fairness import alerts as proof
from lab.faults import Fault
from lab.faults.importer import Importer
from lab.faults.toxics import Toxic
from lab.settings import ROOT, LabSettings
from lab.stack.base import Stack
from tests.conftest import Lab, private_lab, wait_until

# Some minutes of the quarter of an hour that a healthy lab is to be quiet; HEALTHY_MINUTES=15 for all of it.
HEALTHY_SECONDS = 60 * float(os.environ.get("HEALTHY_MINUTES", "2"))
# A page looks back a minute, a slow burn two.
RESOLVED_SECONDS = 180
DASHBOARDS = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "dashboards").glob("*.json"))]


@dataclass(frozen=True)
class ExpiringMessages:
    """A publisher whose messages expire before a consumer takes them."""

    count: int

    def inject(self, settings: LabSettings, _stack: Stack) -> None:
        credentials = pika.PlainCredentials(settings.rabbitmq_user, settings.rabbitmq_pass)
        with pika.BlockingConnection(pika.ConnectionParameters(
                "127.0.0.1", settings.rabbitmq_port, credentials=credentials)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for number in range(self.count):
                body = json.dumps({"id": f"expiring-{number}", "payload": "x", "processing_time": 1}).encode()
                channel.basic_publish("messages", "messages", body,
                                      pika.BasicProperties(delivery_mode=2, expiration="200"), mandatory=True)


@dataclass(frozen=True)
class Case:
    """Faults, by `lab` commands and as scenarios have them, and within how many seconds each alert must fire."""

    title: str
    commands: tuple[str, ...]
    alerts: dict[str, float]
    faults: Sequence[Fault | ExpiringMessages] = ()


CASES = {
    "A": Case("Toxiproxy and the producer are killed", ("kill toxiproxy", "kill producer"), {
        "ToxiproxyDown": 40, "ProducerDown": 40, "AmqpConnectionLost": 45, "QueueWithoutConsumers": 60,
        "AvailabilityErrorBudgetBurn": 45}),
    "B": Case("the only consumer is killed", ("kill consumer-1",), {
        "ConsumerDown": 45, "QueueWithoutConsumers": 60, "QueueBacklogGrowing": 75, "FreshnessErrorBudgetBurn": 60}),
    "C": Case("the broker's memory alarm", ("exec rabbitmq rabbitmqctl set_vm_memory_high_watermark absolute 1MB",), {
        "BrokerAlarm": 40, "PublishFailing": 60, "AvailabilityErrorBudgetBurn": 60}),
    "D": Case("the broker's exporter is off, the clients stop, and somebody publishes bad messages",
              ("stop traffic", "exec rabbitmq rabbitmq-plugins disable rabbitmq_prometheus"), {
                  "BrokerMetricsMissing": 75, "TrafficMissing": 150, "DeadLettersArriving": 45,
                  "SuccessErrorBudgetBurn": 45},
              [Importer(kind="importer", rate=8, defect="wrong-schema")]),
    "E": Case("the producer's link is slow, and processing fails", ("set CONSUMER_FAILURE_RATE=0.4", "restart consumer"), {
        "ConfirmsLate": 75, "ProcessingFailing": 90},
              [Toxic(kind="toxic", link="producer-link", type="latency", attributes={"latency": 1000})]),
    "F": Case("the consumers' link breaks after every 5 kB, and a policy limits the queue",
              ('exec rabbitmq rabbitmqctl set_policy drop ^messages$ {"max-length":1} --priority 10',), {
                  "MessagesDropped": 45, "AmqpConnectionUnstable": 120},
              [Toxic(kind="toxic", link="consumer-link", type="limit_data", attributes={"bytes": 5000})]),
    "G": Case("somebody publishes messages that expire before their turn", (), {
        "DeadLettersArriving": 45, "SuccessErrorBudgetBurn": 60}, [ExpiringMessages(300)]),
}
# What each of them has spent of an error budget is remembered: the ticket comes when the fault is over.
SLOW_BURNS = {"AvailabilityErrorBudgetBurn": "A", "FreshnessErrorBudgetBurn": "B", "SuccessErrorBudgetBurn": "D"}
began: dict[str, float] = {}  # Unix time of each case's fault


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Iterator[Lab]:
    """A lab under its usual traffic, for long enough."""
    with private_lab(tmp_path_factory.mktemp("alerts")) as lab:
        started = time.time()
        lab.command("up")
        wait_until(lambda: time.time() - started > HEALTHY_SECONDS, HEALTHY_SECONDS + 60, "a time without trouble")
        yield lab


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_every_query_of_every_panel_has_data(healthy: Lab, dashboard):
    values = variable_values(dashboard, healthy.prometheus) | {"__rate_interval": "10s"}
    for panel in panels(dashboard):
        for target in panel["targets"]:
            found = [value for _labels, value in healthy.prometheus.vector(fill_in(target["expr"], values))]
            assert found and all(value == value for value in found), f"{panel['title']}: {target['expr']}: {found}"


def test_no_alert_fires_in_a_healthy_lab(healthy: Lab):
    window = f"{HEALTHY_SECONDS + 60:.0f}s"
    assert healthy.prometheus.vector(f'max_over_time(ALERTS{{alertstate="firing"}}[{window}])') == []


@pytest.mark.parametrize("key", CASES)
def test_the_alerts_fire_in_time_and_are_over_when_the_fault_is(healthy: Lab, key):
    case, prometheus = CASES[key], healthy.prometheus
    settings_before = healthy.env_file.read_text(encoding="utf-8")
    began[key] = time.time()
    for command in case.commands:
        healthy.command(*command.split())
    for fault in case.faults:
        fault.inject(healthy.settings, healthy.stack)

    def seen() -> dict[str, float]:
        return {alert: at for alert, at in proof.fired(prometheus, began[key]).items() if proof.SLOW not in alert}

    for alert, seconds in sorted(case.alerts.items(), key=lambda one: one[1]):
        wait_until(lambda alert=alert: alert in seen(), began[key] + seconds - time.time(), alert)
    healthy.env_file.write_text(settings_before, encoding="utf-8")
    healthy.command("reset")
    wait_until(lambda: proof.only_slow_burns(prometheus), RESOLVED_SECONDS, "an end of the alerts")
    proof.note(key, case.title, seen(), list(case.alerts))


def test_the_alert_names_that_messages_expired(healthy: Lab):
    window = f"{time.time() - began['G']:.0f}s"
    fired = healthy.prometheus.vector(f'max_over_time(ALERTS{{alertname="DeadLettersArriving"}}[{window}])')
    assert {labels["reason"] for labels, _value in fired} == {"expired"}


def test_slow_burns_come_and_go(healthy: Lab):
    seen = {name + proof.SLOW: proof.fired(healthy.prometheus, began[key]).get(name + proof.SLOW)
            for name, key in SLOW_BURNS.items()}
    assert None not in seen.values(), seen
    wait_until(lambda: not healthy.prometheus.firing_alerts(), RESOLVED_SECONDS, "an end of the slow burns")
    proof.note("H", "afterwards, from what A, B and D have spent (seconds since then)", seen, list(seen))


def test_every_alert_is_raised_by_a_scenario_or_here():
    raised = {alert for case in CASES.values() for alert in case.alerts} | {name + proof.SLOW for name in SLOW_BURNS}
    raised |= {alert for number in scenarios.folders() for alert in scenarios.load(number, 0).alerts}
    assert set(proof.alerts()) <= raised
