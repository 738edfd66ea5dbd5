"""The console's documents: every link leads somewhere, search finds, and neither gives an answer away too soon."""

import os
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import yaml

from lab import settings as lab_settings
from lab.console import documents, markdown
from lab.console.app import create_app
from lab.console.markdown import Section
from lab.console.search import MAX_QUERY, Place, find
from lab.engine import scenario
from lab.engine.record import Records
from lab.settings import ROOT
from tests.conftest import private_settings

HOST = "http://localhost:8080"
PAGES = ["/runbook", "/walkthroughs", *(f"/walkthroughs/{number}" for number in scenario.folders())]
ALERTS = [rule for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
          for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"] for rule in group["rules"] if "alert" in rule]


class Page(HTMLParser):
    """A page's anchors, and its links and pictures with their attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if anchor := attributes.get("id"):
            assert anchor not in self.anchors, f"{anchor} is there twice"
            self.anchors.add(anchor)
        if tag in {"a", "img", "link"}:
            self.links.append((attributes.get("href") or attributes["src"], attributes))


@pytest.fixture
def records(tmp_path, monkeypatch) -> Iterator[Records]:
    """The record of runs of a lab of its own."""
    with private_settings(tmp_path / "env", tmp_path) as env_file:
        monkeypatch.setenv("ENV_FILE", str(env_file))
        yield Records(lab_settings.load().run_dir)


@pytest.fixture
def client(records):
    return create_app().test_client()


def get(client, path: str, status: int = 200, **options) -> str:
    answer = client.get(path, base_url=HOST, **options)
    assert answer.status_code == status, answer.text
    return answer.text


def search(client, query: str, status: int = 200) -> str:
    return get(client, "/search", status, query_string={"q": query})


def begin_exam(records: Records) -> None:
    run = records.begin(0, 0, "")
    records.add(run.id, "exam", sealed="sealed")


# -- links -----------------------------------------------------------------------------------------


def test_every_link_leads_somewhere(client):
    pages = {}
    for path in PAGES:
        for href, attributes in Page(get(client, path)).links:
            target = urlsplit(urljoin(HOST + path, href))
            if target.netloc != urlsplit(HOST).netloc:
                assert attributes["rel"] == "noreferrer noopener"
                continue
            if target.path not in pages:
                pages[target.path] = Page(get(client, target.path))
            assert not target.fragment or unquote(target.fragment) in pages[target.path].anchors, f"{href} of {path}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_its_section_of_the_runbook(client, alert):
    with client.application.test_request_context(base_url=HOST):
        path, _, anchor = documents.runbook_link(alert).partition("#")
    assert anchor in Page(get(client, path)).anchors


@pytest.mark.parametrize("alert", [
    {}, {"annotations": {}}, {"annotations": {"runbook_url": "https://example.org/RUNBOOK.md#brokerdown"}}])
def test_an_alert_of_another_runbook_has_no_link(client, alert):
    with client.application.test_request_context(base_url=HOST):
        assert documents.runbook_link(alert) is None


def test_files_lead_to_their_pages_and_what_has_none_is_text(client):
    walkthrough = scenario.folders()[9] / "walkthrough.md"
    with client.application.test_request_context(base_url=HOST):
        def resolve(href: str) -> str | None:
            return documents._resolve(walkthrough, href)

        assert resolve("../../RUNBOOK.md#alerts") == "/runbook#alerts"
        assert resolve("../02-broker-outage/walkthrough.md") == "/walkthroughs/2"
        assert resolve("../../dashboards/pictures/overview.svg") == "/runbook/pictures/overview.svg"
        assert resolve("#check") == "#check"
        assert [resolve(href) for href in ("../PROOF.md", "../../.env", "/etc/passwd", "scenario.yaml")] == [None] * 4
    page = get(client, "/runbook")
    assert "prometheus/ALERTS.md shows which" in page and "ALERTS.md</a>" not in page


@pytest.mark.parametrize("name", ["../../.env.example", "..%2f..%2f.env.example", "%2fetc%2fpasswd", "nothing.svg"])
def test_pictures_come_from_their_folder_only(client, name):
    get(client, f"/runbook/pictures/{name}", 404)


# -- Markdown --------------------------------------------------------------------------------------


def test_raw_html_and_scripts_stay_text():
    html = markdown.render('<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![y](../secret) [z](other.md)\n\n```\n<b>\n```')
    assert "<script" not in html and "<a" not in html and "<img" not in html and "<b>" not in html
    assert "&lt;script&gt;" in html and "y z" in html


def test_anchors_and_sections_are_githubs():
    document = markdown.parse("# A b, c\n\nOne\ntwo.\n\n## `D`-e_f!\n\n```\n# code\n```\n\n## A b, c\n\n| x |\n|---|\n| y |\n")
    assert document.title == "A b, c"
    assert document.sections == [
        Section(1, "A b, c", "a-b-c", ["One two."]), Section(2, "D-e_f!", "d-e_f", ["# code\n"]),
        Section(2, "A b, c", "a-b-c-1", ["x", "y"])]


# -- what may be read when -------------------------------------------------------------------------


def test_a_walkthrough_waits_for_the_end_of_its_run(client, records):
    run = records.begin(9, 0, "")
    for state in ("checking", "running"):
        records.set_state(run.id, state)
        page = get(client, "/walkthroughs/9", 403)
        assert "After the run" in page and "black-hole" not in page
        assert "/walkthroughs/9" not in get(client, "/walkthroughs")
        assert "/walkthroughs/9#" not in search(client, "black hole")
        get(client, "/walkthroughs/1")

    records.set_state(run.id, "graded")
    assert "black-hole" in get(client, "/walkthroughs/9")
    assert "/walkthroughs/9#" in search(client, "black hole")


def test_in_an_exam_there_is_only_the_runbook(client, records):
    begin_exam(records)
    assert "/walkthroughs" not in get(client, "/runbook")
    get(client, "/runbook/pictures/overview-incident.svg")
    found = search(client, "queue")
    assert "/runbook#" in found and "/walkthroughs" not in found
    get(client, "/walkthroughs", 403)
    get(client, "/walkthroughs/9", 403)


def test_scenarios_that_were_taken_away_are_missed_by_nobody(client, tmp_path, monkeypatch):
    monkeypatch.setattr(scenario, "FOLDER", tmp_path / "away")
    get(client, "/walkthroughs")
    get(client, "/walkthroughs/9", 404)
    assert "/runbook#" in search(client, "queue")


def test_a_changed_file_is_read_again(client, tmp_path, monkeypatch):
    runbook = tmp_path / "RUNBOOK.md"
    monkeypatch.setattr(documents, "RUNBOOK", runbook)
    for number, text in enumerate(("old", "new"), start=1):
        runbook.write_text(f"# {text}\n", encoding="utf-8")
        os.utime(runbook, (number, number))
        assert f"<h1 id=\"{text}\">" in get(client, "/runbook")
    runbook.unlink()
    assert "cannot be read" in get(client, "/runbook", 503)


# -- search ----------------------------------------------------------------------------------------


def place(title: str, text: str) -> Place:
    return Place("Runbook", f"#{title}", Section(2, title, title, [text]))


def titles(query: str, *places: Place) -> list[str]:
    return [hit.place.section.title for hit in find(query, places)]


def test_headings_come_first_then_the_number_of_words():
    few, many, heading = place("A", "a queue"), place("B", "queue, queue and queue"), place("Queues", "nothing")
    assert titles("qUEUE", few, many, heading, place("C", "nothing")) == ["Queues", "B", "A"]


def test_of_several_words_each_must_be_there_in_any_order():
    assert titles("queue dead", place("Dead letters", "in a queue"), place("Dead", "horses"), place("A queue", "")) == \
        ["Dead letters"]


def test_words_are_marked_and_everything_else_is_escaped():
    [hit] = find("a<b b", [place("A<B", "<i> & a<b")])
    assert hit.title == "<mark>A&lt;B</mark>"
    assert hit.snippet == "&lt;i&gt; &amp; <mark>a&lt;b</mark>"


def test_a_snippet_shows_the_first_word_with_what_is_around_it():
    [hit] = find("needle", [place("Hay", "hay " * 100 + "needle" + " hay" * 100)])
    assert hit.snippet.startswith("… hay") and hit.snippet.endswith(" …")
    assert "<mark>needle</mark>" in hit.snippet and len(hit.snippet) < 300


@pytest.mark.parametrize("query", ["replay dead letters", "AMQPROUNDTRIPHIGH", "x-dead-letter-error", "list_policies"])
def test_the_runbook_is_found_with_links_to_its_sections(client, query):
    page = Page(search(client, query))
    hits = [href for href, _ in page.links if href.startswith("/runbook#")]
    assert hits and {href.partition("#")[2] for href in hits} <= Page(get(client, "/runbook")).anchors
    assert any(href.startswith("/walkthroughs/") for href, _ in Page(search(client, "heartbeats")).links)


@pytest.mark.parametrize("query", [
    "", "   ", "<script>alert(1)</script>", "' onfocus=alert(1) \"", "(a+)+$ [", ".*.*.*=", "\\Q", "\0", "a\0b", "ﬀ İ ß 中文 🙂",
    "\ud800".encode("utf-8", "surrogatepass"), "x" * 10_000, "z'z " * 5_000])
def test_odd_queries_find_nothing_and_do_no_harm(client, query):
    page = search(client, query)
    assert "Try the name of" in page
    assert "<script" not in page and "onfocus=alert(1) \"" not in page


def test_only_the_beginning_of_a_query_counts():
    assert titles("queue " + " " * MAX_QUERY + "x" * 10_000, place("Queue", "")) == ["Queue"]
