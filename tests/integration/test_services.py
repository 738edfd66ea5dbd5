"""The services as spec.md demands them, on a real broker."""

import json
import os
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pika
import pytest
import requests

from lab.settings import ROOT
from lab.stack.baseline import Management
from tests.conftest import activated, answer_of, metric, wait_until
from tests.ports import free_ports


def new_id() -> str:
    return f"test-{uuid.uuid4()}"


def post(lab, path: str, body, **options) -> requests.Response:
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    return requests.post(f"{lab.settings.producer_url}{path}", data=data, timeout=30, **options)


def ledger_events(lab, message_id: str) -> list[str]:
    return [json.loads(line)["event"] for path in lab.settings.ledger_dir.glob("processed-*.jsonl")
            for line in path.read_text(encoding="utf-8").splitlines() if message_id in line]


def consumer_metric(lab, name: str) -> float:
    return metric(f"http://127.0.0.1:{lab.settings.consumer_port}", name)


def queue_depth(lab, queue: str) -> int:
    found = Management(lab.settings).call("GET", "queues", "/", queue)
    return found.get("messages", 0)


def connections_of_the_producer(lab) -> float:
    return metric(lab.settings.producer_url, "amqp_connections_open")


@pytest.fixture
def broker(lab):
    connection = pika.BlockingConnection(pika.ConnectionParameters(
        "127.0.0.1", lab.settings.rabbitmq_port,
        credentials=pika.PlainCredentials(lab.settings.rabbitmq_user, lab.settings.rabbitmq_pass)))
    yield connection.channel()
    connection.close()


class TestProducer:
    def test_health_has_the_documented_form(self, lab):
        answer = requests.get(f"{lab.settings.producer_url}/health", timeout=30)
        assert answer.status_code == 200
        assert set(answer.json()) == {"status", "timestamp"}
        assert answer.json()["status"] == "healthy"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", answer.json()["timestamp"])

    def test_a_single_message_is_confirmed_and_processed(self, lab):
        message_id = new_id()
        answer = post(lab, "/produce", {"id": message_id, "payload": "content", "processing_time": 0.1})
        assert answer.status_code == 201
        assert answer.json()["status"] == "success"
        assert answer.json()["message_id"] == message_id
        wait_until(lambda: ledger_events(lab, message_id) == ["processed"], what="processing")

    def test_a_batch_is_confirmed_and_processed(self, lab):
        ids = [new_id(), new_id()]
        answer = post(lab, "/batch-produce", {"messages": [{"id": one, "payload": "content"} for one in ids]})
        assert answer.status_code == 201
        assert answer.json() == {"status": "success", "messages_produced": 2}
        for one in ids:
            wait_until(lambda one=one: ledger_events(lab, one) == ["processed"], what="processing")

    @pytest.mark.parametrize("payload", ["text", {"nested": [1, 2.5, None]}, 7, False, [], "ünï\u2028cödé"])
    def test_any_json_value_but_null_is_a_payload(self, lab, payload):
        assert post(lab, "/produce", {"id": new_id(), "payload": payload}).status_code == 201

    @pytest.mark.parametrize(("body", "named"), [
        ("", "empty"),
        ("not json", "JSON"),
        (b"\xff\xfe", "JSON"),
        ("[]", "body"),
        ("null", "body"),
        ({"payload": "x"}, "id"),
        ({"id": 7, "payload": "x"}, "id"),
        ({"id": "", "payload": "x"}, "id"),
        ({"id": "x" * 256, "payload": "x"}, "id"),
        ({"id": "two\nlines", "payload": "x"}, "id"),
        ({"id": "x"}, "payload"),
        ({"id": "x", "payload": None}, "payload"),
        ({"id": "x", "payload": "x", "processing_time": -1}, "processing_time"),
        ({"id": "x", "payload": "x", "processing_time": 1e9}, "processing_time"),
        ({"id": "x", "payload": "x", "processing_time": "1.5"}, "processing_time"),
        ({"id": "x", "payload": "x", "processing_time": True}, "processing_time"),
        ('{"id": "x", "payload": "x", "processing_time": NaN}', "processing_time"),
        ({"id": "x", "payload": "x", "proccessing_time": 1}, "proccessing_time"),
        ('{"id": "x", "payload": NaN}', "payload"),
        ('{"id": "x", "payload": {"a": [1, -Infinity]}}', "payload"),
        ('{"id": "x", "payload": [1e999]}', "payload"),
        ('{"id": "x", "payload": "\\ud800"}', "JSON"),
        ('{"id": "x", "payload": ' + "[" * 10_000, "JSON"),
    ])
    def test_a_bad_body_names_what_is_wrong(self, lab, body, named):
        answer = post(lab, "/produce", body)
        assert answer.status_code == 400
        assert named in answer.json()["error"]

    @pytest.mark.parametrize(("body", "status", "named"), [
        ({}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "x"}, 400, "messages"),
        ({"messages": [{"id": "a", "payload": 1}, {"payload": 2}]}, 400, "messages[1].id"),
        ({"messages": [{"id": "a", "payload": 1}, {"id": "a", "payload": 2}]}, 400, "messages[1].id"),
        ({"messages": [{"id": str(number), "payload": 1} for number in range(1001)]}, 413, "1000"),
    ])
    def test_a_bad_batch_publishes_nothing(self, lab, body, status, named):
        answer = post(lab, "/batch-produce", body)
        assert answer.status_code == status
        assert named in answer.json()["error"]
        assert ledger_events(lab, '"a"') == []

    def test_a_body_that_is_too_large_is_refused(self, lab):
        answer = post(lab, "/produce", {"id": "x", "payload": "x" * 2_000_000})
        assert answer.status_code == 413
        assert "1048576" in answer.json()["error"]

    def test_a_chunked_body_that_is_too_large_is_refused(self, lab):
        answer = post(lab, "/produce", iter([b'{"id": "x", "payload": "', *[b"x" * 65536] * 20, b'"}']))
        assert answer.status_code == 413

    @pytest.mark.parametrize(("method", "path", "status"), [
        ("GET", "/produce", 405), ("POST", "/health", 405), ("GET", "/nowhere", 404)])
    def test_wrong_paths_and_methods_answer_json(self, lab, method, path, status):
        answer = requests.request(method, f"{lab.settings.producer_url}{path}", timeout=30)
        assert answer.status_code == status
        assert answer.json()["error"]

    def test_metrics_have_the_documented_names(self, lab):
        post(lab, "/produce", {"id": new_id(), "payload": "x"})
        text = requests.get(f"{lab.settings.producer_url}/metrics", timeout=30).text
        assert re.search(r"^messages_produced_total \d", text, re.MULTILINE)
        assert 'http_request_duration_seconds_bucket{' in text

    def test_concurrent_requests_are_each_confirmed(self, lab):
        ids = [new_id() for _ in range(200)]
        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda one: post(lab, "/produce", {"id": one, "payload": 1}), ids))
        assert {answer.status_code for answer in answers} == {201}
        assert [answer.json()["message_id"] for answer in answers] == ids

    @pytest.mark.racing
    def test_a_broker_that_is_away_gives_503_and_nothing_is_lost(self, lab):
        before, after = new_id(), new_id()
        workers = connections_of_the_producer(lab)
        assert post(lab, "/produce", {"id": before, "payload": 1}).status_code == 201
        lab.stack.kill("rabbitmq")
        wait_until(lambda: connections_of_the_producer(lab) == 0, what="the loss of every worker's connection")
        answer = post(lab, "/produce", {"id": "no", "payload": 1})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        batch = post(lab, "/batch-produce", {"messages": [{"id": "no1", "payload": 1}, {"id": "no2", "payload": 1}]})
        assert (batch.status_code, batch.json()["messages_produced"]) == (503, 0)
        assert [result["status"] for result in batch.json()["results"]] == ["unavailable", "unavailable"]
        health = requests.get(f"{lab.settings.producer_url}/health", timeout=30)
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert "broker" in health.json()["reason"]
        assert requests.get(f"{lab.settings.producer_url}/health/live", timeout=30).status_code == 200
        lab.stack.start("rabbitmq")
        wait_until(lambda: connections_of_the_producer(lab) == workers, what="every worker's connection")
        assert post(lab, "/produce", {"id": after, "payload": 1}).status_code == 201
        for one in (before, after):
            wait_until(lambda one=one: "processed" in ledger_events(lab, one), what="processing")

    def test_a_broker_that_does_not_confirm_in_time_gives_504(self, lab):
        lab.stack.pause("rabbitmq")
        try:
            answer = post(lab, "/produce", {"id": new_id(), "payload": 1})
        finally:
            lab.stack.resume("rabbitmq")
        assert answer.status_code == 504
        assert "same id" in answer.json()["error"]

    def test_a_blocked_broker_gives_503(self, lab):
        lab.command("exec", "rabbitmq", "rabbitmqctl", "set_vm_memory_high_watermark", "0")
        try:
            post(lab, "/produce", {"id": new_id(), "payload": 1})  # the broker tells of the alarm on the first publish
            wait_until(lambda: (a := post(lab, "/produce", {"id": new_id(), "payload": 1})).status_code == 503
                       and "alarm" in a.json()["error"], what="503")
        finally:
            lab.command("exec", "rabbitmq", "rabbitmqctl", "set_vm_memory_high_watermark", "0.4")

    def test_an_unroutable_message_gives_503(self, lab, broker):
        broker.queue_unbind("messages", "messages", "messages")
        try:
            answer = post(lab, "/produce", {"id": new_id(), "payload": 1})
        finally:
            broker.queue_bind("messages", "messages", "messages")
        assert answer.status_code == 503
        assert "not stored" in answer.json()["error"]


class TestConsumer:
    def test_metrics_have_the_documented_names(self, lab):
        text = requests.get(f"http://127.0.0.1:{lab.settings.consumer_port}/metrics", timeout=30).text
        for name in ("messages_consumed_total", "message_processing_duration_seconds_bucket",
                     "# TYPE message_processing_errors_total counter"):
            assert name in text

    @pytest.mark.parametrize(("body", "reason"), [
        (b'{"id": "torn', "undecodable"), (b"\xff\x00", "undecodable"), (b'{"id": 7}', "invalid")])
    def test_poison_goes_to_the_dead_letter_queue_at_once(self, lab, broker, body, reason):
        message_id = new_id()
        broker.basic_publish("messages", "messages", body, pika.BasicProperties(message_id=message_id))
        found = wait_until(lambda: _take(broker, "messages.dlq", message_id), what="the dead letter")
        properties, content = found
        assert content == body
        assert properties.headers["x-dead-letter-reason"] == reason
        assert properties.headers["x-dead-letter-error"]
        assert ledger_events(lab, message_id) == ["dead-lettered"]

    def test_poison_with_a_header_that_pika_cannot_write_is_dead_lettered_all_the_same(self, lab, broker):
        message_id = new_id()
        answer = requests.post(  # pika itself could not send it
            f"{lab.settings.management_url}/api/exchanges/%2F/messages/publish", timeout=30,
            auth=(lab.settings.rabbitmq_user, lab.settings.rabbitmq_pass),
            json={"routing_key": "messages", "payload": "?", "payload_encoding": "string",
                  "properties": {"message_id": message_id, "headers": {"weight": 1e300, "colour": "red"}}})
        assert answer.json() == {"routed": True}
        properties, _body = wait_until(lambda: _take(broker, "messages.dlq", message_id), what="the dead letter")
        assert float(properties.headers["weight"]) == 1e300
        assert properties.headers["colour"] == "red"

    def test_a_dead_letter_tells_who_published_it(self, lab, broker):
        message_id = new_id()
        broker.basic_publish("messages", "messages", b"?", pika.BasicProperties(
            message_id=message_id, user_id=lab.settings.rabbitmq_user, app_id="someone"))
        properties, _body = wait_until(lambda: _take(broker, "messages.dlq", message_id), what="the dead letter")
        assert properties.headers["x-published-by"] == lab.settings.rabbitmq_user
        assert properties.app_id == "someone"
        assert ledger_events(lab, message_id) == ["dead-lettered"]

    def test_what_keeps_failing_is_retried_then_dead_lettered(self, lab, broker):
        lab.command("set", "CONSUMER_FAILURE_RATE=1")
        lab.command("set", "RETRY_BASE_DELAY=0.05")
        lab.command("restart", "consumer")
        lab.stack.stop("traffic")
        message_id = new_id()
        assert post(lab, "/produce", {"id": message_id, "payload": 1}).status_code == 201
        properties, _body = wait_until(lambda: _take(broker, "messages.dlq", message_id), what="the dead letter")
        assert properties.headers["x-dead-letter-reason"] == "attempts_exhausted"
        assert properties.headers["x-attempt"] == 5
        assert 'messages_retried_total{attempt="4"}' in requests.get(
            f"http://127.0.0.1:{lab.settings.consumer_port}/metrics", timeout=30).text

    def test_what_fails_once_is_processed_by_a_retry(self, lab):
        lab.command("set", "CONSUMER_FAILURE_RATE=0.3")
        lab.command("set", "RETRY_BASE_DELAY=0.05")
        lab.command("set", "MAX_ATTEMPTS=20")
        lab.command("restart", "consumer")
        ids = [new_id() for _ in range(30)]
        post(lab, "/batch-produce", {"messages": [{"id": one, "payload": 1} for one in ids]})
        for one in ids:
            wait_until(lambda one=one: "processed" in ledger_events(lab, one), what="processing")
        assert consumer_metric(lab, "message_processing_errors_total") > 0

    @pytest.mark.racing
    def test_heartbeats_go_on_while_a_message_is_processed(self, lab):
        lab.command("set", "RABBITMQ_HEARTBEAT=5")  # a machine that is slow for 5 s breaks no connection
        lab.command("set", "CONSUMER_CONCURRENCY=1")
        lab.command("restart", "consumer")
        message_id = new_id()
        post(lab, "/produce", {"id": message_id, "payload": 1, "processing_time": 20})  # four heartbeats long
        wait_until(lambda: ledger_events(lab, message_id), what="processing")
        assert ledger_events(lab, message_id) == ["processed"]
        assert consumer_metric(lab, "amqp_connection_losses_total") == 0

    def test_a_graceful_stop_finishes_or_gives_back_what_is_in_flight(self, lab):
        ids = [new_id() for _ in range(8)]  # more than the threads: some have begun, some have not
        post(lab, "/batch-produce", {"messages": [{"id": one, "payload": 1, "processing_time": 2} for one in ids]})
        wait_until(lambda: consumer_metric(lab, "messages_in_flight") >= 8, what="delivery")
        lab.command("restart", "consumer")
        for one in ids:
            wait_until(lambda one=one: ledger_events(lab, one), what="processing")
        assert [ledger_events(lab, one) for one in ids] == [["processed"]] * 8

    def test_a_killed_consumer_loses_nothing(self, lab):
        ids = [new_id() for _ in range(8)]
        post(lab, "/batch-produce", {"messages": [{"id": one, "payload": 1, "processing_time": 1} for one in ids]})
        wait_until(lambda: consumer_metric(lab, "messages_in_flight") >= 8, what="delivery")
        lab.stack.kill("consumer")
        lab.stack.start("consumer")
        for one in ids:
            wait_until(lambda one=one: "processed" in ledger_events(lab, one), what="processing")

    @pytest.mark.racing
    def test_an_older_message_that_is_still_in_work_is_not_acked_with_those_that_are_done(self, lab):
        lab.stack.stop("traffic")
        slow, quick = new_id(), [new_id() for _ in range(20)]
        post(lab, "/produce", {"id": slow, "payload": 1, "processing_time": 20})  # longer than the others, on any machine
        wait_until(lambda: consumer_metric(lab, "messages_in_flight") == 1, what="delivery")
        post(lab, "/batch-produce", {"messages": [{"id": one, "payload": 1} for one in quick]})
        wait_until(lambda: all(ledger_events(lab, one) for one in quick)
                   and consumer_metric(lab, "messages_in_flight") == 1, what="processing of the others")
        lab.stack.kill("consumer")
        assert ledger_events(lab, slow) == []
        lab.stack.start("consumer")
        wait_until(lambda: ledger_events(lab, slow), what="processing")
        assert [ledger_events(lab, one) for one in (slow, *quick)] == [["processed"]] * 21


def _take(channel, queue: str, message_id: str):
    """The message with that id, taken from the queue; others are dropped."""
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    return (properties, body) if method and properties.message_id == message_id else None


@pytest.mark.racing
@pytest.mark.parametrize("service", ["producer", "consumer"])
def test_app_py_starts_from_its_own_folder(lab, service, tmp_path):
    with free_ports(1) as [port]:
        environment = activated() | {f"{service.upper()}_PORT": str(port), "RABBITMQ_HOST": "localhost",
                                     "RABBITMQ_PORT": str(lab.settings.rabbitmq_port), "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(["python", "app.py"], cwd=ROOT / "services" / service, env=environment)
        try:
            wait_until(lambda: answer_of(f"http://127.0.0.1:{port}/health"), what="health")
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("service", ["producer", "consumer"])
def test_a_bad_setting_is_named_and_nothing_starts(service):
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT / "services" / service, encoding="utf-8", timeout=30,
                          capture_output=True, env=os.environ | {"LOG_LEVEL": "LOUD"})
    assert done.returncode == 2
    assert "LOG_LEVEL='LOUD'" in done.stderr
    assert "Traceback" not in done.stderr
