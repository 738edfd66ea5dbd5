"""The dead-letter tools without a broker: what a message tells, what is chosen, and in which order things are done."""

import json
from datetime import datetime

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import exceptions

from lab import dlq, dlq_view
from lab.dlq import DeadLetter, Outcome, Selection
from lab.errors import LabError
from services.messaging import schema, topology


def letter(tag: int = 1, body: bytes = b"{}", message_id: str | None = None, headers: dict | None = None,
           **properties) -> DeadLetter:
    message_id = message_id or f"m{tag}"
    return DeadLetter(tag, pika.BasicProperties(message_id=message_id, headers=headers, **properties), body)


def with_reason(reason: str, tag: int = 1) -> DeadLetter:
    return letter(tag, headers={schema.DEAD_LETTER_REASON: reason})


class Channel:
    """Notes what is asked of it; `answers` are errors to raise, by message id."""

    def __init__(self, calls: list, answers: dict[str, Exception] | None = None):
        self.calls, self.answers, self.is_open = calls, answers or {}, True

    def basic_publish(self, exchange, routing_key, _body, properties, mandatory):
        assert (exchange, routing_key, mandatory) == (topology.EXCHANGE, topology.QUEUE, True)
        self.calls.append(("publish", properties.message_id))
        if error := self.answers.get(properties.message_id):
            self.is_open = not isinstance(error, exceptions.AMQPConnectionError)
            raise error
        self.calls.append(("confirmed", properties.message_id))

    def basic_ack(self, tag):
        self.calls.append(("ack", tag))


class TestLetter:
    def test_the_consumer_says_why(self):
        expired = {"queue": "messages.retry.1000ms", "reason": "expired"}
        assert letter(headers={schema.DEAD_LETTER_REASON: "invalid", "x-death": [expired]}).reason == "invalid"

    def test_else_the_broker_does(self):
        deaths = [{"queue": "messages.retry.1000ms", "reason": "expired"},
                  {"queue": "messages", "reason": "delivery_limit"}]
        assert letter(headers={"x-death": deaths}).reason == "delivery_limit"

    @pytest.mark.parametrize("headers", [None, {}, {"x-death": "nonsense"}, {"x-death": []}, {"x-death": ["nonsense"]}])
    def test_else_nobody(self, headers):
        assert letter(headers=headers).reason == "unknown"

    def test_the_user_that_the_broker_checked_counts_more_than_what_a_header_claims(self):
        found = letter(headers={schema.PUBLISHED_BY: "somebody"}, user_id="importer", app_id="program")
        assert found.publisher == "program / importer"

    def test_without_an_id_the_body_names_it(self):
        one, same, other = (DeadLetter(1, pika.BasicProperties(), body) for body in (b"a", b"a", b"b"))
        assert one.id == same.id != other.id

    def test_an_id_cannot_command_a_terminal(self):
        assert letter(message_id="a\x1b[2Jb\x9b").id == r"a\x1b[2Jb\x9b"

    @pytest.mark.parametrize("headers", [
        {schema.ATTEMPT: "many", schema.PUBLISHED_AT_MS: "then", schema.PUBLISHED_BY: 5, schema.DEAD_LETTER_REASON: b"\xff", schema.DEAD_LETTER_ERROR: [1]},
        {b"\xff": {"deep": [datetime(2026, 1, 1), b"\x00"]}, "x-death": [{"time": datetime(2026, 1, 1)}]},
    ])
    def test_whatever_others_wrote_can_be_shown_and_kept(self, headers):
        found = letter(body=b"\xff\x00", headers=headers)
        assert found.attempts == 1
        json.dumps(found.as_dict())
        dlq_view.table([found]), dlq_view.details(found), dlq_view.summary([found])


class TestSelection:
    @pytest.mark.parametrize("given_", [{}, {"ids": ("a",), "everything": True}, {"ids": ("a",), "reason": "invalid"},
                                        {"reason": "invalid", "everything": True}])
    def test_one_of_three_is_needed(self, given_):
        with pytest.raises(LabError, match="--all"):
            Selection(**given_)

    def test_each_chooses_in_the_queues_order(self):
        letters = [with_reason(reason, tag) for tag, reason in enumerate(("invalid", "expired", "invalid"), 1)]
        assert Selection(ids=("m3", "m1")).choose(letters) == [letters[0], letters[2]]
        assert Selection(reason="expired").choose(letters) == [letters[1]]
        assert Selection(everything=True).choose(letters) == letters

    def test_an_id_that_is_there_twice_means_both(self):
        letters = [letter(1, message_id="same"), letter(2, message_id="same")]
        assert Selection(ids=("same", "same")).choose(letters) == letters

    def test_ids_that_are_not_there_are_told_once(self):
        assert Selection(ids=("m1", "gone", "gone")).missing([letter(1)]) == ["gone"]


class TestFresh:
    def test_the_past_is_left_behind(self):
        past = {schema.DEAD_LETTER_REASON: "expired", schema.DEAD_LETTER_ERROR: "late", schema.ATTEMPT: 5, "x-death": [{"reason": "expired"}],
                "x-first-death-queue": "messages", "x-last-death-reason": "expired", "x-delivery-count": 3,
                "CC": ["other"]}
        kept = {schema.PUBLISHED_AT_MS: 1000, "trace": "t"}
        properties = dlq.fresh(letter(
            headers=past | kept, expiration="100", delivery_mode=1, app_id="program", priority=3))
        assert properties.headers == kept
        assert (properties.expiration, properties.delivery_mode) == (None, 2)
        assert (properties.message_id, properties.app_id, properties.priority) == ("m1", "program", 3)

    def test_nothing_is_published_in_anothers_name(self):
        properties = dlq.fresh(letter(user_id="importer", headers={schema.PUBLISHED_BY: "claimed"}))
        assert (properties.user_id, properties.headers) == (None, {schema.PUBLISHED_BY: "importer"})

    def test_the_original_is_not_touched(self):
        original = with_reason("invalid")
        dlq.fresh(original)
        assert original.reason == "invalid"


class TestReplay:
    def replay(self, letters, answers=None, force=False):
        calls = []
        everything = Selection(everything=True)
        return calls, dlq.replay_over(Channel(calls), Channel(calls, answers), letters, everything, force)

    def test_the_original_is_acked_after_the_confirm_of_its_copy(self):
        calls, outcome = self.replay([letter(1), letter(2)])
        assert calls == [("publish", "m1"), ("confirmed", "m1"), ("ack", 1),
                         ("publish", "m2"), ("confirmed", "m2"), ("ack", 2)]
        assert [one.id for one in outcome.done] == ["m1", "m2"]

    @pytest.mark.parametrize("error", [exceptions.NackError([]), exceptions.UnroutableError([])])
    def test_what_is_not_confirmed_stays_and_the_others_go_on(self, error):
        calls, outcome = self.replay([letter(1), letter(2)], {"m1": error})
        assert ("ack", 1) not in calls and ("ack", 2) in calls
        assert [one.id for one, _why in outcome.failed] == ["m1"]

    def test_nothing_is_tried_over_a_dead_connection(self):
        calls, outcome = self.replay([letter(1), letter(2), letter(3)], {"m2": exceptions.StreamLostError()})
        assert calls == [("publish", "m1"), ("confirmed", "m1"), ("ack", 1), ("publish", "m2")]
        assert [one.id for one, _why in outcome.failed] == ["m2", "m3"]

    def test_a_channel_that_can_ack_no_more_publishes_no_more(self):
        calls = []
        taking = Channel(calls)
        taking.is_open = False
        outcome = dlq.replay_over(taking, Channel(calls), [letter(1)], Selection(everything=True))
        assert not calls and outcome.failed

    def test_what_nobody_can_read_is_refused_unless_forced(self):
        letters = [with_reason("undecodable", 1), with_reason("invalid", 2), with_reason("attempts_exhausted", 3)]
        _calls, outcome = self.replay(letters)
        assert (outcome.refused, outcome.done) == (letters[:2], letters[2:])
        _calls, outcome = self.replay(letters, force=True)
        assert (outcome.refused, outcome.done) == ([], letters)


class TestDrop:
    def test_the_file_is_there_before_anything_is_acked(self, tmp_path):
        path = tmp_path / "new" / "dropped.jsonl"
        seen = []

        class Watching(Channel):
            def basic_ack(self, tag):
                seen.append(path.read_text(encoding="utf-8").count("\n"))

        outcome = Outcome(file=path)
        dlq.drop_over(Watching([]), [letter(1), letter(2, body=b"\xff")], outcome)
        assert seen == [2, 2]
        kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert [(one["id"], one.get("body"), one.get("body_base64")) for one in kept] == [
            ("m1", "{}", None), ("m2", None, "/w==")]

    def test_without_a_file_nothing_is_removed(self, tmp_path):
        calls = []
        (tmp_path / "file").touch()
        with pytest.raises(LabError, match="nothing is removed"):
            dlq.drop_over(Channel(calls), [letter(1)], Outcome(file=tmp_path / "file" / "dropped.jsonl"))
        assert calls == []


class TestView:
    def test_a_body_is_shown_as_what_it_is(self):
        assert dlq_view.body('{"id": "é"}'.encode()) == '{\n  "id": "é"\n}'
        assert dlq_view.body(b'{"id": ') == '{"id": '
        assert dlq_view.body(b"\xff\x00") == "ff 00"
        assert dlq_view.body(b"a\x1bb\nc") == "a\\x1bb\nc"

    def test_a_long_one_is_cut_with_a_note(self):
        assert dlq_view.body(b"x" * 20_000).endswith("x\n… cut here: the body has 20 kB")

    @given(st.binary())
    def test_no_body_is_too_strange(self, content):
        assert dlq_view.body(content).replace("\n", "").isprintable()

    def test_nesting_that_no_parser_bears_is_text(self):
        assert dlq_view.body(b"[" * 100_000).startswith("[[[")

    def test_the_summary_counts(self):
        letters = [with_reason("invalid", 1), with_reason("invalid", 2), with_reason("expired", 3)]
        assert dlq_view.summary(letters) == "3 dead letters: 2 invalid, 1 expired; published by 3 unknown"
        assert dlq_view.summary([]) == "no dead letters"

    @pytest.mark.parametrize(("seconds", "shown"), [
        (5, "5 s"), (119, "119 s"), (130, "2 min"), (3600 * 5, "5 h"), (86400 * 3, "3 d"), (-1, "0 s"), (-60, "?")])
    def test_ages(self, seconds, shown, monkeypatch):
        monkeypatch.setattr(dlq_view.time, "time", lambda: 1_000_000.0)
        assert dlq_view.age(letter(timestamp=1_000_000 - seconds)) == shown
