"""What a report takes from Prometheus: stretches outside an objective, alerts with begin and end."""

from lab import slo
from lab.grading import measurements
from lab.grading.measurements import Alert, stretches
from lab.prometheus import Series

INJECTED, END = 1000.0, 1050.0


class Measured:
    """Answers as Prometheus does, from what the test says it has."""

    def __init__(self, alerts: dict[tuple[tuple[str, str], ...], list[float]] | None = None, values=lambda moment: 1.0):
        self._alerts, self._values = alerts or {}, values

    def samples(self, selector, start, end):
        assert selector == 'ALERTS{alertstate="firing"}'
        return [Series(dict(labels), [(time, 1.0) for time in times]) for labels, times in self._alerts.items()]

    def evaluated_at(self):
        return END

    def series(self, query, start, end, step=2.0):
        moments = [start + step * number for number in range(int((end - start) / step) + 1)]
        return [(moment, value) for moment in moments if (value := self._values(moment)) is not None]


def availability(values) -> measurements.Curve:
    found = measurements.measure(Measured(values=values), INJECTED, END)
    return next(curve for curve in found.curves if curve.title == slo.objectives()[0].title)


def test_a_stretch_lasts_while_moments_are_no_more_than_a_step_apart():
    assert stretches([10.0, 6.0, 8.0, 20.0]) == ((6.0, 10.0), (20.0, 20.0))
    assert stretches([]) == ()


def test_the_curve_begins_before_the_injection_and_shows_where_it_was_outside_its_objective():
    curve = availability(lambda moment: 0.5 if 1010 <= moment <= 1020 or moment == 1030 else 1.0)
    assert curve.points[0][0] == INJECTED - measurements.LEAD_SECONDS
    assert curve.broken == ((1010.0, 1020.0), (1030.0, 1030.0))


def test_what_was_not_measured_does_not_count_as_good():
    assert availability(lambda moment: None if 1010 < moment < 1026 else 1.0).broken == ((1010.0, 1026.0),)


def test_what_was_before_the_injection_is_not_held_against_the_run():
    assert availability(lambda moment: 0.5 if moment < INJECTED else 1.0).broken == ()


def test_every_objective_and_the_queue_have_a_curve():
    found = measurements.measure(Measured(), INJECTED, END)
    assert [curve.title for curve in found.curves[:3]] == [objective.title for objective in slo.objectives()]
    assert all(curve.objective is None for curve in found.curves[3:]) and len(found.curves) == 6
    assert found.first_alert_at is None


def labels(name: str, severity: str, **more: str) -> tuple[tuple[str, str], ...]:
    return tuple({"alertname": name, "severity": severity, **more}.items())


def test_an_alert_is_one_whatever_it_fires_for_but_page_and_ticket_are_two():
    found = measurements.measure(Measured({
        labels("Lost", "ticket", job="a"): [1010.0, 1012.0],
        labels("Lost", "ticket", job="b"): [1012.0, 1014.0, 1040.0],
        labels("Burn", "page"): [1006.0],
        labels("Burn", "ticket"): [1020.0]}), INJECTED, END)
    assert found.alerts == (
        Alert("Burn", "page", ((1006.0, 1006.0),)),
        Alert("Lost", "ticket", ((1010.0, 1014.0), (1040.0, 1040.0))),
        Alert("Burn", "ticket", ((1020.0, 1020.0),)))
    assert found.first_alert_at == 1006.0


def test_an_evaluation_that_comes_late_does_not_end_an_alert():
    found = measurements.measure(Measured({labels("Burn", "page"): [1006.0, 1008.0, 1014.0]}), INJECTED, END)
    assert found.alerts == (Alert("Burn", "page", ((1006.0, 1014.0),)),)


class Evaluating(Measured):
    """Its rules are evaluated every 2 s, and the first evaluation after the end is on its way."""

    def __init__(self):
        super().__init__()
        self._evaluations = iter([END - 2.0, END - 0.1, END + 1.9])

    def evaluated_at(self):
        now = next(self._evaluations)
        if now >= END - 0.1:
            self._alerts[labels("BrokerDown", "ticket")] = [END - 0.1]
        return now


def test_an_alert_that_fires_just_before_the_end_is_in_the_report(monkeypatch):
    monkeypatch.setattr(measurements, "POLL_SECONDS", 0)
    prometheus = Evaluating()
    assert [alert.name for alert in measurements.alerts(prometheus, INJECTED, END)] == ["BrokerDown"]
    assert next(prometheus._evaluations, None) is None, "every evaluation up to the end was awaited"


def test_rules_that_are_not_evaluated_any_more_do_not_hold_up_a_report(monkeypatch):
    monkeypatch.setattr(measurements, "EVALUATION_SECONDS", 0)
    stuck = Measured()
    stuck.evaluated_at = lambda: INJECTED
    assert measurements.alerts(stuck, INJECTED, END) == []
