"""The dashboards and what Grafana is provisioned with; and that the stand-in for Grafana would notice."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import generate
from lab.settings import ROOT
from tests.standins.grafana import Grafana, Wrong
from tests.unit.test_prometheus import FOREIGN_METRICS, RECORDED, metrics_in, own_metrics

FOLDER = ROOT / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
DASHBOARDS = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
PANELS = [pytest.param(panel, id=f"{dashboard['uid']}-{panel['title']}")
          for dashboard in DASHBOARDS for panel in dashboard["panels"] if panel["type"] != "row"]
QUERIES = sorted({target["expr"] for dashboard in DASHBOARDS for panel in dashboard["panels"]
                  for target in panel.get("targets", [])})
# Labels with few values: no more than there are parts, routes, queues or reasons.
BOUNDED = {"alertname", "attempt", "cause", "direction", "endpoint", "instance_name", "job", "le", "outcome", "proxy", "queue",
           "reason", "release", "route", "slo", "status", "instance"}
UIDS = {"sre-lab-overview", "sre-lab-producer", "sre-lab-consumer", "sre-lab-rabbitmq", "sre-lab-network", "sre-lab-load",
        "sre-lab-lab-run"}

register_default_plugins()


def grafana(folder: Path) -> Grafana:
    """What Grafana makes of a folder of dashboards."""
    return Grafana({"GF_PATHS_PROVISIONING": str(folder / "provisioning"), "DASHBOARDS": str(folder),
                    "PROMETHEUS_URL": "http://prometheus:9090", "ALERTMANAGER_URL": "http://alertmanager:9093"},
                   folder / "grafana.ini")


def test_everything_is_provisioned():
    found = grafana(FOLDER)
    assert set(found.datasources) == {"prometheus", "alertmanager"}
    assert found.datasources["prometheus"]["url"] == "http://prometheus:9090"
    assert set(found.dashboards) == {dashboard["uid"] for dashboard in DASHBOARDS}
    assert found.home["uid"] == "sre-lab-overview"


def test_the_files_are_those_of_the_sources():
    documents = generate.documents()
    assert set(documents) == set(FILES)
    for file, content in documents.items():
        assert file.read_text(encoding="utf-8") == content, "run `make generate`"


def test_uids_are_what_they_were():
    assert sorted(dashboard["uid"] for dashboard in DASHBOARDS) == sorted(UIDS)  # people have links to them


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_grafanas_schema_knows_every_field(dashboard):
    """What Grafana's own model, read from its schema, does not know or cannot read does not survive the way through it."""
    through = json.loads(json.dumps(Dashboard.from_json(json.loads(json.dumps(dashboard))), cls=JSONEncoder))
    for annotation in dashboard["annotations"]["list"]:
        for key in generate.ALERT_TEXTS:
            annotation.pop(key, None)
    assert through == dashboard


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_the_data_source_is_a_variable(dashboard):
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_links_lead_to_dashboards(dashboard):
    for panel in dashboard["panels"]:
        for link in panel.get("links") or []:
            assert re.match(r"/d/([\w-]+)\?", link["url"])[1] in UIDS - {dashboard["uid"]}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_what_there_is(query):
    without_variables = re.sub(r"\$\w+", "1m", query)
    assert metrics_in(without_variables) <= own_metrics() | FOREIGN_METRICS | RECORDED | {"ALERTS"}


@pytest.mark.parametrize("query", QUERIES)
def test_counters_are_read_as_rates(query):
    """Else a restart, which sets a counter to 0, would show a wrong number."""
    assert not re.search(r"(?<!rate\()(?<!increase\()\b\w+(_total|_bucket|_count|_sum)\b", query)


@pytest.mark.parametrize("query", QUERIES)
def test_series_are_few(query):
    assert {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", query) for label in labels.split(",")} <= BOUNDED


@pytest.mark.parametrize("panel", PANELS)
def test_names_are_made_of_labels_that_are_there(panel):
    for target in panel["targets"]:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= BOUNDED


@pytest.mark.parametrize("panel", PANELS)
def test_panels_explain_themselves(panel):
    assert panel["title"] and len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert panel["targets"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one["uid"])
def test_panels_do_not_overlap_and_have_ids_of_their_own(dashboard):
    cells = [(x, y) for panel in dashboard["panels"] for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _y in cells) < 24  # columns of Grafana's grid
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_queries_of_the_dashboards_parse(tmp_path):
    filled_in = [re.sub(r"\$\w+", lambda match: {"$__rate_interval": "30s"}.get(match[0], ".*"), query)
                 for query in QUERIES]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled_in)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


# -- the stand-in ---------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "dashboards")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(("file", "old", "new", "says"), [
    ("provisioning/dashboards/lab.yml", "$DASHBOARDS", "$DASHBORDS", "DASHBORDS is used, and not set"),
    ("provisioning/dashboards/lab.yml", "$DASHBOARDS", "/nowhere", "/nowhere is missing"),
    ("provisioning/datasources/lab.yml", "apiVersion: 1", "apiVersion: 7", "apiVersion is not 1"),
    ("provisioning/datasources/lab.yml", "uid: prometheus", "uid: other", "no data source 'prometheus'"),
    ("overview.json", '"uid": "${datasource}"', '"uid": "gone"', "no data source 'gone'"),
    ("overview.json", '"uid": "sre-lab-overview"', '"uid": "a b"', "is not valid"),
    ("grafana.ini", "overview.json", "other.json", "other.json is missing"),
    ("grafana.ini", "enabled = true", "enabled = false", "nobody may look"),
])
def test_what_is_wrong_is_noticed(copy, file, old, new, says):
    change(copy / file, old, new)
    with pytest.raises(Wrong, match=re.escape(says)):
        grafana(copy)


def test_a_uid_that_is_there_twice_is_noticed(copy):
    shutil.copy(copy / "overview.json", copy / "twice.json")
    with pytest.raises(Wrong, match="there twice"):
        grafana(copy)
