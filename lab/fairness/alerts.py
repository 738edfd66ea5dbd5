"""What was seen of the alerts: which fault raised which, and after how long.

Plays of scenarios and the tests of alerts leave what they have seen in `.lab/proof`; the table of it is kept in
prometheus/ALERTS.md, and keeps the columns of what has not been seen anew.
"""

import json
import re
import time

import yaml

from lab.fairness.play import FOLDER
from lab.prometheus import Prometheus
from lab.settings import ROOT

TABLE = ROOT / "prometheus" / "ALERTS.md"
SLOW = " (slow burn)"  # the ticket of an objective, beside its page

HEAD = """\
# Which fault raises which alert

Seen in plays of the scenarios (`make scenarios-proof`) and in tests (`tests/scenarios`), on a lab that was healthy
before: seconds from the fault to the alert. **Bold**: a proof or a test fails where it does not come in time. Each one
was gone after the lab was healed, which they check, too. In a healthy lab none fires. `python -m lab.fairness.alerts`
writes this file from what was last seen.
"""


def name_of(labels: dict) -> str:
    """The alert as this table names it: an objective's page, and its slow burn, are two."""
    return labels["alertname"] + (SLOW if "slo" in labels and labels["severity"] == "ticket" else "")


def fired(prometheus: Prometheus, since: float) -> dict[str, float]:
    """Every alert that fired after `since` (Unix time), and how many seconds after it."""
    window = max(2, round(time.time() - since))
    first = f'min_over_time(timestamp(ALERTS{{alertstate="firing"}})[{window}s:2s])'
    seen: dict[str, float] = {}
    for labels, at in prometheus.vector(first):
        name = name_of(labels)
        seen[name] = min(at - since, seen.get(name, at))
    return seen


def firing(prometheus: Prometheus) -> set[str]:
    """Every alert that fires now."""
    return {name_of(alert["labels"]) for alert in prometheus.firing_alerts()}


def only_slow_burns(prometheus: Prometheus) -> bool:
    """Whether all that still fires is what remembers a fault that is over."""
    return all(SLOW in name for name in firing(prometheus))


def note(key: str, title: str, seen: dict[str, float], expected: list[str]) -> None:
    """Keep it for the table; `key` is the column's head."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    content = {"title": title, "seen": {name: round(seconds) for name, seconds in seen.items()}, "expected": expected}
    (FOLDER / f"{key}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


def alerts() -> list[str]:
    """All that there are, by the names of this table."""
    found = {}
    for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml"), reverse=True):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found[name_of({"alertname": rule["alert"], **rule["labels"]})] = None
    return list(found)


def table() -> str:
    columns = dict(sorted((_written(TABLE.read_text(encoding="utf-8")) | _seen()).items(), key=_order))
    lines = [HEAD, f"| alert | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for alert in alerts():
        lines.append(f"| {alert} | {' | '.join(_cell(column, alert) for column in columns.values())} |")
    lines += ["", *(f"- {key}: {column['title']}" for key, column in columns.items()), ""]
    return "\n".join(lines)


def write() -> None:
    """Write prometheus/ALERTS.md anew."""
    TABLE.write_text(table(), encoding="utf-8")


def _seen() -> dict[str, dict]:
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in FOLDER.glob("*.json")}


def _written(text: str) -> dict[str, dict]:
    """The columns of the table as it is."""
    titles = re.findall(r"^- (\w+): (.+)$", text, re.MULTILINE)
    columns = {key: {"title": title, "seen": {}, "expected": []} for key, title in titles}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    for alert, *cells in rows[1:]:
        for key, cell in zip(rows[0][1:], cells, strict=True):
            if cell:
                columns[key]["seen"][alert] = int(cell.strip("*"))
            if cell.startswith("**"):
                columns[key]["expected"].append(alert)
    return columns


def _order(column: tuple[str, dict]) -> tuple[bool, int, str]:
    """Scenarios first, by number."""
    key = column[0]
    return (not key.isdigit(), int(key) if key.isdigit() else 0, key)


def _cell(column: dict, alert: str) -> str:
    seconds = column["seen"].get(alert)
    if seconds is None:
        return ""
    return f"**{seconds}**" if alert in column["expected"] else str(seconds)


if __name__ == "__main__":
    write()
    print(f"wrote {TABLE.relative_to(ROOT)}")
