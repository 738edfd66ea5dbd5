"""The report: what it is made of, that it stands by itself, and that nothing which people write can break it."""

import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from lab import slo
from lab.engine import scenario as scenarios
from lab.engine.record import Event, Run
from lab.grading import page, report
from lab.grading.facts import Breach, Facts
from lab.grading.incident import Incident
from lab.grading.ledger import Account
from lab.grading.measurements import Alert, Curve, Measurements
from lab.grading.rubric import Grade, Line

POINTS = tuple((1000.0 + seconds, 42.0 if seconds == 30 else 1.0) for seconds in range(-30, 61, 10))
CURVE = Curve("Messages are <in time>", "s", POINTS, 10.0, "<=", ((1030.0, 1030.0),))
ALERT = Alert("BrokerDown", "ticket", ((1025.0, 1040.0),))
ACCOUNT = Account(acknowledged=50, processed=47, duplicated=0, dead_lettered=0, queued=0, unknown=0, lost=3, discarded=0,
                  lost_examples=("msg-1", "msg-2"))
COMMIT = "5969180cdc445773880bbb01bf7ca6d92c4e8ed8"
HOSTILE = ["<script>alert(1)</script>", "</blockquote></html>", "x" * 10_000, "a\x00b\x07c\x1b[31md", "half a pair \udcff",
           "\u202eright to left \u05e9\u05dc\u05d5\u05dd", "{{ grade.score }} {% for %}", "[click](javascript:alert(1))"]


def content(*events: Event, notes: str = "it is slow", candidate: str | None = None, exam: dict | None = None,
            measured: Measurements = Measurements((CURVE,), (ALERT,))) -> dict:
    all_events = (
        *([Event(991.0, "candidate", {"name": candidate})] if candidate else []),
        Event(1000.0, "injected", {}), Event(1000.5, "fault", {"index": 1}), Event(1035.0, "detection", {}), *events,
        Event(1040.0, "submission", {"findings": [{"component": "broker", "cause": "latency"}], "notes": notes}),
        Event(1060.0, "graded", {"score": 35}))
    run = Run(1, 1, 7, "graded", 990.0, None, None, "", all_events)
    evidence = {"tampering": [{"text": "the ledger <x> was edited", "voids": True}], "sources": {"commit": f"{COMMIT}-dirty"}}
    grade = Grade((Line("Detection", 10, 10, "seen; and declared"), Line("Hint 1", -5, 0, "taken [red]")), 35.0, 50.0)
    breach = Breach(slo.objectives()[0], 1020.0, 1048.0, 0.5)
    made = report.content(scenarios.load(1), run, grade, Facts(1000.0, 1060.0, (breach,), ()), ACCOUNT, measured,
                          evidence, exam)
    return json.loads(json.dumps(made))


def shown(made: dict) -> str:
    console = Console(width=120, record=True)
    console.print(report.terminal(made))
    return console.export_text()


class Page(HTMLParser):
    """What a browser would make of it: its tags, and that each one is closed."""

    ALONE = {"meta", "br", "hr", "line", "polyline", "rect"}

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.ALONE:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


# -- what it says ---------------------------------------------------------------------------------


def test_it_says_when_the_incident_began_was_noticed_and_was_over():
    assert content()["incident"] == {
        "injected_at": 1000, "impact_at": 1020, "first_alert_at": 1025, "detected_at": 1035, "restored_at": 1050,
        "time_to_detect": 15, "time_to_restore": 30}


@pytest.mark.parametrize(("impact", "detected", "restored", "times"), [
    (1020.0, None, None, (None, None)),
    (1020.0, 1010.0, 1050.0, (0, 30)),    # declared before clients felt it
    (None, 1010.0, 1000.0, (10, None)),   # nothing broke: there was nothing to restore
])
def test_mttd_and_mttr_count_from_the_impact(impact, detected, restored, times):
    incident = Incident(1000.0, impact, None, detected, restored)
    assert (incident.time_to_detect, incident.time_to_restore) == times


def test_it_has_the_whole_ledger_the_alerts_and_the_curves():
    made = content()
    assert made["ledger"] == ACCOUNT.as_dict() | {"lost_examples": ["msg-1", "msg-2"]}
    assert made["alerts"] == [{"name": "BrokerDown", "severity": "ticket", "stretches": [[1025.0, 1040.0]]}]
    assert made["curves"][0]["points"][6] == [1030.0, 42.0]


def test_it_has_the_hints_that_were_taken_with_their_text():
    hint = scenarios.load(1).hints[0]
    assert content(Event(1036.0, "hint", {"cost": hint.cost}))["hints"] == [
        {"time": 1036.0, "cost": hint.cost, "text": hint.text}]


def test_it_says_what_the_walkthrough_would_have_done():
    scenario = scenarios.load(1)
    solution = content()["solution"]
    assert solution["commands"][0] == "lab detect"
    assert [f"lab {command}" for command in scenario.oracle.commands] == solution["commands"][1:-1]
    assert solution["commands"][-1] == "lab submit --component consumer-link --cause latency"
    assert "lab set CONSUMER_LINK=standby" in solution["mitigation"] and "## " not in solution["mitigation"]


def test_every_walkthrough_has_a_mitigation_to_show():
    for number in scenarios.folders():
        assert report.solution(scenarios.load(number))["mitigation"]


def test_it_says_how_to_have_the_same_incident_again():
    assert content()["reproduce"] == [f"git checkout {COMMIT}  # and it was changed", "make scenario-1 SEED=7"]
    assert content(candidate="Zoë O'Neil")["reproduce"][1] == """make scenario-1 SEED=7 CANDIDATE='Zoë O'"'"'Neil'"""


def test_of_an_exam_it_says_what_the_interviewer_types():
    exam = {"candidate": "Ada Lovelace", "minutes": 45, "seed": 9, "tier": None, "scenario_seed": 123}
    made = content(exam=exam)
    assert made["candidate"] == "Ada Lovelace"
    assert made["reproduce"][1:] == [
        "make exam CANDIDATE='Ada Lovelace' MINUTES=45 SEED=9 KEY=FILE", "make scenario-1 SEED=123"]


def test_the_fault_and_the_candidate_are_no_events_of_the_timeline():
    made = content(candidate="Ada")
    assert made["candidate"] == "Ada"
    assert not {"fault", "candidate"} & {event["kind"] for event in made["timeline"]}


# -- the page -------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_outside_and_is_well_formed():
    text = page.html(content())
    parsed = Page(text)
    assert parsed.open == []
    tags = {tag for tag, _attributes in parsed.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "use", "image"}
    assert not re.search(r"\bsrc=|url\(|@import", text)
    assert all(tag == "a" for tag, attributes in parsed.tags if "href" in attributes)  # a link asks for nothing


@pytest.mark.parametrize("notes", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_people_write_breaks_the_page(notes):
    usual, parsed = Page(page.html(content())), Page(page.html(content(notes=notes)))
    assert [tag for tag, _attributes in parsed.tags] == [tag for tag, _attributes in usual.tags]
    assert re.sub(r"[\x00-\x1f\udcff]", "\ufffd", notes) in parsed.text
    page.html(content(notes=notes)).encode()


def test_text_in_the_other_direction_stays_in_its_box():
    assert re.search(r"\.said \{[^}]*unicode-bidi: isolate", page.html(content()))
    assert '<blockquote class="said" dir="auto">' in page.html(content())


def test_markdown_brings_neither_html_nor_pictures():
    made = content() | {"hints": [{"time": 1036.0, "cost": 5, "text": "<b>no</b> ![no](http://x/y.png) `yes`"}]}
    text = page.html(made)
    assert "<b>no</b>" not in text and "<img" not in text
    assert "<code>yes</code>" in text


def test_tampering_signals_are_shown_on_the_page_and_in_the_terminal():
    assert "<li>the ledger &lt;x&gt; was edited (voids the run)</li>" in page.html(content())
    assert "tampering signal: the ledger <x> was edited (voids the run)" in shown(content())


def test_what_it_shows_is_complete():
    text = Page(page.html(content(Event(1036.0, "hint", {"cost": 5}), candidate="Ada"))).text
    for part in ("Ada", "35", "15 s", "30 s", "lost, for example", "msg-1, msg-2", "hint 1 was taken", "BrokerDown fired",
                 "make scenario-1 SEED=7", "lab set CONSUMER_LINK=standby", "Remarks of the interviewer"):
        assert part in text, part


def test_a_run_that_measured_nothing_and_in_which_nobody_answered_has_a_page():
    made = content(measured=Measurements((Curve("Lag", "s", ()),), ()))
    made |= {"answer": None, "incident": Incident(1000.0, None, None, None, None).as_dict()}
    text = page.html(made)
    assert "nothing was measured" in text and "No alert fired" in text


# -- the terminal ---------------------------------------------------------------------------------


def test_the_terminal_has_the_times_the_hints_and_the_way_back():
    text = shown(content(Event(1036.0, "hint", {"cost": 5})))
    assert "MTTD 15 s, MTTR 30 s" in text
    assert f"hint 1 (-5): {scenarios.load(1).hints[0].text[:20]}" in text
    assert "taken [red]" in text
    assert "again:\n  git checkout" in text and "make scenario-1 SEED=7" in text


@pytest.mark.parametrize(("seconds", "text"), [(None, "—"), (0.4, "0 s"), (59.6, "1 min 00 s"), (3601, "60 min 01 s")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text
