"""The clients: Locust users who post messages and keep a ledger of what was promised to them.

The lab runs this headless as its steady traffic; the page of `make load` (lab/load/page.py) and the partner of
a fault build on it. Settings come from the environment: LOAD_RATE (requests per second of all users together, when
the number of users is LOAD_USERS), LOAD_LEDGER (file; each of several workers adds its number to the name),
LOAD_METRICS_PORT (none when not set) and LOAD_METRICS_BIND.
"""

import json
import os
import random
import time
import uuid
from pathlib import Path

from locust import FastHttpUser, constant_throughput, events, task
from locust.runners import MasterRunner, WorkerRunner
from prometheus_client import Counter, Gauge, Histogram, start_http_server

RATE = float(os.environ.get("LOAD_RATE", "20"))
USERS = int(os.environ.get("LOAD_USERS", "10"))
LEDGER = Path(os.environ.get("LOAD_LEDGER", ".lab/run/ledger/acknowledged-load.jsonl"))
METRICS_PORT = os.environ.get("LOAD_METRICS_PORT")
METRICS_BIND = os.environ.get("LOAD_METRICS_BIND", "127.0.0.1")
BATCH_SIZE = 5
# What is no success, and no error of the system either, has a line of its own in Locust's statistics.
LINES = {"rejected": "refused (503, come back)", "unknown": "outcome unknown (504 or no answer)",
         "partial": "in part (207)"}

REQUESTS = Counter("load_requests", "Requests by outcome, as the clients see it.", ["endpoint", "outcome"])
SECONDS = Histogram("load_request_duration_seconds", "Time to an answer, as the clients see it.", ["endpoint"])
USERS_NOW = Gauge("load_users", "Users that send.")
for _endpoint in ("/produce", "/batch-produce"):
    for _outcome in ("ok", "rejected", "unknown", "error"):
        REQUESTS.labels(_endpoint, _outcome)  # from 0, so that rate() sees the first one


class Ledger:
    """What was sent, and what the producer promised: one line of JSON for each message and event.

    A line is written by one write(2), 'sent' before the request and 'acknowledged' after a 2xx,
    without fsync: it survives the death of the process, not the death of the machine.
    """

    def open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def record(self, event: str, message_ids: list[str], status: int | None = None) -> None:
        now = round(time.time(), 3)
        lines = [json.dumps({"time": now, "event": event, "id": message_id, "status": status})
                 for message_id in message_ids]
        if lines:
            os.write(self._fd, ("\n".join(lines) + "\n").encode())


ledger = Ledger()


@events.init.add_listener
def open_ledger(runner, **_kwargs) -> None:
    """In each process that sends: one that forks workers does not."""
    if isinstance(runner, WorkerRunner):
        ledger.open(LEDGER.with_stem(f"{LEDGER.stem}-{runner.worker_index}"))
    elif not isinstance(runner, MasterRunner):
        ledger.open(LEDGER)


@events.init.add_listener
def serve_metrics(runner, **_kwargs) -> None:
    if METRICS_PORT:
        USERS_NOW.set_function(lambda: runner.user_count)
        start_http_server(int(METRICS_PORT), addr=METRICS_BIND)


def new_message(sender: str = "load") -> dict:
    return {
        "id": f"{sender}-{uuid.uuid4()}",
        "payload": {"order": random.randint(1, 10_000)},
        "processing_time": round(random.uniform(0.01, 0.05), 3),
    }


def outcome_of(response) -> str:
    """ok, rejected (503 with Retry-After: come back), unknown (504 or no answer), or error."""
    if 200 <= response.status_code < 300:
        return "ok"
    if response.status_code == 503 and "Retry-After" in (response.headers or {}):
        return "rejected"
    if response.status_code in {0, 504}:
        return "unknown"
    return "error"


class HonestUser(FastHttpUser):
    """Keeps the ledger of what it posts."""

    abstract = True
    connection_timeout = 5
    network_timeout = 15
    result = "ok"  # of the last request

    def post_one(self, message: dict, again: bool = False) -> int:
        """`again`: the ledger has it already, and of what becomes of it notes only what is new."""
        return self._post("/produce", message, [message["id"]], again)

    def post_batch(self, messages: list[dict]) -> int:
        return self._post("/batch-produce", {"messages": messages}, [message["id"] for message in messages])

    def _post(self, endpoint: str, body: dict, ids: list[str], again: bool = False) -> int:
        """The status of the answer; 0 where there was none."""
        before = self.result if again else None
        if not again:
            ledger.record("sent", ids)
        started = time.perf_counter()
        with self.client.post(endpoint, json=body, catch_response=True) as response:
            outcome = outcome_of(response)
            self.result = "partial" if response.status_code == 207 else outcome
            acknowledged = ids if self.result == "ok" else _confirmed(response)
            if self.result == "ok":
                response.success()
            else:
                response.failure(f"{self.result}: {response.status_code}")
            if self.result in LINES:
                response.request_meta["name"] = f"{endpoint}: {LINES[self.result]}"
        ledger.record("acknowledged", acknowledged, response.status_code)
        if self.result != before:
            ledger.record(self.result, [one for one in ids if one not in acknowledged], response.status_code)
        REQUESTS.labels(endpoint, outcome).inc()
        SECONDS.labels(endpoint).observe(time.perf_counter() - started)
        return response.status_code


class Client(HonestUser):
    """Posts single messages, and a batch now and then."""

    wait_time = constant_throughput(RATE / USERS)

    @task(19)
    def produce(self) -> None:
        self.post_one(new_message())

    @task(1)
    def batch_produce(self) -> None:
        self.post_batch([new_message() for _ in range(BATCH_SIZE)])


def _confirmed(response) -> list[str]:
    """The ids that a mixed answer to a batch (207) reports as confirmed."""
    if response.status_code != 207:
        return []
    return [result["id"] for result in response.json()["results"] if result["status"] == "confirmed"]
