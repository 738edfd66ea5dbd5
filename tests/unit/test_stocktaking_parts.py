"""Parts of the stocktaking that need no broker: the id of a message, the lab's queues, one process at a time."""

import json
import threading

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import exclusive
from lab.engine.stocktaking import Notes, identity
from lab.errors import LabError
from lab.grading import ledger
from lab.settings import LabSettings
from services.messaging.topology import is_ours, retry_queue


@given(st.binary(), st.one_of(st.none(), st.text()))
def test_any_message_has_an_id_that_can_be_noted(body, message_id):
    assert isinstance(identity(pika.BasicProperties(message_id=message_id), body), str)


@pytest.mark.parametrize("message_id, body, wanted", [
    ("a", b'{"id": "b"}', "a"),
    (None, b'{"id": "b"}', "b"),
    ("", b'{"id": "b"}', "b"),
    (None, b'{"id": ["b"]}', ""),
    (None, b"[1]", ""),
    (None, b"[" * 100_000, ""),
    (None, b"\xff", ""),
])
def test_the_id_is_that_of_the_property_else_of_the_body(message_id, body, wanted):
    assert identity(pika.BasicProperties(message_id=message_id), body) == wanted


@pytest.mark.parametrize("name", ["messages", "messages.dlq", retry_queue(1000), retry_queue(1)])
def test_the_labs_queues_are_known_by_their_names(name):
    assert is_ours(name)


@pytest.mark.parametrize("name", ["", "junk", "Messages", "messages ", "messages.retry.ms", "messages.retry.1000ms.old",
                                  "messages.dlq\n", "xmessages.retry.1ms"])
def test_no_other_queue_is_the_labs(name):
    assert not is_ours(name)


def test_what_is_noted_can_be_read_back(tmp_path):
    notes = Notes(tmp_path / "ledger" / ledger.STOCK)
    notes.add("messages", ["a", 'nasty "é\n\u2028', ""])
    notes.add("messages.dlq", ["b"])
    notes.add_unidentified("messages.retry.1000ms", 3)
    stock = ledger.stock(tmp_path / "ledger", 0)
    assert stock.found == {"a": "messages", 'nasty "é\n\u2028': "messages", "": "messages", "b": "messages.dlq"}
    assert (stock.unidentified, notes.count) == (3, 4)
    json.loads((tmp_path / "ledger" / ledger.STOCK).read_text(encoding="utf-8").splitlines()[0])


def test_a_second_process_waits_until_the_first_is_done(tmp_path):
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path)
    order = []

    def second() -> None:
        with exclusive.in_turn(settings, "testing"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with exclusive.in_turn(settings, "testing"):
        waiting.start()
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]


def test_it_does_not_wait_for_ever(tmp_path, monkeypatch):
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path)
    monkeypatch.setattr(exclusive, "WAIT_SECONDS", 0)
    with exclusive.in_turn(settings, "testing"), pytest.raises(LabError, match="another process"):
        with exclusive.in_turn(settings, "testing"):
            pass
