"""The report: what it is made of, and that it stands by itself."""

import json
import re

from rich.console import Console

from lab.engine import scenario as scenarios
from lab.engine.record import Event, Run
from lab.grading import report
from lab.grading.plot import Curve
from lab.grading.rubric import Grade, Line

CURVE = Curve("Messages are <in time>", "s", 10, ((1000.0, 0.5), (1030.0, 42.0), (1060.0, 1.0)))


def content() -> dict:
    events = (Event(1000.0, "injected", {}), Event(1000.5, "fault", {"index": 1}),
              Event(1040.0, "submission", {"findings": [{"component": "broker", "cause": "latency"}], "notes": "<script>alert(1)</script>"}),
              Event(1060.0, "graded", {"score": 35}))
    run = Run(1, 1, 7, "graded", 990.0, None, None, "", events)
    evidence = {"irregularities": ["the ledger <x> was edited"]}
    grade = Grade((Line("Detection", 10, 10, "seen"), Line("Hint 1", -5, 0, "taken")), 12.0, None)
    return report.content(scenarios.load(1), run, grade, [CURVE], evidence)


def test_it_is_plain_json():
    assert json.loads(json.dumps(content()))["curves"][0]["points"][1] == [1030.0, 42.0]


def test_the_page_needs_nothing_from_outside_and_escapes_what_people_wrote():
    page = report.html(json.loads(json.dumps(content())))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.findall(r"(?:src|href)=", page)


def test_irregularities_are_shown_on_the_page_and_in_the_terminal():
    assert "<li>the ledger &lt;x&gt; was edited</li>" in report.html(content())
    console = Console(width=120, record=True)
    console.print(report.terminal(content()))
    assert "irregularity: the ledger <x> was edited" in console.export_text()


def test_the_plot_shows_curve_objective_and_what_happened():
    page = report.html(content())
    [points] = re.findall(r'<polyline class="curve" points="([^"]+)"', page)
    xs = [float(point.split(",")[0]) for point in points.split()]
    assert len(xs) == 3 and xs == sorted(xs)
    assert "objective 10 s" in page
    assert all(f">{name}</text>" in page for name in ("injected", "submission", "graded"))
    assert 'aria-label="Messages are &lt;in time&gt;"' in page


def test_the_fault_itself_is_no_event_of_the_timeline():
    assert "fault" not in {event["kind"] for event in content()["timeline"]}
