"""Charts of the console, and its pages of dashboards, from a Prometheus whose answers are given."""

import json
import re
import threading

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from dashboards import units
from dashboards.queries import Moment, choices, pattern, variables
from lab import settings as lab_settings
from lab.console import charts, now
from lab.console.app import create_app
from lab.engine.record import Records
from lab.errors import LabError
from lab.grading.measurements import Curve
from lab.prometheus import Series
from lab.settings import ROOT, LabSettings

DASHBOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "dashboards").glob("*.json"))}
PANELS = [pytest.param(panel, id=f"{name}-{panel['title']}") for name, dashboard in DASHBOARDS.items()
          for panel in dashboard["panels"] if panel["type"] != "row"]
VALUES = {"queue": "messages", "instance": "consumer-1"}
MOMENT = Moment(1_000_000, 1_000_600)
POINTS = [(MOMENT.start + 2.5 * index, float(index % 2)) for index in range(241)]


class Answers:
    """A Prometheus that gives the same answer to everything, remembers what it was asked, or does not answer."""

    def __init__(self, *series: Series, queues: tuple[str, ...] = ("messages", "messages.dlq"), problem: str = ""):
        self.asked: list[str] = []
        self._series, self._queues, self.problem = list(series), queues, problem

    def range(self, query: str, *_times: float) -> list[Series]:
        self._answer(query)
        return self._series

    def vector(self, query: str) -> list:
        self._answer(query)
        return [({"queue": queue, "instance_name": "consumer-1"}, 1.0) for queue in self._queues]

    def _answer(self, query: str) -> None:
        if self.problem:
            raise LabError(self.problem)
        self.asked.append(query)


# -- charts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_becomes_a_chart(panel):
    chart = charts.of_panel(panel, VALUES, Answers(Series({"job": "producer"}, POINTS[-200:])), MOMENT)
    assert json.loads(json.dumps(chart, allow_nan=False))["title"] == panel["title"]
    assert chart["kind"] in charts.KINDS.values()
    assert len(chart["series"]) == len(panel["targets"])
    assert all(line["points"] and line["scale"] and line["steps"] for line in chart["series"])
    if chart["kind"] == "states":
        assert set(chart["states"]) >= {"0", "1"}


def test_a_panel_that_nobody_can_draw_is_named():
    with pytest.raises(LabError, match="Map: .*geomap"):
        charts.of_panel({"type": "geomap", "title": "Map"}, VALUES, Answers(), MOMENT)


def test_of_several_numbers_each_has_its_own_unit_and_limits():
    panel = next(panel for panel in DASHBOARDS["overview"]["panels"] if panel["title"] == "Clients ▶")
    lines = charts.of_panel(panel, VALUES, Answers(Series({}, POINTS)), MOMENT)["series"]
    assert [units.shown(0.5, unit) for unit in ("reqps", "percentunit", "s")] == ["0.5 req/s", "50%", "500 ms"]
    assert [line["scale"] for line in lines] == [units.scale(unit) for unit in ("reqps", "percentunit", "s")]
    assert lines[0]["steps"] != lines[1]["steps"]


def test_a_number_that_was_there_once_is_not_shown_as_that_of_now():
    panel = next(panel for panel in DASHBOARDS["overview"]["panels"] if panel["title"] == "Clients ▶")
    assert charts.of_panel(panel, VALUES, Answers(Series({}, POINTS[:100])), MOMENT)["series"] == []


def test_a_curve_of_a_run_has_its_objective_and_marks():
    marks = [{"time": 1_000_030, "name": "injected"}]
    curve = Curve("Requests are answered", "ratio", tuple(POINTS), 0.99, ">=")
    chart = charts.of_curve(curve, MOMENT.start, MOMENT.end, marks)
    assert (chart["unit"], chart["objective"], chart["comparison"], chart["marks"]) == ("percentunit", 0.99, ">=", marks)
    assert chart["min"] is None and len(chart["series"]) == 1
    assert charts.of_curve(Curve("Lag", "s", ()), MOMENT.start, MOMENT.end)["series"] == []


def test_charts_are_built_side_by_side():
    barrier = threading.Barrier(charts.QUERIES_AT_ONCE, timeout=10)
    built = charts.together({str(number): lambda: barrier.wait() and None for number in range(charts.QUERIES_AT_ONCE)})
    assert list(built) == [str(number) for number in range(charts.QUERIES_AT_ONCE)]


def test_after_the_first_failure_nothing_more_is_asked():
    begun = []

    def fails():
        raise LabError("Prometheus does not answer")

    def is_slow():
        begun.append(None)
        threading.Event().wait(0.2)

    with pytest.raises(LabError, match="does not answer"):
        charts.together({"first": fails, **{str(number): is_slow for number in range(200)}})
    assert len(begun) < 200


# -- units and queries ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a.b", 'x"} or up{a="', "back\\slash", "a|b", "(", "new\nline", "é€"])
def test_a_value_of_a_variable_is_never_more_than_a_value(value):
    literal = json.loads(f'"{pattern([value])}"')  # PromQL's strings have JSON's escapes
    assert re.fullmatch(literal, value) and not re.fullmatch(literal, "other")


# -- pages ----------------------------------------------------------------------------------------


@pytest.fixture
def prometheus(monkeypatch, tmp_path) -> Answers:
    answers = Answers(Series({"queue": "messages"}, POINTS))
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path, grafana_port=1)
    monkeypatch.setattr(lab_settings, "load", lambda: settings)
    monkeypatch.setattr(now, "prometheus", lambda: answers)
    return answers


@pytest.fixture
def get(prometheus):
    client = create_app().test_client()
    return lambda path, **query: client.get(f"/dashboards{path}", query_string=query or None, base_url="http://localhost:8080")


def test_all_dashboards_are_listed(get):
    page = get("").text
    for name, dashboard in DASHBOARDS.items():
        assert f'href="/dashboards/{name}">{dashboard["title"]}<' in page
    assert page.index("/dashboards/overview") < page.index("/dashboards/consumer")
    assert "No Grafana answers" in page


@pytest.mark.parametrize(("body", "is_grafana"), [('{"database": "ok"}', True), ('{"status": "ok"}', False), ("<html>", False)])
def test_grafana_is_named_where_it_answers(get, monkeypatch, tmp_path, body, is_grafana):
    server = make_server("127.0.0.1", 0, Response(body))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path, grafana_port=server.port)
    monkeypatch.setattr(lab_settings, "load", lambda: settings)
    assert (f'href="http://localhost:{server.port}"' in get("").text) == is_grafana
    server.shutdown()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_page_has_a_place_for_every_chart_of_its_data(get, name):
    page, content = get(f"/{name}").text, get(f"/{name}/data").json
    assert set(content) == {"charts"}
    assert set(re.findall(r'data-chart="(\d+)"', page)) == set(content["charts"])
    assert len(re.findall(r"#panel-\d+ ", get(f"/{name}/layout.css").text)) == len(DASHBOARDS[name]["panels"])
    assert not re.search(r"<script>|style=|\son\w+=", page)  # the policy would refuse them


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_of_panels_lead_to_pages_and_keep_what_is_chosen(get, name):
    links = set(re.findall(r'href="(/dashboards/[^"]+range=5[^"]*)" aria-label', get(f"/{name}", range="5").text))
    assert len(links) == len({link["url"] for panel in DASHBOARDS[name]["panels"] for link in panel.get("links") or []})
    for link in links:
        assert get(link.removeprefix("/dashboards").replace("&amp;", "&")).status_code == 200


def test_a_chosen_value_gets_into_the_queries_and_the_address(get, prometheus):
    page = get("/rabbitmq", **{"var-queue": "messages.dlq", "range": "60", "refresh": "0"}).text
    assert 'value="messages.dlq" selected' in page and 'value="60" selected' in page
    assert 'data-live="/dashboards/rabbitmq/data?range=60&amp;refresh=0&amp;var-queue=messages.dlq" data-seconds="0"' in page
    get("/rabbitmq/data", **{"var-queue": "messages.dlq"})
    assert [query for query in prometheus.asked if r'queue=~"messages\\.dlq"' in query]
    assert not [query for query in prometheus.asked if "|messages" in query]


@pytest.mark.parametrize("path", ["/rabbitmq", "/rabbitmq/data"])
@pytest.mark.parametrize(("query", "says"), [
    ({"range": "1e9"}, "range is one of 5, 15, 30, 60"), ({"range": "abc"}, "range is one of"),
    ({"range": ""}, "range is one of"), ({"range": "run"}, "range is one of 5, 15, 30, 60."),
    ({"refresh": "0.001"}, "refresh is one of"),
    ({"var-queue": 'x"} or up{a="'}, "Queue is one of: messages, messages.dlq."), ({"var-queue": ".*"}, "Queue is one of"),
])
def test_hostile_parameters_are_refused(get, prometheus, path, query, says):
    answer = get(path, **query)
    assert answer.status_code == 400 and says in answer.text
    assert all(query == "rabbitmq_detailed_queue_messages" for query in prometheus.asked)


@pytest.mark.parametrize("name", ["nothing", "..%2Fgrafana", "overview.json", "<b>"])
@pytest.mark.parametrize("path", ["", "/data", "/layout.css"])
def test_an_unknown_dashboard_is_not_found(get, name, path):
    answer = get(f"/{name}{path}")
    assert answer.status_code == 404 and "<b>" not in answer.text


def test_without_prometheus_the_page_is_there_and_says_why_it_is_empty(get, prometheus):
    prometheus.problem = "Prometheus does not answer"
    assert get("/rabbitmq", **{"var-queue": "messages"}).status_code == 200
    assert get("/rabbitmq/data").json == {"charts": {}, "problem": "Prometheus does not answer"}


def test_times_are_whole_steps(get):
    chart = next(iter(get("/overview/data", range="60").json["charts"].values()))
    assert chart["step"] == 15 and chart["end"] % 15 == 0 and chart["end"] - chart["start"] == 3600


def test_a_run_gives_its_start_and_only_when_it_is_over_its_marks(get, tmp_path):
    records = Records(tmp_path)
    run = records.begin(1, 1, "")
    assert "since the run" not in get("/lab-run").text
    records.add(run.id, "begun")
    records.add(run.id, "injected")
    records.set_state(run.id, "running")
    assert "since the run" in get("/lab-run", range="run").text

    def marks(name: str) -> set[str]:
        found = get(f"/{name}/data", range="run").json["charts"].values()
        return {mark["name"] for chart in found for mark in chart["marks"]}

    assert marks("lab-run") == set()
    records.set_state(run.id, "graded")
    assert marks("lab-run") == {"injected"}
    assert marks("overview") == set()


def test_every_variable_of_a_dashboard_has_choices():
    for dashboard in DASHBOARDS.values():
        for variable in variables(dashboard):
            assert choices(variable, Answers())

