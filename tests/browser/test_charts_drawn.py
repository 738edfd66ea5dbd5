"""What the console's script makes of charts, in a real browser."""

import math
import threading
from collections.abc import Iterator

import pytest
from flask import render_template_string
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from dashboards import units
from lab import settings as lab_settings
from lab.console import charts, now
from lab.console.app import create_app
from lab.grading.measurements import Curve
from lab.prometheus import Series
from lab.settings import ROOT, LabSettings
from tests.browser.conftest import accessible, fits_a_phone

START, END = 1_700_000_000, 1_700_000_600
UNITS = ["percentunit", "s", "bytes", "Bps", "reqps", "mps", "ops", "none"]
PAGE = """{% extends "base.html" %}{% block head %}{% include "charts.html" %}{% endblock %}{% block content %}
<div data-live="/dashboards/test-data" data-seconds="0.2">
{% for name in charts %}<div data-chart="{{ name }}"></div>{% endfor %}</div>{% endblock %}"""


def wave(last: int = 300) -> tuple[tuple[float, float], ...]:
    return tuple((START + 2.0 * index, 10 + 10 * math.sin(index / 20)) for index in range(last + 1))


class Answers:
    """A Prometheus that gives the same answer to everything."""

    def range(self, _query: str, start: float, end: float, step: float) -> list[Series]:
        count = int((end - start) / step) + 1
        return [Series({"queue": queue}, [(start + step * index, float(index % 2)) for index in range(count)])
                for queue in ("messages", "messages.dlq")]

    def vector(self, _query: str) -> list:
        return [({"queue": "messages", "instance_name": "consumer-1"}, 1.0)]


class Site:
    """The console, with a page of charts that a test can change, and stop."""

    def __init__(self):
        self.content = {"charts": {"lag": charts.of_curve(Curve("Lag", "s", wave(), 10.0, "<="), START, END,
                                                          [{"time": START + 100.0, "name": "injected"}]),
                                   "nothing": charts.of_curve(Curve("Nothing", "s", ()), START, END)}}
        app = create_app()
        app.add_url_rule("/dashboards/test", "dashboards.test",
                         lambda: render_template_string(PAGE, charts=self.content["charts"]))
        app.add_url_rule("/dashboards/test-data", "dashboards.test_data", lambda: self.content)
        self._app, self._port = app, 0
        self.start()

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self._port, self._app, threaded=True)
        self._port = self._server.port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"


@pytest.fixture
def site(monkeypatch, tmp_path) -> Iterator[Site]:
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path, grafana_port=1)
    monkeypatch.setattr(lab_settings, "load", lambda: settings)
    monkeypatch.setattr(now, "prometheus", Answers)
    site = Site()
    yield site
    site.stop()


@pytest.fixture(params=["light-1400", "dark-390"])
def page(person, site, request) -> Page:
    scheme, width = request.param.split("-")
    page = person(viewport={"width": int(width), "height": 900}, color_scheme=scheme, timezone_id="UTC")
    page.goto(site.url("/dashboards/test"))
    page.locator("[data-chart=lag] canvas").wait_for()
    return page


def test_script_and_server_write_numbers_alike(page):
    # Not exactly between two roundings: there, Python takes the even one.
    values = [0, *(sign * factor * 10.0 ** power for sign in (1, -1) for factor in (1, 1.2347, 6.0571, 9.9961)
                   for power in range(-8, 13))]
    cases = [(value, units.scale(unit), decimals, units.shown(value, unit, decimals))
             for value in values for unit in UNITS for decimals in (None, 0, 1)]
    wrong = page.evaluate("""async (cases) => {
        const { shown } = await import("/static/charts.js");
        return cases.filter(([value, scale, decimals, text]) => shown(value, scale, decimals) !== text)
            .map(([value, scale, decimals, text]) => [text, shown(value, scale, decimals)]);
    }""", cases)
    assert wrong == []


def test_a_chart_says_in_words_what_it_shows(page):
    label = page.get_attribute("[data-chart=lag] .chart-plot", "aria-label")
    assert label.startswith("Lag: ") and label.endswith("injected at 22:15:00")
    expect(page.locator("[data-chart=nothing]")).to_have_text("NothingNo data")


def test_the_keyboard_reaches_every_value(page):
    plot = page.locator("[data-chart=lag] .chart-plot")
    plot.focus()
    for key in ("End", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("[data-chart=lag] output")).to_contain_text("22:23:18")
    page.keyboard.press("Home")
    expect(page.locator("[data-chart=lag] output")).to_contain_text("22:13:20")
    page.keyboard.press("Escape")
    expect(page.locator("[data-chart=lag] .chart-time")).to_have_text("")


def test_new_data_keeps_zoom_and_hidden_lines(page, site):
    button = page.locator("[data-chart=lag] .chart-legend button")
    button.click()
    over = page.locator("[data-chart=lag] .u-over")
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20, steps=5)
    page.mouse.up()
    site.content["charts"]["lag"]["series"][0]["points"] = wave(150)
    expect(page.locator("[data-chart=lag] .chart-plot")).to_have_attribute(
        "aria-label", f"Lag: {units.shown(wave(150)[-1][1], 's')}, injected at 22:15:00")
    page.mouse.move(box["x"] + 3, box["y"] + 20)
    expect(page.locator("[data-chart=lag] .chart-time")).to_have_text("22:18:20")  # the middle, where the zoom begins
    expect(button).to_have_attribute("aria-pressed", "false")


def test_a_line_that_appears_later_is_drawn_with_the_others(page, site):
    lag = site.content["charts"]["lag"]
    lag["series"] = [lag["series"][0] | {"name": name} for name in ("first", "second")]
    expect(page.locator("[data-chart=lag] .chart-legend button")).to_have_count(2)
    expect(page.locator("[data-chart=lag] canvas")).to_have_count(1)
    page.locator("[data-chart=lag] .u-over").hover()
    expect(page.locator("[data-chart=lag] .chart-time")).not_to_have_text("")


def test_a_page_says_what_is_away_and_goes_on_when_it_is_back(page, site):
    status = page.locator(".chart-problem")
    expect(status).to_have_text("")
    site.content["problem"] = "Prometheus does not answer"
    expect(status).to_have_text("no data: Prometheus does not answer")
    del site.content["problem"]
    expect(status).to_have_text("")
    site.stop()
    expect(status).to_have_text("no data: the console does not answer")
    site.start()
    expect(status).to_have_text("")


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "dashboards").glob("*.json")))
def test_a_dashboard_is_drawn_within_the_page(person, site, name):
    page = person(viewport={"width": 1400, "height": 900})
    page.goto(site.url(f"/dashboards/{name}"))
    expect(page.locator(".chart-body:visible")).to_have_count(page.locator("[data-chart]").count())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    fits_a_phone(page)
    accessible(page)
