"""The record of runs: one at a time, in order, and whose engine still runs."""

import dataclasses
import multiprocessing
import os
import shutil

import psutil
import pytest

from lab.engine.record import Records
from lab.errors import LabError

processes = multiprocessing.get_context("fork")


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path)


def begin(run_dir, barrier, results) -> None:
    """What each of several engines does that start at once."""
    barrier.wait()
    try:
        results.put(Records(run_dir).begin(1, 7, "").id)
    except LabError as error:
        results.put(str(error))


def engines(run_dir, count: int) -> tuple[list[processes.Process], list]:
    """`count` engines that began at once, not yet waited for, and what each was told."""
    barrier, results = processes.Barrier(count), processes.Queue()
    started = [processes.Process(target=begin, args=(run_dir, barrier, results)) for _ in range(count)]
    for process in started:
        process.start()
    return started, [results.get(timeout=30) for _ in started]


# -- one run at a time ----------------------------------------------------------------------------


def test_a_run_begins_with_what_it_is_given(records):
    run = records.begin(scenario=3, seed=7, settings_before="A=1\n")
    assert (run.scenario, run.seed, run.state, run.settings_before) == (3, 7, "checking", "A=1\n")
    assert run.engine_pid == os.getpid()
    assert run.engine_is_alive
    assert records.active() == records.latest() == records.get(run.id) == run


@pytest.mark.parametrize("state", ["checking", "running", "graded"])
def test_a_second_run_is_refused_while_one_is_on(records, state):
    first = records.begin(1, 7, "")
    records.set_state(first.id, state)
    with pytest.raises(LabError, match=r"run 1 of scenario 1 is on: .*lab grade.*lab reset"):
        records.begin(2, 8, "")
    assert records.active().id == records.latest().id == first.id


@pytest.mark.parametrize("state", ["reset", "aborted"])
def test_a_run_may_follow_one_that_ended(records, state):
    records.set_state(records.begin(1, 7, "").id, state)
    assert records.active() is None
    second = records.begin(2, 8, "")
    assert records.active() == records.latest() == second


def test_of_several_processes_at_once_one_begins(tmp_path):
    started, told = engines(tmp_path, 6)
    for process in started:
        process.join()
    [run_id] = [one for one in told if isinstance(one, int)]
    assert all("is on: finish it" in one for one in told if one != run_id)
    assert Records(tmp_path).latest().id == run_id


def test_there_may_be_no_run(records):
    assert records.active() is None
    assert records.latest() is None


# -- events ---------------------------------------------------------------------------------------


def test_events_come_back_in_order(records, tmp_path):
    run = records.begin(1, 7, "")
    data = [{"text": "é☃ 'quoted'", "deep": {"list": [1, 2.5, None, True]}}, {}, {"component": "broker"}]
    for kind, entry in zip(["hint", "detection", "hint"], data, strict=True):
        records.add(run.id, kind, **entry)

    found = Records(tmp_path).get(run.id)
    assert [event.kind for event in found.events] == ["hint", "detection", "hint"]
    assert [event.data for event in found.events] == data
    assert [event.time for event in found.events] == sorted(event.time for event in found.events)
    assert found.all("hint") == [found.events[0], found.events[2]]
    assert (found.first("hint"), found.last("hint")) == (found.events[0], found.events[2])


def test_what_did_not_happen_is_not_there(records):
    run = records.begin(1, 7, "")
    assert (run.events, run.all("hint")) == ((), [])
    assert run.first("hint") is run.last("hint") is run.injected_at is None


def test_the_injection_is_the_first_one(records):
    run = records.begin(1, 7, "")
    for _ in range(2):
        records.add(run.id, "injected")
    run = records.get(run.id)
    assert run.injected_at == run.events[0].time


def test_events_belong_to_their_run(records):
    first = records.begin(1, 7, "")
    records.add(first.id, "hint", cost=5)
    records.set_state(first.id, "reset")
    second = records.begin(1, 7, "")
    records.add(second.id, "detection")
    assert [event.kind for event in records.get(first.id).events] == ["hint"]
    assert [event.kind for event in records.get(second.id).events] == ["detection"]


# -- the engine -----------------------------------------------------------------------------------


def test_an_engine_that_ended_is_not_alive_and_its_run_can_be_taken_over(records, tmp_path):
    [engine], [run_id] = engines(tmp_path, 1)
    engine.join()
    assert records.active().engine_pid == engine.pid
    assert not records.active().engine_is_alive

    records.take_over(run_id)
    assert records.active().engine_pid == os.getpid()
    assert records.active().engine_is_alive


def test_an_engine_that_ended_is_not_alive_though_nobody_waited_for_it(records, tmp_path):
    [engine], _ = engines(tmp_path, 1)
    try:
        os.waitid(os.P_PID, engine.pid, os.WEXITED | os.WNOWAIT)
        assert not records.active().engine_is_alive
    finally:
        engine.join()


def test_a_process_that_got_the_same_pid_later_is_not_the_engine(records):
    run = records.begin(1, 7, "")
    assert not dataclasses.replace(run, engine_born=psutil.Process().create_time() - 60).engine_is_alive


def test_a_run_that_no_engine_has_taken_is_not_alive(records):
    assert not dataclasses.replace(records.begin(1, 7, ""), engine_pid=None).engine_is_alive


# -- a record that cannot be used -----------------------------------------------------------------


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "lab.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(LabError, match=f"{tmp_path}/lab.sqlite.*make clean"):
        Records(tmp_path)


def test_a_record_that_was_cleaned_away_is_named(records, tmp_path):
    shutil.rmtree(tmp_path)
    with pytest.raises(LabError, match=f"{tmp_path}/lab.sqlite.*was the lab cleaned"):
        records.active()
