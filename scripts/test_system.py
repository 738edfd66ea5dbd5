#!/usr/bin/env python3
"""A system test against the running system: every endpoint, bad input, the way end to end, and load.

Exit code 0 when every check passed, 1 when one failed, 2 when nothing answers.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

TIMEOUT_SECONDS = 30


class Checks:
    """Runs checks one after the other, and says of each how it went."""

    def __init__(self):
        self.failed = 0

    def run(self, title: str, check: Callable[[], str | None]) -> None:
        started = time.monotonic()
        try:
            note = check()
            verdict = "ok    "
        except (AssertionError, requests.RequestException, KeyError, ValueError) as error:
            self.failed += 1
            note, verdict = f"{type(error).__name__}: {error}", "FAILED"
        print(f"{verdict} {title} ({time.monotonic() - started:.1f} s){': ' + note if note else ''}", flush=True)


class System:
    """The system under test, as its clients see it."""

    def __init__(self, producer: str, consumer: str, management: str, user: str, password: str):
        self.producer, self.consumer, self.management = producer, consumer, management
        self.auth = (user, password)

    def get(self, url: str, **options) -> requests.Response:
        return requests.get(url, timeout=TIMEOUT_SECONDS, **options)

    def post(self, path: str, body) -> requests.Response:
        options = {"data": body} if isinstance(body, str) else {"json": body}
        return requests.post(self.producer + path, timeout=TIMEOUT_SECONDS, **options)

    def waiting(self) -> int:
        """Messages in all queues but the dead letters."""
        queues = self.get(f"{self.management}/api/queues", auth=self.auth).json()
        return sum(queue.get("messages", 0) for queue in queues if not queue["name"].endswith(".dlq"))

    def consumed(self) -> int:
        """Messages that consumers have acked, however many consumers there are."""
        queue = self.get(f"{self.management}/api/queues/%2F/messages", auth=self.auth).json()
        return queue.get("message_stats", {}).get("ack", 0)


def new_id() -> str:
    return f"system-test-{uuid.uuid4()}"


def check_health(system: System) -> None:
    for url in (f"{system.producer}/health", f"{system.consumer}/health"):
        answer = system.get(url)
        assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text}"
        assert answer.json()["status"] == "healthy"


def check_single(system: System) -> None:
    message_id = new_id()
    answer = system.post("/produce", {"id": message_id, "payload": "content", "processing_time": 0.1})
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    assert (answer.json()["status"], answer.json()["message_id"]) == ("success", message_id), answer.text


def check_batch(system: System) -> None:
    answer = system.post("/batch-produce", {"messages": [{"id": new_id(), "payload": "content"} for _ in range(2)]})
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    assert answer.json() == {"status": "success", "messages_produced": 2}, answer.text


def check_bad_input(system: System) -> str:
    bodies = ["", "not json", {}, {"id": 7, "payload": "x"}, {"id": "x"},
              {"id": "x", "payload": "x", "processing_time": -1}]
    for body in bodies:
        answer = system.post("/produce", body)
        assert answer.status_code == 400 and answer.json()["error"], f"{body!r}: {answer.status_code} {answer.text}"
    answer = system.post("/batch-produce", {"messages": []})
    assert answer.status_code == 400 and answer.json()["error"], f"empty batch: {answer.status_code}"
    return f"{len(bodies) + 1} bad bodies refused"


def check_metrics(system: System) -> None:
    produced = system.get(f"{system.producer}/metrics").text
    consumed = system.get(f"{system.consumer}/metrics").text
    for text, names in ((produced, ("messages_produced_total", "http_request_duration_seconds")),
                        (consumed, ("messages_consumed_total", "message_processing_duration_seconds",
                                    "message_processing_errors_total"))):
        for name in names:
            assert name in text, f"{name} is missing"


def check_broker(system: System) -> None:
    answer = system.get(f"{system.management}/api/queues", auth=system.auth)
    assert answer.status_code == 200, f"{answer.status_code}: is the password right?"
    assert any(queue["name"] == "messages" for queue in answer.json()), "there is no queue 'messages'"


def check_processing(system: System) -> str:
    before = system.consumed()
    count = 20
    system.post("/batch-produce", {"messages": [{"id": new_id(), "payload": 1} for _ in range(count)]})
    deadline = time.monotonic() + 60
    while system.consumed() < before + count or system.waiting() > 50:
        assert time.monotonic() < deadline, f"not processed within 60 s: {system.waiting()} messages wait"
        time.sleep(0.5)
    return f"{count} messages published and processed"


def check_load(system: System, clients: int, count: int) -> str:
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=clients))
    started = time.monotonic()

    def send(_number: int) -> int:
        return session.post(f"{system.producer}/produce", json={"id": new_id(), "payload": "load"},
                            timeout=TIMEOUT_SECONDS).status_code

    with ThreadPoolExecutor(clients) as pool:
        statuses = list(pool.map(send, range(count)))
    confirmed = statuses.count(201)
    seconds = time.monotonic() - started
    assert confirmed == count, f"{confirmed} of {count} confirmed; other answers: {set(statuses) - {201}}"
    return f"{count} messages from {clients} clients at once, all confirmed, {count / seconds:.0f} a second"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--producer", default="http://localhost:5000", metavar="URL")
    parser.add_argument("--consumer", default="http://localhost:8000", metavar="URL")
    parser.add_argument("--management", default="http://localhost:15672", metavar="URL")
    parser.add_argument("--user", default="admin", help="of RabbitMQ")
    parser.add_argument("--password", default="password", help="of RabbitMQ")
    parser.add_argument("--clients", type=int, default=20, help="of the load test, at once")
    parser.add_argument("--messages", type=int, default=500, help="of the load test, in all")
    options = parser.parse_args()
    if options.clients < 1 or options.messages < 1:
        parser.error("--clients and --messages must be at least 1")
    system = System(options.producer, options.consumer, options.management, options.user, options.password)
    try:
        system.get(f"{system.producer}/health")
    except requests.RequestException:
        print(f"nothing answers at {options.producer}: is the system up? (make up)", file=sys.stderr)
        return 2
    checks = Checks()
    checks.run("health", lambda: check_health(system))
    checks.run("single message", lambda: check_single(system))
    checks.run("batch", lambda: check_batch(system))
    checks.run("bad input", lambda: check_bad_input(system))
    checks.run("metrics", lambda: check_metrics(system))
    checks.run("broker management", lambda: check_broker(system))
    checks.run("processing, end to end", lambda: check_processing(system))
    checks.run("concurrent load", lambda: check_load(system, options.clients, options.messages))
    print("all checks passed" if not checks.failed else f"{checks.failed} checks failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
