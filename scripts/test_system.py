#!/usr/bin/env python3
"""A system test against the running system: every endpoint, bad input, the way end to end, and load.

Where the system listens is read from .env (or the file that the variable ENV_FILE names), as the
system itself does; options say otherwise. It sends real messages, and nothing else is changed.

Exit code 0 when every check passed, 1 when one failed, 2 when nothing answers, 130 after Ctrl-C.
"""

import argparse
import os
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import requests
from dotenv import dotenv_values

from lab import output  # the package keeps requests from reaching loopback through a proxy

ANSWER_SECONDS = 30
FIRST_SCRAPE_SECONDS = 15
# No other message takes as long: those of the steady traffic take 0.05 s at most.
LONG_SECONDS, SHORTER_THAN_THAT = 3, "2.5"
EXAMPLES = """examples:
  python scripts/test_system.py
  python scripts/test_system.py --clients 100 --messages 5000
  python scripts/test_system.py --producer http://localhost:5001 --timeout 120
"""


class Checks:
    """Runs checks one after the other, and says of each how it went."""

    def __init__(self):
        self.failed = 0

    def run(self, title: str, check: Callable[[], str]) -> None:
        started = time.monotonic()
        try:
            note, verdict = check(), "ok    "
        except (AssertionError, requests.RequestException, LookupError, TypeError, ValueError) as error:
            self.failed += 1
            note, verdict = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}", "FAILED"
        print(f"{verdict} {title} ({time.monotonic() - started:.1f} s): {note}", flush=True)


class System:
    """The system under test, as its clients and its operators see it."""

    def __init__(self, options: argparse.Namespace):
        self.producer, self.consumer, self.prometheus = options.producer, options.consumer, options.prometheus
        self.management, self.auth = options.management, (options.user.encode(), options.password.encode())

    def get(self, url: str, **options) -> requests.Response:
        """The answer, which must be 200."""
        answer = requests.get(url, timeout=ANSWER_SECONDS, **options)
        assert answer.status_code == 200, f"{url}: {shown(answer)}"
        return answer

    def post(self, path: str, body) -> dict:
        """What a 201 says; no other answer will do."""
        answer = requests.post(self.producer + path, json=body, timeout=ANSWER_SECONDS)
        assert answer.status_code == 201, f"{path}: {shown(answer)}"
        return answer.json()

    def value(self, query: str) -> float:
        """What Prometheus, which knows every consumer, says now; after a start it has to look first."""
        deadline = time.monotonic() + FIRST_SCRAPE_SECONDS
        while not (found := self._ask(query)):
            assert time.monotonic() < deadline, f"Prometheus has no {query}"
            time.sleep(0.5)
        return float(found[0]["value"][1])

    def _ask(self, query: str) -> list[dict]:
        return self.get(f"{self.prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]


def shown(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.text[:200]}"


def new_message(**fields) -> dict:
    return {"id": f"system-test-{uuid.uuid4()}", "payload": "content", **fields}


def metric(page: str, name: str) -> float:
    """The sum of a metric's series."""
    series = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)
    assert series, f"{name} is missing"
    return sum(map(float, series))


def check_health(system: System) -> str:
    for url in (f"{system.producer}/health", f"{system.consumer}/health"):
        answer = system.get(url).json()
        assert answer["status"] == "healthy", f"{url}: {answer}"
        datetime.fromisoformat(answer["timestamp"])
    return "producer and consumer are healthy"


def check_single(system: System) -> str:
    message = new_message(processing_time=0.1)
    answer = system.post("/produce", message)
    assert (answer["status"], answer["message_id"]) == ("success", message["id"]), answer
    datetime.fromisoformat(answer["timestamp"])
    return "confirmed"


def check_batch(system: System) -> str:
    answer = system.post("/batch-produce", {"messages": [new_message(), new_message()]})
    assert answer == {"status": "success", "messages_produced": 2}, answer
    return "2 messages confirmed"


def check_bad_input(system: System, max_body_bytes: int) -> str:
    cases = [
        ("an empty body", "POST", "/produce", "", 400),
        ("no JSON", "POST", "/produce", "not json", 400),
        ("a form", "POST", "/produce", {"id": "x", "payload": "x"}, 400),
        ("no object", "POST", "/produce", "[]", 400),
        ("no id", "POST", "/produce", '{"payload": "x"}', 400),
        ("a number as id", "POST", "/produce", '{"id": 7, "payload": "x"}', 400),
        ("no payload", "POST", "/produce", '{"id": "x"}', 400),
        ("a negative time", "POST", "/produce", '{"id": "x", "payload": "x", "processing_time": -1}', 400),
        ("too large", "POST", "/produce", '{"id": "x", "payload": "%s"}' % ("x" * max_body_bytes), 413),
        ("an empty batch", "POST", "/batch-produce", '{"messages": []}', 400),
        ("a batch with a bad entry", "POST", "/batch-produce", '{"messages": [{"id": "x", "payload": "x"}, {"id": 7}]}', 400),
        ("an unknown path", "GET", "/nowhere", None, 404),
        ("a wrong method", "GET", "/produce", None, 405),
    ]
    wrong = []
    for what, method, path, body, status in cases:
        answer = requests.request(method, system.producer + path, data=body, timeout=ANSWER_SECONDS)
        if answer.status_code != status or not answer.json()["error"]:
            wrong.append(f"{what}: {shown(answer)}, not {status}")
    assert not wrong, "; ".join(wrong)
    return f"{len(cases)} bad requests refused, each with its reason"


def check_metrics(system: System) -> str:
    before = metric(system.get(f"{system.producer}/metrics").text, "messages_produced_total")
    system.post("/produce", new_message())
    produced, consumed = system.get(f"{system.producer}/metrics").text, system.get(f"{system.consumer}/metrics").text
    assert metric(produced, "messages_produced_total") > before, "messages_produced_total does not count"
    metric(produced, "http_request_duration_seconds_count")
    for name in ("messages_consumed_total", "message_processing_duration_seconds_count", "message_processing_errors_total"):
        metric(consumed, name)
    for query in ('rabbitmq_detailed_queue_messages{queue="messages"}', "rabbitmq_global_messages_received_total",
                  "rabbitmq_connections"):
        system.value(query)
    return "of producer, consumer and broker"


def check_broker(system: System) -> str:
    queues = {queue["name"]: queue for queue in system.get(f"{system.management}/api/queues", auth=system.auth).json()}
    assert queues.get("messages", {}).get("durable"), f"there is no durable queue 'messages' among {list(queues)}"
    return f"{len(queues)} queues, 'messages' is durable"


def check_processing(system: System, count: int, timeout: float) -> str:
    """Proves that just these messages were processed, whichever consumer got them and whatever else goes on.

    Acks and counters rise with everybody's messages, and no metric knows an id. But what takes so long
    to process is ours alone: as many attempts of that length are finished as we sent messages, and
    no attempt has failed meanwhile, so each of them was a success.
    """
    def long_attempts() -> float:
        duration = "message_processing_duration_seconds"
        return system.value(f'sum({duration}_count) - sum({duration}_bucket{{le="{SHORTER_THAN_THAT}"}})')

    def failed_attempts() -> float:
        return system.value("sum(message_processing_errors_total)")

    before, failed = long_attempts(), failed_attempts()
    system.post("/batch-produce", {"messages": [new_message(processing_time=LONG_SECONDS) for _ in range(count)]})
    deadline = time.monotonic() + timeout
    while (done := long_attempts() - before) < count:
        assert time.monotonic() < deadline, f"{done:.0f} of {count} messages were processed within {timeout:.0f} s"
        time.sleep(0.5)
    assert failed_attempts() == failed, "attempts to process a message failed meanwhile"
    return f"{count} messages of {LONG_SECONDS} s published and processed"


def check_load(system: System, clients: int, count: int) -> str:
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=clients))

    def send(_number: int) -> str:
        try:
            return str(session.post(f"{system.producer}/produce", json=new_message(), timeout=ANSWER_SECONDS).status_code)
        except requests.RequestException as error:
            return type(error).__name__

    started = time.monotonic()
    pool = ThreadPoolExecutor(clients)
    try:
        answers = Counter(pool.map(send, range(count)))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, what is not sent yet stays here
    seconds = time.monotonic() - started
    confirmed = answers.pop("201", 0)
    others = ", ".join(f"{number} times {answer}" for answer, number in answers.most_common())
    assert not others, f"{confirmed} of {count} confirmed; the others: {others}"
    return f"{count} messages from {clients} clients at once, all confirmed, {count / seconds:.0f} a second"


def parse_options(settings: dict) -> argparse.Namespace:
    def url(port: str, default: int) -> str:
        return f"http://localhost:{settings.get(port) or default}"

    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--producer", default=url("PRODUCER_PORT", 5000), metavar="URL", help="%(default)s")
    parser.add_argument("--consumer", default=url("CONSUMER_PORT", 8000), metavar="URL", help="%(default)s")
    parser.add_argument("--management", default=url("RABBITMQ_MANAGEMENT_PORT", 15672), metavar="URL",
                        help="of RabbitMQ, %(default)s")
    parser.add_argument("--prometheus", default=url("PROMETHEUS_PORT", 9090), metavar="URL", help="%(default)s")
    parser.add_argument("--user", default=settings.get("RABBITMQ_USER") or "admin", help="of RabbitMQ")
    parser.add_argument("--password", default=settings.get("RABBITMQ_PASS") or "password", help="of RabbitMQ")
    parser.add_argument("--clients", type=int, default=20, help="of the load test, at once (%(default)s)")
    parser.add_argument("--messages", type=int, default=500, help="of the load test, in all (%(default)s)")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS",
                        help="for messages to be processed (%(default)s)")
    options = parser.parse_args()
    if options.clients < 1 or options.messages < 1 or options.timeout <= 0:
        parser.error("--clients and --messages must be at least 1, --timeout more than 0")
    return options


def main() -> None:
    env_file = os.environ.get("ENV_FILE", Path(__file__).resolve().parents[1] / ".env")
    settings = {**dotenv_values(env_file), **os.environ}
    options = parse_options(settings)
    system = System(options)
    try:
        requests.get(f"{system.producer}/health", timeout=ANSWER_SECONDS)
    except requests.RequestException:
        print(f"nothing answers at {options.producer}: is the system up? (make up)", file=sys.stderr)
        sys.exit(2)
    checks = Checks()
    checks.run("health", lambda: check_health(system))
    checks.run("single message", lambda: check_single(system))
    checks.run("batch", lambda: check_batch(system))
    checks.run("bad input", lambda: check_bad_input(system, int(settings.get("MAX_BODY_BYTES") or 1048576)))
    checks.run("metrics", lambda: check_metrics(system))
    checks.run("broker management", lambda: check_broker(system))
    checks.run("processing, end to end", lambda: check_processing(system, 4, options.timeout))
    checks.run("concurrent load", lambda: check_load(system, options.clients, options.messages))
    print("all checks passed" if not checks.failed else f"{checks.failed} checks failed")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    try:
        output.run(main)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
