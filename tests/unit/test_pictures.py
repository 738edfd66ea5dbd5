"""Pictures of dashboards, from answers that are given."""

import json
from xml.etree import ElementTree

import pytest

from dashboards.picture import Moment, draw
from dashboards.queries import fill_in
from dashboards.units import shown
from lab.errors import LabError
from lab.prometheus import Series
from lab.settings import ROOT

FILES = sorted((ROOT / "dashboards").glob("*.json"))
MOMENT = Moment(1_000_000, 1_000_600)
SVG = "{http://www.w3.org/2000/svg}"


class Answers:
    """A Prometheus that gives the same answer to everything."""

    def __init__(self, *series: Series):
        self._series = list(series)

    def range(self, *_arguments) -> list[Series]:
        return self._series

    def vector(self, _query: str) -> list:
        return [({"queue": "a", "instance_name": "b"}, 1.0)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_panel_is_drawn(file):
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    points = [(MOMENT.start + 2.5 * index, float(index % 2)) for index in range(241) if not 40 < index < 60]
    found = texts(draw(dashboard, Answers(Series({"job": "<producer> & \x00co"}, points)), MOMENT))
    assert {panel["title"] for panel in dashboard["panels"]} <= set(found)
    assert "No data" not in found
    assert any("not by Grafana" in text for text in found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_data_is_said(file):
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert texts(draw(dashboard, Answers(), MOMENT)).count("No data") == len(panels)


def test_a_panel_that_nobody_can_draw_is_named():
    dashboard = json.loads(FILES[0].read_text(encoding="utf-8"))
    dashboard["panels"][1]["type"] = "geomap"
    with pytest.raises(LabError, match=f"{dashboard['panels'][1]['title']}: .*geomap"):
        draw(dashboard, Answers(), MOMENT)


def test_variables_are_filled_in():
    assert fill_in('rate(a{b=~"$b"}[$__rate_interval]) + ${b}', {"b": "x|y", "__rate_interval": "10s"}) == \
        'rate(a{b=~"x|y"}[10s]) + x|y'
    with pytest.raises(LabError, match=r"\$gone"):
        fill_in("$gone", {})


@pytest.mark.parametrize(("value", "unit", "text"), [
    (0, "s", "0 s"), (0.00039, "s", "390 µs"), (0.0223, "s", "22.3 ms"), (61, "s", "1.02 min"), (10, "s", "10 s"),
    (0.998, "percentunit", "99.8%"), (1, "percentunit", "100%"), (-0.5, "percentunit", "-50%"),
    (1536, "bytes", "1.5 KiB"), (0, "bytes", "0 B"), (1500, "Bps", "1.5 kB/s"), (24, "mps", "24 msg/s"),
    (12_345, "reqps", "12.3 K req/s"), (0, "none", "0"), (1_000_000, "none", "1 Mil"),
])
def test_units_are_those_of_grafana(value, unit, text):
    assert shown(value, unit) == text
