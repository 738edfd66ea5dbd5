"""The ledgers: what a consumer writes, and the account of what became of every message."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.grading import ledger as grading
from lab.grading.ledger import Account
from lab.settings import LabSettings
from lab.stack.native.stack import NativeStack
from services.consumer.ledger import Ledger

SINCE = 1000.0
LATER = SINCE + 10


class Broker(ThreadingHTTPServer):
    """The management API as far as the account asks it; `depths` are its answers, the last one for ever."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.depths: list[dict[str, int]] = [{}]
        self.status = 200

    def holds(self, **depths: int) -> None:
        self.depths = [{name.replace("_", "."): depth for name, depth in depths.items()}]


class _Handler(BaseHTTPRequestHandler):
    server: Broker

    def do_GET(self):
        depths = self.server.depths
        now = depths.pop(0) if len(depths) > 1 else depths[0]
        # A queue that was just declared has no count yet.
        queues = [{"name": "new"}, *({"name": name, "messages": depth} for name, depth in now.items())]
        self.send_response(self.server.status if self.path == "/api/queues" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(queues).encode())

    def log_message(self, *_args):
        pass


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path, broker: Broker) -> LabSettings:
    return LabSettings(_env_file=None, lab_run_dir=tmp_path, rabbitmq_management_port=broker.server_port)


def account(settings: LabSettings) -> Account:
    return grading.account(settings, NativeStack(settings), SINCE)


def settled(settings: LabSettings) -> Account:
    return grading.settled(settings, NativeStack(settings), SINCE)


def note(settings: LabSettings, file: str, event: str, *ids: str, at: float = LATER) -> None:
    """Put lines into one of the ledgers."""
    settings.ledger_dir.mkdir(exist_ok=True)
    with (settings.ledger_dir / f"{file}.jsonl").open("a", encoding="utf-8") as ledger:
        for one in ids:
            ledger.write(json.dumps({"time": at, "event": event, "id": one}) + "\n")


def acknowledged(settings: LabSettings, *ids: str, at: float = LATER) -> None:
    note(settings, "acknowledged-load", "acknowledged", *ids, at=at)


def processed(settings: LabSettings, *ids: str, at: float = LATER, consumer: str = "consumer-1") -> None:
    note(settings, f"processed-{consumer}", "processed", *ids, at=at)


def dead_lettered(settings: LabSettings, *ids: str) -> None:
    note(settings, "processed-consumer-1", "dead-lettered", *ids)


def counts(settings: LabSettings) -> dict:
    """What the account says that is not 0."""
    return {name: count for name, count in account(settings).as_dict().items() if count}


# -- the account ----------------------------------------------------------------------------------


def test_without_ledgers_there_is_nothing_to_account_for(settings):
    assert account(settings) == Account(0, 0, 0, 0, 0, 0, 0)


def test_what_was_processed_by_any_consumer_is_accounted_for(settings):
    acknowledged(settings, "a", "b", "c")
    processed(settings, "a", consumer="consumer-1")
    processed(settings, "b", "c", consumer="consumer-2")
    assert counts(settings) == {"acknowledged": 3, "processed": 3}
    assert account(settings).intact


def test_what_nobody_can_find_is_lost(settings):
    ids = [f"m{number}" for number in range(7)]
    acknowledged(settings, "a", *ids)
    processed(settings, "a")
    assert counts(settings) == {"acknowledged": 8, "processed": 1, "lost": 7, "lost_examples": tuple(ids[:5])}
    assert not account(settings).intact


@pytest.mark.parametrize("queues, in_flight, lost", [
    ({"messages": 3}, 3, 0),
    ({"messages": 1, "messages_retry_1000ms": 1, "messages_retry_2000ms": 1}, 3, 0),
    ({"messages": 9}, 3, 0),
    ({"messages": 2}, 2, 1),
])
def test_what_waits_in_a_queue_is_in_flight(settings, broker, queues, in_flight, lost):
    acknowledged(settings, "a", "b", "c")
    broker.holds(**queues)
    found = account(settings)
    assert (found.in_flight, found.lost) == (in_flight, lost)


def test_what_was_processed_again_is_duplicated(settings):
    acknowledged(settings, "a", "b")
    processed(settings, "a", "a", "b", consumer="consumer-1")
    processed(settings, "a", consumer="consumer-2")
    assert counts(settings) == {"acknowledged": 2, "processed": 2, "duplicated": 2}


def test_what_is_in_the_dead_letter_queue_is_not_lost(settings, broker):
    acknowledged(settings, "a", "b")
    dead_lettered(settings, "a", "b")
    broker.holds(messages_dlq=2)
    assert counts(settings) == {"acknowledged": 2, "dead_lettered": 2}


def test_what_left_the_dead_letter_queue_is_discarded(settings, broker):
    dead_lettered(settings, "a", "b", "c")
    broker.holds(messages_dlq=1)
    assert counts(settings) == {"dead_lettered": 3, "discarded": 2}
    assert not account(settings).intact


def test_what_was_replayed_from_the_dead_letter_queue_is_not_discarded(settings, broker):
    dead_lettered(settings, "a", "b", "c")
    processed(settings, "a")
    broker.holds(messages_dlq=1, messages=1)
    assert counts(settings) == {"dead_lettered": 2, "processed": 1}


def test_what_the_broker_dead_lettered_itself_is_not_lost(settings, broker):
    acknowledged(settings, "a", "b", "c")
    dead_lettered(settings, "a")
    broker.holds(messages_dlq=2)
    assert counts(settings) == {"acknowledged": 3, "dead_lettered": 2, "lost": 1, "lost_examples": ("b", "c")}


def test_what_a_fault_made_the_broker_drop_is_not_held_against_anybody(settings):
    acknowledged(settings, "a", "b", "c")
    found = grading.account(settings, NativeStack(settings), SINCE, dropped=2)
    assert (found.dropped, found.lost) == (2, 1)
    assert grading.account(settings, NativeStack(settings), SINCE, dropped=7).intact


def test_only_what_was_acknowledged_is_owed(settings):
    for event in ("sent", "rejected", "unknown"):
        note(settings, "acknowledged-load", event, event)
    assert counts(settings) == {}


def test_the_torn_last_line_of_a_killed_writer_does_not_count(settings):
    acknowledged(settings, "a")
    processed(settings, "a")
    for path in settings.ledger_dir.iterdir():
        with path.open("a", encoding="utf-8") as ledger:
            ledger.write('{"time": 1010.0, "event": "ackn')
    assert counts(settings) == {"acknowledged": 1, "processed": 1}


def test_a_torn_line_that_another_process_went_on_writing_to_does_not_stop_the_account(settings):
    acknowledged(settings, "a", "b")
    processed(settings, "a")
    with (settings.ledger_dir / "processed-consumer-1.jsonl").open("a", encoding="utf-8") as ledger:
        ledger.write('{"time": 1010.0, "event": "proc')
    processed(settings, "b", "c")
    assert account(settings).processed >= 2


@pytest.mark.parametrize("status", [401, 503])
def test_a_broker_that_does_not_answer_has_lost_nothing(settings, broker, status):
    acknowledged(settings, "a", "b")
    processed(settings, "a")
    dead_lettered(settings, "c")
    broker.status = status
    assert counts(settings) == {"acknowledged": 2, "processed": 1, "dead_lettered": 1, "in_flight": 1}


def test_a_broker_that_is_away_has_lost_nothing(settings, broker):
    acknowledged(settings, "a")
    broker.server_close()
    assert counts(settings) == {"acknowledged": 1, "in_flight": 1}


def test_what_was_before_is_ignored(settings):
    acknowledged(settings, "old", at=SINCE - 1)
    processed(settings, "old", "old", at=SINCE - 1)
    acknowledged(settings, "new", at=SINCE)
    processed(settings, "new", at=SINCE)
    assert counts(settings) == {"acknowledged": 1, "processed": 1}


def test_what_was_processed_just_before_and_acknowledged_just_after_is_not_lost(settings):
    processed(settings, "quick", at=SINCE - 0.001)
    acknowledged(settings, "quick", at=SINCE + 0.001)
    assert account(settings).lost == 0


# -- the settled account --------------------------------------------------------------------------


def test_an_intact_account_is_settled_at_once(settings, monkeypatch):
    monkeypatch.setattr(grading.time, "sleep", lambda _seconds: pytest.fail("it waited"))
    acknowledged(settings, "a")
    processed(settings, "a")
    assert settled(settings).intact


def test_what_the_broker_counts_late_is_waited_for(settings, broker, monkeypatch):
    monkeypatch.setattr(grading, "POLL_SECONDS", 0.01)
    acknowledged(settings, "a")
    broker.depths = [{}, {}, {"messages": 1}]
    assert settled(settings).in_flight == 1


def test_what_is_acknowledged_while_it_waits_is_not_asked_for(settings, broker, monkeypatch):
    now = time.time()
    monkeypatch.setattr(grading.time, "sleep", lambda _seconds: processed(settings, "before", at=now))
    acknowledged(settings, "before", at=now - 1)
    acknowledged(settings, "meanwhile", at=now + 60)
    found = settled(settings)
    assert (found.acknowledged, found.processed, found.lost) == (1, 1, 0)


def test_what_stays_lost_is_lost(settings, monkeypatch):
    monkeypatch.setattr(grading, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(grading, "POLL_SECONDS", 0)
    acknowledged(settings, "a")
    assert settled(settings).lost == 1


# -- what a consumer writes -----------------------------------------------------------------------


def test_the_consumers_ledger_is_what_the_account_reads(settings):
    first = Ledger(settings.ledger_dir, "consumer-1")
    first.append("processed", ["a", "b"])
    restarted = Ledger(settings.ledger_dir, "consumer-1")
    restarted.append("processed", ["b"])
    restarted.append("dead-lettered", ['nasty "é\n'])
    assert [path.name for path in settings.ledger_dir.iterdir()] == ["processed-consumer-1.jsonl"]
    assert counts(settings) == {"processed": 2, "duplicated": 1, "dead_lettered": 1, "discarded": 1}


def test_a_line_stands_in_the_file_as_soon_as_it_is_appended(tmp_path):
    Ledger(tmp_path, "consumer-1").append("processed", ["a", "b"])
    lines = [json.loads(line) for line in (tmp_path / "processed-consumer-1.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["event"], line["id"]) for line in lines] == [("processed", "a"), ("processed", "b")]
    assert lines[0]["time"] == lines[1]["time"] > 0


def test_without_ids_nothing_is_written(tmp_path):
    Ledger(tmp_path, "consumer-1").append("processed", [])
    assert (tmp_path / "processed-consumer-1.jsonl").read_text(encoding="utf-8") == ""


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Ledger(None, "consumer-1").append("processed", ["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        Ledger(tmp_path / "file" / "ledger", "consumer-1")
