"""The ledgers: what a consumer writes, and the account of what became of every message."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from lab.evidence import forgery
from lab.grading import ledger as grading
from lab.grading import queues
from lab.grading.ledger import Account
from lab.settings import LabSettings
from lab.stack.native.stack import NativeStack
from services.consumer.ledger import Ledger

SINCE = 1000.0
LATER = SINCE + 10


class Broker(ThreadingHTTPServer):
    """The management API as far as the account asks it.

    `answers` are what the queues hold at each tick, the last one for ever; each answer shows a new tick.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[dict[str, int]] = [{}]
        self.status = 200
        self.ticks = 0
        self.is_frozen = False

    def holds(self, **depths: int) -> None:
        self.answers = [named(**depths)]


def named(**depths: int) -> dict[str, int]:
    return {name.replace("_", "."): depth for name, depth in depths.items()}


class _Handler(BaseHTTPRequestHandler):
    server: Broker

    def do_GET(self):
        answers = self.server.answers
        now = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.ticks += not self.server.is_frozen
        queues = [{"name": name, "messages": depth, "reductions": self.server.ticks} for name, depth in now.items()]
        self.send_response(self.server.status if self.path == "/api/queues/%2F" else 404)
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


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """No waiting for what only time brings about."""
    monkeypatch.setattr(queues, "LAG_SECONDS", 0)
    monkeypatch.setattr(queues.Count, "_is_late", lambda _self, _asked_at: False)
    monkeypatch.setattr(grading, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(grading, "SETTLE_SECONDS", 0.5)


def account(settings: LabSettings) -> Account:
    return grading.account(settings, NativeStack(settings), SINCE)


def settled(settings: LabSettings, dropped: int = 0) -> Account:
    return grading.settled(settings, NativeStack(settings), SINCE, dropped)


def completed(settings: LabSettings) -> Account:
    return grading.completed(settings.ledger_dir, SINCE, LATER)


def note(settings: LabSettings, file: str, event: str, *ids: str, at: float = LATER, **more) -> None:
    """Put lines into one of the ledgers."""
    settings.ledger_dir.mkdir(exist_ok=True)
    with (settings.ledger_dir / f"{file}.jsonl").open("a", encoding="utf-8") as ledger:
        for one in ids:
            ledger.write(json.dumps({"time": at, "event": event, "id": one, "process": "p", "seq": 1} | more) + "\n")


def acknowledged(settings: LabSettings, *ids: str, at: float = LATER) -> None:
    note(settings, "acknowledged-load", "acknowledged", *ids, at=at)


def processed(settings: LabSettings, *ids: str, at: float = LATER, consumer: str = "consumer-1") -> None:
    note(settings, f"processed-{consumer}", "processed", *ids, at=at)


def dead_lettered(settings: LabSettings, *ids: str, at: float = LATER) -> None:
    note(settings, "processed-consumer-1", "dead-lettered", *ids, at=at)


def found(settings: LabSettings, queue: str, *ids: str) -> None:
    """The stocktaking found them."""
    note(settings, "stocktaking", "found", *ids, at=LATER + 1, queue=queue)


def unidentified(settings: LabSettings, count: int) -> None:
    note(settings, "stocktaking", "unidentified", "", at=LATER + 1, queue="messages", count=count)


def nonzero(account: Account) -> dict:
    """What the account says that is not 0."""
    return {name: count for name, count in account.as_dict().items() if count}


def counts(settings: LabSettings) -> dict:
    """What is said of it once the queues are counted."""
    return nonzero(settled(settings))


# -- while messages are only counted --------------------------------------------------------------


def test_without_ledgers_there_is_nothing_to_account_for(settings):
    assert account(settings) == Account(0, 0, 0, 0, 0, 0, 0, 0)


def test_what_was_processed_by_any_consumer_is_accounted_for(settings):
    acknowledged(settings, "a", "b", "c")
    processed(settings, "a", consumer="consumer-1")
    processed(settings, "b", "c", consumer="consumer-2")
    assert counts(settings) == {"acknowledged": 3, "processed": 3}
    assert settled(settings).certain


def test_at_once_nothing_is_lost_but_unknown(settings):
    acknowledged(settings, "a", "b")
    processed(settings, "a")
    assert nonzero(account(settings)) == {"acknowledged": 2, "processed": 1, "unknown": 1}


def test_what_no_queue_has_room_for_is_lost(settings):
    ids = [f"m{number}" for number in range(7)]
    acknowledged(settings, "a", *ids)
    processed(settings, "a")
    assert counts(settings) == {"acknowledged": 8, "processed": 1, "lost": 7, "lost_examples": tuple(ids[:5])}
    assert not settled(settings).intact


@pytest.mark.parametrize("queues, unknown, lost", [
    ({"messages": 3}, 3, 0),
    ({"messages": 1, "messages_retry_1000ms": 1, "messages_retry_2000ms": 1}, 3, 0),
    ({"messages": 9}, 3, 0),
    ({"messages_dlq": 3}, 3, 0),
    ({"messages": 2}, 2, 1),
    ({"junk": 9}, 0, 3),
    ({"messages": 1, "messages_retry_ms": 1, "messages_retry_1ms_old": 7, "xmessages": 9}, 1, 2),
])
def test_only_what_the_labs_own_queues_hold_may_still_be_there(settings, broker, queues, unknown, lost):
    acknowledged(settings, "a", "b", "c")
    broker.holds(**queues)
    assert (settled(settings).unknown, settled(settings).lost) == (unknown, lost)


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


def test_what_was_dead_lettered_after_the_question_is_not_discarded(settings):
    dead_lettered(settings, "a", at=time.time() + 60)
    assert settled(settings).discarded == 0


def test_what_was_replayed_from_the_dead_letter_queue_is_not_discarded(settings, broker):
    dead_lettered(settings, "a", "b", "c")
    processed(settings, "a")
    broker.holds(messages_dlq=1, messages=1)
    assert counts(settings) == {"dead_lettered": 2, "processed": 1}


def test_what_the_broker_dead_lettered_itself_is_not_lost(settings, broker):
    acknowledged(settings, "a", "b", "c")
    dead_lettered(settings, "a")
    broker.holds(messages_dlq=2)
    assert counts(settings) == {
        "acknowledged": 3, "dead_lettered": 1, "unknown": 1, "lost": 1, "lost_examples": ("b", "c")}


def test_what_a_fault_made_the_broker_drop_is_not_held_against_anybody(settings):
    acknowledged(settings, "a", "b", "c")
    assert (settled(settings, dropped=2).dropped, settled(settings, dropped=2).lost) == (2, 1)
    assert settled(settings, dropped=7).intact


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


@pytest.mark.parametrize("line", [
    b"[]", b"3", b"{}", b'{"time": "now", "event": "processed", "id": "a"}', b'{"time": 1010, "event": "processed"}',
    b'{"time": 1010, "event": "processed", "id": ["a"]}', b"\xff\xfe", b"[" * 100_000,
    b'{"time": 1010, "event": "processed", "id": "a"}',
])
def test_lines_that_no_writer_of_the_lab_wrote_do_not_count(settings, line):
    acknowledged(settings, "a")
    for name in ("acknowledged-load", "processed-consumer-1", "stocktaking"):
        with (settings.ledger_dir / f"{name}.jsonl").open("ab") as ledger:
            ledger.write(line + b"\n")
    assert counts(settings) == {"acknowledged": 1, "lost": 1, "lost_examples": ("a",)}
    assert nonzero(completed(settings)) == counts(settings)


@pytest.mark.parametrize("status", [401, 503])
def test_a_broker_that_does_not_answer_has_lost_nothing(settings, broker, status):
    acknowledged(settings, "a", "b")
    processed(settings, "a")
    dead_lettered(settings, "c")
    broker.status = status
    assert counts(settings) == {"acknowledged": 2, "processed": 1, "dead_lettered": 1, "unknown": 2}


def test_a_broker_that_is_away_has_lost_nothing(settings, broker):
    acknowledged(settings, "a")
    broker.server_close()
    assert counts(settings) == {"acknowledged": 1, "unknown": 1}


def test_a_count_of_which_nobody_knows_when_it_was_taken_proves_nothing(settings, broker):
    acknowledged(settings, "a")
    broker.holds(messages=0)
    broker.is_frozen = True
    assert counts(settings) == {"acknowledged": 1, "unknown": 1}


def test_a_count_that_came_late_proves_nothing(settings, broker, monkeypatch):
    monkeypatch.setattr(queues.Count, "_is_late", lambda _self, _asked_at: True)
    acknowledged(settings, "a")
    assert counts(settings) == {"acknowledged": 1, "unknown": 1}


def test_what_was_before_is_ignored(settings):
    acknowledged(settings, "old", at=SINCE - 1)
    processed(settings, "old", "old", at=SINCE - 1)
    acknowledged(settings, "new", at=SINCE)
    processed(settings, "new", at=SINCE)
    assert counts(settings) == {"acknowledged": 1, "processed": 1}


def test_what_was_processed_just_before_and_acknowledged_just_after_is_not_lost(settings):
    processed(settings, "quick", at=SINCE - 0.001)
    acknowledged(settings, "quick", at=SINCE + 0.001)
    assert settled(settings).lost == 0


def test_an_intact_account_is_settled_at_once(settings, monkeypatch):
    monkeypatch.setattr(grading.time, "sleep", lambda _seconds: pytest.fail("it waited"))
    acknowledged(settings, "a")
    processed(settings, "a")
    assert settled(settings).certain


def test_the_queues_are_counted_at_a_tick_after_the_question(settings, broker):
    acknowledged(settings, "a")
    broker.answers = [{"messages": 0}, {"messages": 1}]  # the first tick may be older
    assert nonzero(settled(settings)) == {"acknowledged": 1, "unknown": 1}


def test_what_is_acknowledged_while_it_waits_is_not_asked_for(settings, broker, monkeypatch):
    now = time.time()
    broker.holds(messages=0)
    monkeypatch.setattr(grading.time, "sleep", lambda _seconds: processed(settings, "before", at=now))
    acknowledged(settings, "before", at=now - 1)
    acknowledged(settings, "meanwhile", at=now + 60)
    found = settled(settings)
    assert (found.acknowledged, found.processed, found.lost) == (1, 1, 0)


# -- after the stocktaking ------------------------------------------------------------------------


def test_after_the_stocktaking_each_message_is_where_its_id_was_found(settings):
    acknowledged(settings, "a", "b", "c", "d")
    processed(settings, "a")
    found(settings, "messages", "b")
    found(settings, "messages.dlq", "c")
    assert nonzero(completed(settings)) == {
        "acknowledged": 4, "processed": 1, "dead_lettered": 1, "queued": 1, "lost": 1, "lost_examples": ("d",)}


def test_other_messages_in_the_queues_excuse_nothing(settings):
    acknowledged(settings, "a", "b")
    found(settings, "messages", *(f"junk-{number}" for number in range(9)))
    assert completed(settings).lost == 2


def test_what_was_removed_without_an_id_is_unknown_and_excuses_no_more_than_its_count(settings):
    acknowledged(settings, "a", "b", "c")
    unidentified(settings, 2)
    assert (completed(settings).unknown, completed(settings).lost) == (2, 1)
    unidentified(settings, 7)
    assert (completed(settings).unknown, completed(settings).lost) == (3, 0)


def test_a_dead_letter_that_the_stocktaking_did_not_find_is_discarded(settings):
    dead_lettered(settings, "a", "b", "replayed")
    found(settings, "messages.dlq", "a")
    found(settings, "messages", "replayed")
    assert nonzero(completed(settings)) == {"dead_lettered": 3, "discarded": 1}


PLACES = ("processed", "waiting", "dead", "dead and replayed", "dead by the broker", "gone", "dead and gone")


@given(st.lists(st.sampled_from(PLACES), max_size=30), st.integers(0, 20), st.integers(0, 20))
@settings_of_hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture])  # of `quick`
def test_a_count_never_accuses_of_more_than_is_gone(places, more_waiting, more_dead):
    """Whatever else lies in the queues: what the count calls lost or discarded, the ids confirm."""
    ids = {place: [f"{place}-{number}" for number, one in enumerate(places) if one == place] for place in PLACES}
    waiting = len(ids["waiting"] + ids["dead and replayed"]) + more_waiting
    dead_letters = len(ids["dead"] + ids["dead by the broker"]) + more_dead
    ledgers = grading.Ledgers(
        len(places), Counter(ids["processed"]), frozenset(ids["dead"] + ids["dead and replayed"] + ids["dead and gone"]),
        tuple(ids["waiting"] + ids["dead by the broker"] + ids["gone"]))
    counted = ledgers.account(queues.Totals(waiting, dead_letters), 0)
    stock = grading.Stock({one: "messages" for one in ids["waiting"] + ids["dead and replayed"]}
                          | {one: "messages.dlq" for one in ids["dead"] + ids["dead by the broker"]}, 0)
    final = ledgers.final(stock, 0)
    assert (final.lost, final.discarded) == (len(ids["gone"]), len(ids["dead and gone"]))
    assert counted.lost + counted.discarded <= final.lost + final.discarded
    if not more_waiting + more_dead:
        assert counted.lost + counted.discarded == final.lost + final.discarded


# -- what a consumer writes -----------------------------------------------------------------------


def test_the_consumers_ledger_is_what_the_account_reads(settings):
    first = Ledger(settings.ledger_dir, "consumer-1")
    first.append("processed", ["a", "b"])
    restarted = Ledger(settings.ledger_dir, "consumer-1")
    restarted.append("processed", ["b"])
    restarted.append("dead-lettered", ['nasty "é\n'])
    assert [path.name for path in settings.ledger_dir.iterdir()] == ["processed-consumer-1.jsonl"]
    assert nonzero(grading.completed(settings.ledger_dir, SINCE, math.inf)) == {"processed": 2, "duplicated": 1, "dead_lettered": 1, "discarded": 1}


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


# -- lines that no consumer wrote -----------------------------------------------------------------


def consumers_work(folder: Path) -> Path:
    """A ledger of a consumer that was started twice."""
    for ids in (["a", "b"], ["c"]):
        ledger = Ledger(folder, "consumer-1")
        ledger.append("processed", ids)
        ledger.append("dead-lettered", ["d"])
    return folder / "processed-consumer-1.jsonl"


def test_what_consumers_write_is_not_forged(tmp_path):
    consumers_work(tmp_path)
    Ledger(tmp_path, "consumer-2").append("processed", ["e"])
    assert forgery.signals(tmp_path, 0) == []


def test_a_line_that_was_torn_by_a_kill_is_not_forged(tmp_path):
    path = consumers_work(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    consumers_work(tmp_path)
    assert forgery.signals(tmp_path, 0) == []
    assert sum(1 for _line in grading.lines(tmp_path, "processed-*.jsonl")) == 9


def line_of(path: Path, **changes) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8").splitlines()[-1]) | changes) + "\n"


@pytest.mark.parametrize("changes", [
    {"seq": None}, {"process": None}, {"seq": 2}, {"seq": 9}, {"process": "other", "seq": 7},
    {"process": "other", "seq": 1},
], ids=str)
def test_a_line_from_elsewhere_shows_at_the_latest_when_the_consumer_writes_again(tmp_path, changes):
    path = consumers_work(tmp_path)
    again = Ledger(tmp_path, "consumer-1")
    again.append("processed", ["x"])
    with path.open("a", encoding="utf-8") as file:
        file.write(line_of(path, id="forged", **changes))
    again.append("processed", ["y"])
    [signal] = forgery.signals(tmp_path, 0)
    assert signal.voids and signal.text.startswith("the ledger processed-consumer-1.jsonl has lines that its consumer did not write")


def test_a_removed_line_shows(tmp_path):
    path = consumers_work(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), encoding="utf-8")
    assert forgery.signals(tmp_path, 0)


def test_lines_from_before_the_run_prove_nothing(tmp_path):
    path = consumers_work(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": 1.0, "event": "processed", "id": "of an older version", "redelivered": False}) + "\n")
    assert forgery.signals(tmp_path, 2.0) == []
    assert forgery.signals(tmp_path, 0)
