"""When a lost connection is tried again; the broker itself is played."""

import pytest

from services.messaging import connection, metrics
from services.messaging.connection import BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS, STABLE_SECONDS, Link


class Loop:
    """Notes what is to be done later."""

    def __init__(self):
        self.delays: list[float] = []

    def call_later(self, delay, callback) -> None:
        self.delays.append(delay)
        self.callback = callback


class Connection:
    """A connection to a broker that does whatever the test says."""

    bytes_sent = bytes_received = 0
    is_open = True

    def __init__(self, _parameters, on_open_callback, on_open_error_callback, on_close_callback, custom_ioloop):
        self.opened, self.closed = on_open_callback, on_close_callback
        self.ioloop = custom_ioloop or Loop()

    def add_on_connection_blocked_callback(self, _callback) -> None: ...

    add_on_connection_unblocked_callback = add_on_connection_blocked_callback

    def channel(self, on_open_callback) -> None:
        if on_open_callback.__name__ == "_declare":
            on_open_callback(self)

    def add_on_close_callback(self, _callback) -> None: ...


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(connection.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def link(monkeypatch, clock):
    monkeypatch.setattr(connection.topology, "declare", lambda _channel, _delays, then: then())
    monkeypatch.setattr(connection.random, "uniform", lambda _low, high: high)
    link = Link(connection.pika.ConnectionParameters(), Connection, (), lambda _channel: None, lambda: None)
    link.start()
    return link


def lose(link: Link, clock: list[float], after: float) -> float:
    """Connect, break after so many seconds, and begin again; returns how long that waited."""
    link._connection.opened(link._connection)
    assert link.ready
    clock[0] += after
    link._connection.closed(link._connection, ConnectionError())
    assert not link.ready
    link.ioloop.callback()
    return link.ioloop.delays[-1]


def test_over_a_link_that_breaks_again_and_again_each_try_waits_longer(link, clock):
    waited = [lose(link, clock, after=STABLE_SECONDS / 10) for _ in range(7)]
    assert waited == [min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2 ** number) for number in range(7)]


def test_a_connection_that_lasted_begins_anew(link, clock):
    for _ in range(4):
        lose(link, clock, after=STABLE_SECONDS / 10)
    assert lose(link, clock, after=STABLE_SECONDS) == BACKOFF_BASE_SECONDS


def test_the_bytes_of_a_connection_are_counted_and_its_end_is_no_step_back(link):
    before = metrics.SENT_BYTES._value.get()
    link._connection.bytes_sent = 700
    link._connection.opened(link._connection)
    assert metrics.SENT_BYTES._value.get() == before + 700
    link._connection.bytes_sent = 900
    link.ioloop.callback()
    assert metrics.SENT_BYTES._value.get() == before + 900
    link._connection.is_open, link._connection.bytes_sent = False, 0  # as pika does
    link.ioloop.callback()
    assert metrics.SENT_BYTES._value.get() == before + 900
