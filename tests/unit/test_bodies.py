"""Which body is dropped where the room is short."""

import flask
import pytest
from werkzeug.exceptions import ServiceUnavailable

from services.producer.bodies import Bodies, NoRoom
from services.producer.settings import ProducerSettings

LIMIT = 10_000


class Arriving:
    """A body of which so many bytes come; while it arrives, `meanwhile` is called."""

    def __init__(self, size: int, meanwhile=lambda: None):
        self._size = size
        self._meanwhile = meanwhile
        self.verdict = None

    def pieces(self, _most: int):
        yield b"x" * self._size
        self._meanwhile()
        if self.verdict:
            raise self.verdict

    def cut_off(self, verdict) -> None:
        self.verdict = verdict


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch):
    """Reads such a body; `read.waiting` bytes wait for the broker."""
    settings = ProducerSettings(_env_file=None, max_body_bytes=LIMIT, max_in_flight_bytes=LIMIT)
    bodies = Bodies(settings, lambda: call.waiting)
    app = flask.Flask("test")

    def call(body: Arriving) -> int:
        with app.request_context({"wsgi.input": body, "REQUEST_METHOD": "POST", "wsgi.url_scheme": "http",
                                  "SERVER_NAME": "producer", "SERVER_PORT": "5000"}):
            return len(bodies.read())

    call.waiting = 0
    return call


def test_a_small_one_passes_beside_a_large_one_that_is_slow(read):
    arrived = []
    large = Arriving(LIMIT, meanwhile=lambda: arrived.append(read(Arriving(100))))
    with pytest.raises(ServiceUnavailable, match="still arriving"):
        read(large)
    assert arrived == [100]
    assert read(Arriving(LIMIT)) == LIMIT  # nothing of them is counted any more


def test_two_small_ones_leave_each_other_alone(read):
    arrived = []
    assert read(Arriving(100, meanwhile=lambda: arrived.append(read(Arriving(100))))) == 100
    assert arrived == [100]


def test_what_waits_for_the_broker_is_the_reason_where_it_takes_the_room(read):
    read.waiting = LIMIT - 99
    with pytest.raises(NoRoom):
        read(Arriving(100))
    read.waiting = 0
    assert read(Arriving(LIMIT)) == LIMIT
