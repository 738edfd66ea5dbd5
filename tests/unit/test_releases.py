"""What each release of the consumer does to a message: the current one nothing, the others what they are kept for."""

import json
import signal
import subprocess
import sys

import pytest

from lab.settings import ROOT
from services.consumer.releases import CURRENT, release
from services.messaging.schema import Message


def message(**fields) -> Message:
    return Message.model_validate({"id": "a-1", "payload": {"order": 7}, "processing_time": 0.5} | fields)


@pytest.mark.parametrize("odd", [{}, {"id": "a-0"}, {"payload": {"order": 100}}, {"payload": "text"}])
def test_the_current_one_takes_every_message_as_it_is(odd):
    one = message(**odd)
    assert release(CURRENT).refusal(one) is None
    release(CURRENT).before_processing(one)
    assert not release(CURRENT).gives_back(one.id)


def test_the_old_one_knows_only_whole_seconds():
    assert "whole number" in release("0.9").refusal(message())
    assert release("0.9").refusal(message(processing_time=2.0)) is None


def test_one_gives_back_some_that_it_has_processed():
    assert [one for one in ("a-0", "a-1", "a-10") if release("1.1").gives_back(one)] == ["a-0", "a-10"]


@pytest.mark.parametrize("payload, dies", [({"order": 300}, True), ({"order": 301}, False), ("300", False), ([], False)])
def test_one_dies_of_some_orders(payload, dies):
    code = ("import sys, json; from services.consumer.releases import release; from services.messaging.schema import Message;"
            "release('1.2').before_processing(Message(id='a', payload=json.loads(sys.argv[1])))")
    done = subprocess.run([sys.executable, "-c", code, json.dumps(payload)], cwd=ROOT)
    assert done.returncode == (-signal.SIGSEGV if dies else 0)
