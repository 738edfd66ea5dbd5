"""Publisher confirms: each publish learns its outcome, once."""

from collections import defaultdict

import pytest
from pika import BasicProperties, frame, spec
from pika.exceptions import ChannelWrongStateError

from services.messaging.confirms import ConfirmedChannel, Outcome

CONFIRMED, NACKED, UNROUTABLE, UNKNOWN = Outcome


class FakeChannel:
    """Pika's channel as far as confirms go, and the broker's side of it."""

    def __init__(self):
        self.is_open = True
        self.mandatory = []
        self.published: list[BasicProperties] = []

    def add_on_return_callback(self, callback):
        self._on_return = callback

    def add_on_close_callback(self, callback):
        self._on_close = callback

    def confirm_delivery(self, callback):
        self._on_confirm = callback

    def basic_publish(self, _exchange, _routing_key, _body, properties, mandatory):
        if not self.is_open:
            raise ChannelWrongStateError("Channel is closed.")
        self.mandatory.append(mandatory)
        self.published.append(properties)

    def ack(self, tag: int, multiple: bool = False):
        self._on_confirm(frame.Method(1, spec.Basic.Ack(tag, multiple)))

    def nack(self, tag: int, multiple: bool = False):
        self._on_confirm(frame.Method(1, spec.Basic.Nack(tag, multiple)))

    def give_back(self, tag: int):
        sent = b"".join(self.published[tag - 1].encode())
        self._on_return(self, spec.Basic.Return(312, "NO_ROUTE"), BasicProperties().decode(sent), b"")

    def close(self):
        self.is_open = False
        self._on_close(self, None)


class Publisher:
    """Publishes by id, and notes every outcome that it is told."""

    def __init__(self, channel: FakeChannel):
        self.confirmed = ConfirmedChannel(channel)
        self.outcomes = defaultdict(list)

    def publish(self, *message_ids: str):
        for one in message_ids:
            properties = BasicProperties(message_id=one)
            self.confirmed.publish("exchange", "key", b"body", properties, self.outcomes[one].append)


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def publisher(channel) -> Publisher:
    publisher = Publisher(channel)
    publisher.publish("a", "b", "c")
    return publisher


def test_nothing_is_told_before_the_broker_answers(channel, publisher):
    assert publisher.outcomes == {"a": [], "b": [], "c": []}
    assert publisher.confirmed.in_flight == 3
    assert channel.mandatory == [True] * 3


def test_an_ack_confirms_one_in_any_order(channel, publisher):
    channel.ack(2)
    assert publisher.outcomes == {"a": [], "b": [CONFIRMED], "c": []}
    channel.ack(1)
    assert publisher.outcomes == {"a": [CONFIRMED], "b": [CONFIRMED], "c": []}
    assert publisher.confirmed.in_flight == 1


def test_a_multiple_ack_confirms_all_up_to_its_tag(channel, publisher):
    channel.ack(2, multiple=True)
    assert publisher.outcomes == {"a": [CONFIRMED], "b": [CONFIRMED], "c": []}


def test_a_multiple_ack_leaves_alone_what_is_settled(channel, publisher):
    channel.nack(2)
    channel.ack(3, multiple=True)
    assert publisher.outcomes == {"a": [CONFIRMED], "b": [NACKED], "c": [CONFIRMED]}


def test_a_nack_refuses_one_or_many(channel, publisher):
    channel.nack(1)
    assert publisher.outcomes == {"a": [NACKED], "b": [], "c": []}
    channel.nack(3, multiple=True)
    assert publisher.outcomes == {"a": [NACKED], "b": [NACKED], "c": [NACKED]}


def test_a_return_before_the_ack_means_unroutable(channel, publisher):
    channel.give_back(2)
    assert publisher.outcomes["b"] == []
    channel.ack(3, multiple=True)
    assert publisher.outcomes == {"a": [CONFIRMED], "b": [UNROUTABLE], "c": [CONFIRMED]}


def test_a_return_says_nothing_about_a_later_publish_with_the_same_id(channel, publisher):
    channel.give_back(1)
    channel.ack(1)
    publisher.publish("a")
    channel.ack(4)
    assert publisher.outcomes["a"] == [UNROUTABLE, CONFIRMED]


def test_two_returns_under_one_id_and_one_multiple_ack_are_two_unroutable(channel, publisher):
    publisher.publish("same", "same", "same")
    channel.give_back(4)
    channel.give_back(6)
    channel.ack(6, multiple=True)
    assert publisher.outcomes["same"] == [UNROUTABLE, CONFIRMED, UNROUTABLE]


def test_a_publish_keeps_the_headers_it_was_given(channel, publisher):
    publisher.confirmed.publish("exchange", "key", b"body", BasicProperties(headers={"mine": 1}), lambda _outcome: None)
    assert channel.published[-1].headers == {"mine": 1, "x-publish-tag": 4}


def test_a_close_leaves_unknown_what_is_not_settled(channel, publisher):
    channel.ack(1)
    channel.give_back(2)
    channel.close()
    assert publisher.outcomes == {"a": [CONFIRMED], "b": [UNKNOWN], "c": [UNKNOWN]}
    assert publisher.confirmed.in_flight == 0


def test_a_closed_channel_refuses_a_publish_and_tells_nothing(channel, publisher):
    channel.close()
    with pytest.raises(ChannelWrongStateError):
        publisher.publish("d")
    assert publisher.outcomes["d"] == []
    assert publisher.confirmed.in_flight == 0


def test_a_callback_may_publish_again(channel, publisher):
    publisher.confirmed.publish("exchange", "key", b"body", BasicProperties(message_id="first"),
                                lambda _outcome: publisher.publish("second"))
    channel.ack(4, multiple=True)
    assert publisher.outcomes["second"] == []
    channel.ack(5)
    assert publisher.outcomes["second"] == [CONFIRMED]
    assert publisher.confirmed.in_flight == 0
