"""The dashboards and what Grafana is provisioned with; and that the stand-in for Grafana would notice."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.settings import ROOT
from tests.standins.grafana import Grafana, Wrong

FOLDER = ROOT / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
DASHBOARDS = [json.loads(file.read_text()) for file in FILES]
PANELS = [pytest.param(panel, id=f"{dashboard['uid']}-{panel['title']}")
          for dashboard in DASHBOARDS for panel in dashboard["panels"]]


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
    queries = [target["expr"] for dashboard in DASHBOARDS for panel in dashboard["panels"] for target in panel["targets"]]
    filled_in = [re.sub(r"\$\w+", lambda match: {"$__rate_interval": "30s"}.get(match[0], ".*"), query)
                 for query in queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled_in)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# -- the stand-in ---------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "dashboards")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


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
