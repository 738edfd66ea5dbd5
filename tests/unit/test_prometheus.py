"""Prometheus' configuration, rules and objectives, and the runbook that the alerts point to."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.settings import LabSettings
from lab.stack.base import JUDGE
from lab.stack.native.scraping import judged_consumers, write_configuration, write_targets
from prometheus import generate
from lab.fairness import alerts as proof

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
RULE_FILES = sorted((FOLDER / "rules").glob("*.yml"))
TEST_FILES = sorted((FOLDER / "tests").glob("*.yml"))
RUNBOOK = (ROOT / "RUNBOOK.md").read_text(encoding="utf-8")

RULES = [rule for file in RULE_FILES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
SCRAPED = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
PARAMETERS = yaml.safe_load((FOLDER / "slo.yml").read_text(encoding="utf-8"))
SLOS = {slo["name"]: slo for slo in PARAMETERS["slos"]}
PAGES = [alert for alert in ALERTS if alert["labels"]["severity"] == "page"]

# What the programs that are not ours expose: Prometheus itself, its Python client, and RabbitMQ's
# plugin by the names of 3.10, which 4.x has kept.
FOREIGN_METRICS = {
    "up",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_channels",
    "rabbitmq_connections",
    "rabbitmq_connections_closed_total",
    "rabbitmq_connections_opened_total",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_detailed_queue_messages",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_unacked",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_erlang_processes_used",
    "rabbitmq_global_messages_acknowledged_total",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
    "rabbitmq_global_messages_dead_lettered_expired_total",
    "rabbitmq_global_messages_dead_lettered_maxlen_total",
    "rabbitmq_global_messages_dead_lettered_rejected_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_received_total",
    "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_unroutable_dropped_total",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_process_open_fds",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_resident_memory_limit_bytes",
}
SERIES_OF = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_sum", "_count"]}
# Words of PromQL that no parenthesis need follow.
WORDS = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring", "offset", "sum", "min", "max", "avg", "count"}


def run(*command: str | Path) -> str:
    """What the program says, when it is content."""
    result = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def alert_id(alert: dict) -> str:
    return f"{alert['alert']}-{alert['labels']['severity']}"


def anchors(markdown: str) -> list[str]:
    """The anchors of all headings, by GitHub's rules: lower case, no punctuation, spaces as dashes."""
    without_code = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)\s*$", without_code, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def section(heading: str) -> str:
    """The text between this third-level heading and the next one."""
    return RUNBOOK.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]


def runbook_queries() -> list[str]:
    blocks = re.findall(r"^ *```promql\n(.*?)```", RUNBOOK, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def own_metrics() -> set[str]:
    """The series that the sources of the services and of the traffic define."""
    names = set()
    for file in [*(ROOT / "services").rglob("metrics.py"), ROOT / "locustfile.py"]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            kind = getattr(getattr(node, "func", None), "id", None)
            if isinstance(node, ast.Call) and kind in SERIES_OF:
                names |= {node.args[0].value + suffix for suffix in SERIES_OF[kind]}
    return names


def metrics_in(query: str) -> set[str]:
    """The metric names of a PromQL expression; a pattern stands for the foreign metrics that it matches."""
    patterns = {name for names in re.findall(r'__name__=~?"([^"]+)"', query) for name in names.split("|")}
    named = {name for pattern in patterns
             for name in [metric for metric in FOREIGN_METRICS if re.fullmatch(pattern, metric)] or [pattern]}
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|without|on|ignoring) *\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w.:])([A-Za-z_:][\w:]*)(?! *\(|[\w:])", bare)
    return named | set(words) - WORDS


# -- the tools' own judgement ---------------------------------------------------------------------


def test_promtool_accepts_the_configuration():
    assert "WARNING" not in run("promtool", "check", "config", FOLDER / "prometheus.yml")


def test_promtool_accepts_what_the_native_stack_makes_of_it(tmp_path):
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path)
    write_configuration(settings, "prometheus")
    write_targets(settings, {"consumer-1": 8000})
    assert "WARNING" not in run("promtool", "check", "config", tmp_path / "prometheus" / "prometheus.yml")
    made = yaml.safe_load((tmp_path / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = {job["job_name"]: job for job in made["scrape_configs"]}
    assert list(jobs) == [job["job_name"] for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]]
    for job in [*jobs.values(), *made["alerting"]["alertmanagers"]]:
        assert not {"static_configs", "dns_sd_configs"} & set(job)
        assert (tmp_path / "prometheus" / job["file_sd_configs"][0]["files"][0]).exists()


def test_the_judge_has_the_same_jobs_and_its_configuration_names_what_stays(tmp_path):
    settings = LabSettings(_env_file=None, lab_run_dir=tmp_path)
    write_configuration(settings, JUDGE)
    write_targets(settings, {"consumer-1": 8000})
    assert "WARNING" not in run("promtool", "check", "config", tmp_path / JUDGE / "prometheus.yml")
    made = yaml.safe_load((tmp_path / JUDGE / "prometheus.yml").read_text(encoding="utf-8"))
    assert "alerting" not in made
    by_file = {job["job_name"] for job in made["scrape_configs"] if "file_sd_configs" in job}
    assert by_file == {"consumer", "toxiproxy"}
    [traffic] = [job for job in made["scrape_configs"] if job["job_name"] == "traffic"]
    assert traffic["static_configs"] == [{"targets": ["127.0.0.1:9646"]}]
    assert judged_consumers(settings) == {"127.0.0.1:8000"}


@pytest.mark.parametrize("file", [*RULE_FILES, generate.FILES["production"]], ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_promtool_accepts_the_rules(file):
    run("promtool", "check", "rules", "--lint-fatal", file)


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_promtool_passes_the_tests_of_the_rules(file):
    run("promtool", "test", "rules", file)


def test_amtool_accepts_the_alertmanager_configuration():
    run("amtool", "check-config", FOLDER / "alertmanager.yml")


def test_queries_of_the_runbook_parse(tmp_path):
    rules = [{"record": f"runbook:query:{number}", "expr": query} for number, query in enumerate(runbook_queries())]
    file = tmp_path / "runbook.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": rules}]}), encoding="utf-8")
    run("promtool", "check", "rules", file)


# -- what is scraped ------------------------------------------------------------------------------


@pytest.mark.parametrize("counter, queue_type, strategy, reason", [
    ("rejected", "rabbit_quorum_queue", "at_least_once", "rejected"),
    ("delivery_limit", "rabbit_quorum_queue", "disabled", "delivery_limit"),
    ("maxlen", "rabbit_quorum_queue", "at_most_once", "maxlen"),
    ("expired", "rabbit_quorum_queue", "at_most_once", "expired"),
    ("expired", "rabbit_quorum_queue", "disabled", "expired"),
    ("expired", "rabbit_quorum_queue", "at_least_once", None),  # retries, too
    ("confirmed", "rabbit_quorum_queue", "at_least_once", None),
    ("expired", "rabbit_classic_queue", "disabled", None),  # of others
])
def test_dead_letters_that_the_broker_counts_get_their_reason_as_a_label(counter, queue_type, strategy, reason):
    [job] = [job for job in SCRAPED if job["job_name"] == "rabbitmq"]
    [rule] = job["metric_relabel_configs"]
    assert (rule["source_labels"], rule["target_label"]) == (["__name__", "queue_type", "dead_letter_strategy"], "reason")
    matched = re.fullmatch(rule["regex"], f"rabbitmq_global_messages_dead_lettered_{counter}_total;{queue_type};{strategy}")
    assert (re.sub(r"\$\{(\d)\}", lambda group: matched[int(group[1])] or "", rule["replacement"]) if matched else None) == reason


def test_queues_of_other_virtual_hosts_are_not_scraped():
    [job] = [job for job in SCRAPED if job["job_name"] == "rabbitmq-queues"]
    assert job["params"]["vhost"] == ["/"]


# -- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("query, expected", [
    ('sum by (reason) (rate(a_total{x="y_z"}[30s])) > 0.5', {"a_total"}),
    ("a:b:c > bool 10 unless on() (d - 5 and e == 0) or vector(1)", {"a:b:c", "d", "e"}),
    ('rate({__name__=~"a_total|b_total"}[1m])', {"a_total", "b_total"}),
    ('rate({__name__=~"a_total|rabbitmq_disk_.+_limit_bytes"}[1m])',
     {"a_total", "rabbitmq_disk_space_available_limit_bytes"}),
    ('label_replace(sum(a) > 0, "reason", "b", "", "")', {"a"}),
    ("clamp_min(time() - a, 0) + quantile_over_time(0.5, b[20s:2s])", {"a", "b"}),
])
def test_metrics_are_found_in_queries(query, expected):
    assert metrics_in(query) == expected


@pytest.mark.parametrize("query", [rule["expr"] for rule in RULES] + runbook_queries())
def test_every_metric_that_is_asked_for_exists(query):
    assert metrics_in(query) <= own_metrics() | FOREIGN_METRICS | RECORDED


def test_the_runbook_explains_every_metric_of_ours():
    table = RUNBOOK.partition("\n## Metrics\n")[2]
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))))
    assert explained == {re.sub(r"_(bucket|count|sum)$", "", name) for name in own_metrics()}


# -- objectives -----------------------------------------------------------------------------------


def test_there_is_an_objective_for_each_promise():
    assert list(SLOS) == ["availability", "freshness", "success"]


@pytest.mark.parametrize("slo", SLOS.values(), ids=SLOS)
def test_objectives_are_complete_and_read_a_recording_rule(slo):
    assert slo["query"] in RECORDED
    assert slo["comparison"] in {"<=", ">="}
    assert "$window" in slo["error_ratio"]


def test_an_objective_and_its_error_budget_say_the_same():
    for name in ("availability", "success"):
        assert SLOS[name]["objective"] == pytest.approx(1 - SLOS[name]["error_budget"])
    freshness = SLOS["freshness"]
    [late] = [rule["expr"] for rule in RULES if rule.get("record") == "queue:processing_late:bool"]
    assert late == f"{freshness['query']} > bool {freshness['objective']}"


def test_the_error_ratio_of_success_counts_each_expired_message_once():
    [interval] = {group["interval"] for group in yaml.safe_load((FOLDER / "rules" / "sli.yml").read_text(encoding="utf-8"))["groups"]}
    samples = 60 // generate.seconds(interval)
    assert f"sum_over_time(queue:dead_letters_expired:increase1m[$window]) / {samples} / $seconds" in SLOS["success"]["error_ratio"]


@pytest.mark.parametrize("setting", generate.FILES)
def test_the_rules_of_the_objectives_are_those_of_the_parameters(setting):
    assert generate.FILES[setting].read_text(encoding="utf-8") == generate.rules(setting), "run `make generate`"


@pytest.mark.parametrize("setting", generate.FILES)
def test_every_objective_has_a_page_and_a_ticket_that_look_at_two_windows(setting):
    alerts = PARAMETERS["windows"][setting]["alerts"]
    for name in SLOS:
        assert {alert["severity"] for alert in alerts if name in alert["slos"]} == {"page", "ticket"}
    for alert in alerts:
        assert generate.seconds(alert["short"]) < generate.seconds(alert["long"]) < generate.seconds(PARAMETERS["windows"][setting]["budget"])


# -- alerts and the runbook -----------------------------------------------------------------------


@pytest.mark.parametrize("alert", ALERTS, ids=alert_id)
def test_alerts_are_complete(alert):
    assert re.fullmatch(r"([A-Z][a-z]+)+", alert["alert"])
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"] and alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"RUNBOOK.md#{alert['alert'].lower()}"


def test_pages_are_about_objectives_and_causes_are_tickets():
    assert {alert["labels"]["slo"] for alert in PAGES} == set(SLOS)
    assert all(alert["labels"]["severity"] == "ticket" for alert in ALERTS if "slo" not in alert["labels"])


@pytest.mark.parametrize("alert", ALERTS, ids=alert_id)
def test_a_promtool_test_shows_the_alert_firing_and_whole(alert):
    shown = [(case["alertname"], fired["exp_labels"]["severity"])
             for file in TEST_FILES for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
             for case in test.get("alert_rule_test", []) for fired in case["exp_alerts"]]
    assert (alert["alert"], alert["labels"]["severity"]) in shown


def test_anchors_follow_github():
    assert anchors("# A b, c\n## `D`-e_f!\n```sh\n# no heading\n```\n### AmqpX\n") == ["a-b-c", "d-e_f", "amqpx"]


@pytest.mark.parametrize("alert", ALERTS, ids=alert_id)
def test_the_runbook_has_a_section_for_the_alert(alert):
    assert alert["annotations"]["runbook_url"].partition("#")[2] in anchors(RUNBOOK)
    text = section(alert["alert"])
    for part in ("Meaning", "Impact", "Check", "itigate", "Prevent"):
        assert part in text


def test_the_runbook_speaks_of_no_alert_that_does_not_exist():
    alerts_part = RUNBOOK.partition("\n## Alerts\n")[2].partition("\n## Procedures\n")[0]
    assert set(re.findall(r"^### (\w+)$", alerts_part, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}


def test_links_within_the_runbook_lead_somewhere():
    found = anchors(RUNBOOK)
    assert len(found) == len(set(found))
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= set(found)


def test_scenarios_expect_alerts_that_exist():
    expected = {alert for file in (ROOT / "scenarios").glob("*/scenario.yaml")
                for alert in yaml.safe_load(file.read_text(encoding="utf-8")).get("alerts", [])}
    assert expected <= {alert["alert"] for alert in ALERTS}


# -- the proof table ------------------------------------------------------------------------------


def proof_table() -> dict[str, dict[str, str]]:
    """alert → column → cell of prometheus/ALERTS.md."""
    head, _line, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                          for line in proof.TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_the_table_has_every_alert_and_a_fault_that_raised_it():
    table = proof_table()
    assert list(table) == proof.alerts(), "run `make scenarios-proof` and the tests of tests/scenarios, then `python -m lab.fairness.alerts`"
    assert [alert for alert, cells in table.items() if not any(cells.values())] == []


def test_the_table_has_every_scenario_with_the_alerts_that_it_promises():
    table = proof_table()
    for file in (ROOT / "scenarios").glob("*/scenario.yaml"):
        for alert in yaml.safe_load(file.read_text(encoding="utf-8"))["alerts"]:
            assert table[alert][str(int(file.parent.name[:2]))].startswith("**"), (file, alert)


def test_no_page_is_silent_in_every_scenario():
    for alert in PAGES:
        assert any(seconds for column, seconds in proof_table()[alert["alert"]].items() if column.isdigit()), alert["alert"]
