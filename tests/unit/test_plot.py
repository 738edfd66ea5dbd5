"""The picture of a run: all that it shows stays inside, and no label covers another."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.grading import plot
from lab.grading.measurements import Alert, Curve
from lab.grading.plot import CHARACTER, LEFT, RIGHT, WIDTH, Mark, svg

ZERO, END = 1000.0, 1300.0
POINTS = tuple((float(moment), 0.5) for moment in range(970, 1301, 2))
CURVE = Curve("Requests <are> answered", "ratio", POINTS, 0.99, ">=", ((1020.0, 1100.0),))
LABELS = ("injected", "first alert", "impact", "declared", "hint 1", "answer 12", "SLO restored", "graded")
TEXT = re.compile(r'<text class="(\w+)" x="([\d.-]+)" y="([\d.-]+)" text-anchor="(\w+)">([^<]*)</text>')


def labels(picture: str) -> list[tuple[float, float, str, str]]:
    """x, y and text of every label, with its class."""
    return [(float(x), float(y), text, css) for css, x, y, _anchor, text in TEXT.findall(picture)]


def marks_of(picture: str) -> list[tuple[float, float, str]]:
    return [(x, y, text) for x, y, text, css in labels(picture) if css == "label"]


@given(st.lists(st.tuples(st.floats(ZERO, END), st.sampled_from(LABELS)), max_size=30))
def test_labels_neither_overlap_nor_leave_the_picture(happened):
    placed = marks_of(svg([CURVE], [], [Mark(*one) for one in happened], ZERO, END))
    assert len(placed) == len(happened)
    boxes = [(y, x, x + CHARACTER * len(text)) for x, y, text in placed]
    assert all(y > 0 and x >= LEFT and right <= WIDTH - RIGHT + 0.1 for y, x, right in boxes)
    for number, (y, left, right) in enumerate(boxes):
        assert not any(y == other_y and left < other_right and other_left < right
                       for other_y, other_left, other_right in boxes[number + 1:])


@given(st.lists(st.tuples(st.floats(ZERO, END - 60), st.sampled_from(LABELS)), max_size=30))
def test_no_line_comes_down_through_a_label(happened):
    picture = svg([CURVE], [], [Mark(*one) for one in happened], ZERO, END)
    lines = [(float(x), float(top)) for x, top in re.findall(r'class="mark" x1="([\d.]+)" x2="[\d.]+" y1="([\d.]+)"', picture)]
    assert len(lines) == len(happened)
    for left, baseline, text in marks_of(picture):
        assert not any(left < x < left + CHARACTER * len(text) and top < baseline - plot.ROW for x, top in lines)


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e9, 1e9)), max_size=20),
       st.sampled_from(["ratio", "s", "messages", "1/s"]))
def test_whatever_was_measured_is_drawn_inside(measured, unit):
    curve = Curve("Any", unit, tuple(sorted((ZERO + moment, value) for moment, value in measured)))
    picture = svg([curve], [], [], ZERO, END)
    height = float(re.search(r'viewBox="0 0 \d+ ([\d.]+)"', picture)[1])
    for points in re.findall(r'points="([^"]+)"', picture):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert LEFT <= x <= WIDTH - RIGHT and 0 <= y <= height


def test_the_stretch_outside_the_objective_is_shaded():
    [(x, width)] = re.findall(r'<rect class="broken" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg([CURVE], [], [], ZERO, END))
    whole = WIDTH - LEFT - RIGHT
    assert float(x) == pytest.approx(LEFT + whole * 50 / 330, abs=0.1)
    assert float(width) == pytest.approx(whole * 80 / 330, abs=0.1)


def test_a_hole_in_the_measurements_is_a_hole_in_the_curve():
    points = tuple(point for point in POINTS if not 1100 < point[0] < 1150)
    assert svg([Curve("Any", "s", points)], [], [], ZERO, END).count("<polyline") == 2
    assert svg([Curve("Any", "s", POINTS)], [], [], ZERO, END).count("<polyline") == 1


@pytest.mark.parametrize(("highest", "unit", "ticks"), [
    (0, "ratio", ["0 %", "50 %", "100 %"]),
    (0, "messages", ["0", "1", "2"]),
    (41.3, "s", ["0 s", "20 s", "40 s", "60 s"]),
    (1900, "messages", ["0", "1000", "2000"]),
    (24.6, "1/s", ["0 1/s", "10 1/s", "20 1/s", "30 1/s"]),
])
def test_the_ticks_are_round_and_have_units(highest, unit, ticks):
    picture = svg([Curve("Any", unit, ((1000.0, highest),))], [], [], ZERO, ZERO)
    assert sorted(text for _x, _y, text, css in labels(picture) if css == "tick" and ":" not in text) == sorted(ticks)


@pytest.mark.parametrize(("seconds", "first", "last", "most"), [
    (0, "00:00", "00:00", 1), (177, "00:00", "02:30", 10), (14400, "00:00", "240:00", 10)])
def test_time_is_in_minutes_and_seconds_since_the_injection(seconds, first, last, most):
    ticks = [text for _x, _y, text, css in labels(svg([], [], [], ZERO, ZERO + seconds)) if css == "tick"]
    assert (ticks[0], ticks[-1]) == (first, last) and len(ticks) <= most


def test_each_alert_has_a_lane_with_its_name():
    late = Alert("AVeryLongNameOfAnAlertThatFiredLate", "ticket", ((1290.0, 1300.0),))
    picture = svg([CURVE], [Alert("BrokerDown", "page", ((1010.0, 1050.0), (1100.0, 1120.0))), late], [], ZERO, END)
    assert picture.count('<rect class="alert page"') == 2
    assert picture.count('<rect class="alert ticket"') == 1
    placed = marks_of(picture)
    assert [text for _x, _y, text in placed] == ["BrokerDown (page)", f"{late.name} (ticket)"]
    assert all(x + CHARACTER * len(text) <= WIDTH - RIGHT + 0.1 for x, _y, text in placed)


def test_names_are_escaped():
    picture = svg([CURVE], [Alert("<b>", '"x', ((1.0, 2.0),))], [Mark(ZERO, "<i>")], ZERO, END)
    assert "Requests &lt;are&gt; answered (objective: ≥ 99 %)" in picture
    assert "<b>" not in picture and "<i>" not in picture and 'class="alert "x"' not in picture


def test_values_are_shown_with_their_unit():
    assert [plot.shown(0.995, "ratio"), plot.shown(3, "messages"), plot.shown(2.5, "s")] == ["99.5 %", "3", "2.5 s"]
