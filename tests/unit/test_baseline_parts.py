"""The comparison with the baseline, without a lab."""

import os

import pytest

from lab import baseline
from lab.baseline import access
from lab.baseline.definitions import KINDS, differences, wanted
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Status, unlike_usual
from lab.stack.native import scraping
from services.messaging import topology

DELAYS = [1000, 2000]


def changed(kind: str, change) -> list[str]:
    """What the comparison says when `change` was done to that list of the definitions."""
    found = wanted("admin", DELAYS)
    found[kind] = [dict(entry) for entry in found[kind]]
    change(found[kind])
    return [str(one) for one in differences(wanted("admin", DELAYS), found)]


def test_the_baseline_does_not_differ_from_itself():
    assert all(changed(kind, lambda _entries: None) == [] for kind in KINDS)


@pytest.mark.parametrize(("kind", "added", "line"), [
    ("vhosts", {"name": "mine"}, "virtual host mine: not one of the lab's"),
    ("users", {"name": "eve", "tags": [], "limits": {}}, "user eve: not one of the lab's"),
    ("parameters", {"vhost": "/", "component": "shovel", "name": "a", "value": {}}, "parameter shovel a: not one of the lab's"),
    ("global_parameters", {"name": "cluster_name", "value": "a"}, "global parameter cluster_name: not one of the lab's"),
    ("queues", {"vhost": "/", "name": "junk", "durable": True, "auto_delete": False, "arguments": {}},
     "queue junk: not one of the lab's"),
])
def test_an_entry_of_somebody_else_is_named(kind, added, line):
    assert changed(kind, lambda entries: entries.append(added)) == [line]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if wanted("admin", DELAYS)[kind]])
def test_an_entry_that_is_missing_is_named(kind):
    assert changed(kind, lambda entries: entries.pop())[0].endswith(": missing")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if wanted("admin", DELAYS)[kind] and KINDS[kind].compared])
def test_every_property_is_compared(kind):
    for name in KINDS[kind].compared:
        assert changed(kind, lambda entries, name=name: entries[0].update({name: {"another": 1}}))[0].endswith(
            f": changed ({name})")


def test_entries_of_a_foreign_virtual_host_and_of_the_broker_itself_are_not_listed():
    foreign = {"vhost": "mine", "name": "a", "durable": True, "auto_delete": False, "arguments": {}}
    assert changed("queues", lambda entries: entries.append(foreign)) == []
    assert changed("global_parameters", lambda entries: entries.append({"name": "internal_cluster_id", "value": "a"})) == []


def test_the_forms_of_other_versions_of_the_broker_are_the_same():
    assert changed("users", lambda entries: entries[0].update(tags="administrator")) == []
    assert changed("queues", lambda entries: entries[0].update(type="quorum", arguments={})) == []


def test_every_queue_of_the_topology_is_a_part_of_the_baseline():
    assert [queue["name"] for queue in wanted("admin", DELAYS)["queues"]] == [
        topology.QUEUE, topology.DEAD_LETTER_QUEUE, *map(topology.retry_queue, DELAYS)]


def test_the_plugins_are_those_of_the_repository():
    assert access.PLUGINS == ["rabbitmq_management", "rabbitmq_prometheus"]


def status(name: str, state: str = "running", healthy: bool | None = True) -> Status:
    return Status(name, state, pid=1, uptime_seconds=1, healthy=healthy, detail="no connection")


def test_services_are_compared_with_those_that_usually_run():
    found = [status("producer", healthy=False), status("traffic", "paused", False), status("epmd", "starting", False),
             status("consumer-1"), status("consumer-2"), status("partner"), status("legacy-importer", "stopped", False)]
    assert unlike_usual(found, ["producer", "traffic", "epmd", "consumer-1", "rabbitmq"]) == [
        "producer: not healthy: no connection", "rabbitmq: missing", "traffic: paused",
        "partner: running, though it usually does not run", "consumers: 2 instead of 1"]


@pytest.mark.parametrize("name", scraping.SCRAPERS)
def test_files_that_prometheus_and_judge_read_are_compared_with_what_would_be_written(tmp_path, name):
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path)
    folder, consumers = tmp_path / name, {"consumer-1": 8000}
    for one in scraping.SCRAPERS:
        (tmp_path / one).mkdir()
        scraping.write_configuration(settings, one)
    scraping.write_targets(settings, consumers)
    assert scraping.changed_files(settings, consumers) == []
    (folder / "rules" / "mine.yml").write_text("groups: []", encoding="utf-8")
    (folder / "rules" / "slo.yml").unlink()
    (folder / "prometheus.yml").write_bytes(b"\xff")
    (folder / "targets" / "traffic.yml").write_text("[]", encoding="utf-8")
    assert scraping.changed_files(settings, consumers) == [
        f"{name}: {file} changed" for file in ("prometheus.yml", "rules/mine.yml", "rules/slo.yml", "targets/traffic.yml")]


def test_the_time_of_a_change_cannot_be_set_back(tmp_path):
    path = tmp_path / "a"
    path.write_text("a", encoding="utf-8")
    os.utime(path, (0, 0))
    assert scraping.written_at(tmp_path) >= path.stat().st_ctime > 0


class TestBeforeARun:
    @pytest.fixture
    def lab(self, monkeypatch):
        """What the comparisons say one after the other, and what was done."""
        answers, done = [], []
        monkeypatch.setattr(baseline, "POLL_SECONDS", 0)
        monkeypatch.setattr(baseline, "SETTLE_SECONDS", 0)
        monkeypatch.setattr(baseline, "PATIENCE_SECONDS", 0)
        monkeypatch.setattr(baseline, "differences", lambda *_: answers.pop(0) if len(answers) > 1 else answers[0])
        monkeypatch.setattr(baseline, "restore", lambda *_: done.append("restored"))
        return answers, done

    def test_nothing_is_done_at_the_baseline(self, lab):
        answers, done = lab
        answers[:] = [[]]
        baseline.ensure(None, None, done.append)
        assert done == []

    def test_nothing_is_done_about_what_is_gone_at_once(self, lab, monkeypatch):
        answers, done = lab
        monkeypatch.setattr(baseline, "PATIENCE_SECONDS", 60)
        answers[:] = [["traffic: slow"], []]
        baseline.ensure(None, None, done.append)
        assert done == []

    def test_what_differs_is_said_and_put_back(self, lab):
        answers, done = lab
        answers[:] = [["tracing: on"], []]
        baseline.ensure(None, None, done.append)
        assert done == ["not at the baseline, so it is put back: tracing: on", "restored"]

    def test_what_remains_is_an_error_that_names_it(self, lab):
        answers, done = lab
        answers[:] = [["tracing: on"]]
        with pytest.raises(LabError, match="not at its baseline:\n  tracing: on\n`lab reset`"):
            baseline.ensure(None, None, done.append)
