"""A run of a scenario, for the interviewer: objectives, budgets and alerts over time, with what was done marked."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.parts import BLUE, Query, Value, above, below, dashboard, graph, states, stats

UP = {0: ("down", "red"), 1: ("up", "green")}
GRAFANA = models.DataSourceRef(type_val="grafana", uid="-- Grafana --")
SLOS = ("availability", "freshness", "success")


def run_events():
    """What the lab's engine tells Grafana of a run: injection, detection, answers, mitigation, the end."""
    return (builders.AnnotationQuery().name("Run").enable(True).hide(False).icon_color(BLUE).datasource(GRAFANA)
            .target(builders.AnnotationTarget().type("tags").limit(100).match_any(False).tags(["sre-lab-run"])))


def build():
    return dashboard(
        "lab-run", "Lab run",
        "A run as it went: when the fault came in, what users felt, which alerts fired, and when it was over. Marks are set by "
        "the lab's engine.",
        [
            ("Objectives", [
                graph("Requests answered", "Availability, with its objective of 99 %.", "percentunit",
                      Query("client:requests:availability_ratio_rate30s", "answered"), limits=below(0.99), maximum=1),
                graph("Processing lag", "Freshness, with its objective of 10 s.", "s",
                      Query("queue:processing_lag_seconds:max", "lag"), limits=above(10)),
                graph("Processed with success", "Success, with its objective of 99 %.", "percentunit",
                      Query("consumer:messages:success_ratio_rate30s", "processed"), limits=below(0.99), maximum=1),
            ]),
            ("Error budgets", [
                stats("Left of 30 minutes", "Share of each error budget that is left. Below zero: more was spent than there was.",
                      *(Value(slo, f'slo:error_budget_remaining:ratio{{slo="{slo}"}}', "percentunit", below(0.5, 0), 0) for slo in SLOS),
                      width=6, height=8),
                graph("Left of 30 minutes, over time", "It falls while users suffer, and comes back half an hour later.", "percentunit",
                      Query("slo:error_budget_remaining:ratio", "{{slo}}"), limits=below(0), minimum=None, maximum=1, width=9),
                graph("Burn rate", "How many times faster than allowed the budgets are spent, over one minute. Pages at 14.4, of success at 6.", "none",
                      Query("slo:sli_error:ratio_rate1m / 0.01", "{{slo}}"), limits=above(6, 14.4), width=9),
            ]),
            ("Alerts", [
                states("Pages", "Alerts about users: an objective is in danger.",
                       Query('max by (alertname) (ALERTS{alertstate="firing", severity="page"}) or label_replace(vector(0), "alertname", "any", "", "")',
                             "{{alertname}}"), names={0: ("quiet", "transparent"), 1: ("fires", "red")}, width=12),
                states("Tickets", "Alerts about causes: a part is not as it should be.",
                       Query('max by (alertname) (ALERTS{alertstate="firing", severity="ticket"}) or label_replace(vector(0), "alertname", "any", "", "")',
                             "{{alertname}}"), names={0: ("quiet", "transparent"), 1: ("fires", "orange")}, width=12),
            ]),
            ("Parts", [
                states("Answers its scrapes", "Every part of the lab.", Query("up", "{{job}} {{instance_name}}"), names=UP),
            ]),
        ],
        annotations=[run_events()])
