"""Ctrl-C in the engine: none is lost, wherever the program is when it comes."""

import signal

import pytest

from lab.engine import interrupts


class InterruptedDestructor:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_is_remembered():
    with interrupts.remembered() as check:
        check()
        InterruptedDestructor()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_an_interrupt_acts_at_once():
    with pytest.raises(KeyboardInterrupt), interrupts.remembered():
        signal.raise_signal(signal.SIGINT)


def test_afterwards_the_handler_is_the_former_one():
    with interrupts.remembered():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_interrupts_are_ignored_they_stay_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts.remembered() as check:
        signal.raise_signal(signal.SIGINT)
        check()
