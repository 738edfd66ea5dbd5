"""What was seen of the alerts: which fault raised which, and after how long.

The tests of this folder leave what they have seen in `.lab/proof`; `python -m tests.scenarios.proof`
makes the table of it that is kept in prometheus/ALERTS.md.
"""

import json
import time

import yaml

from lab.engine import scenario as scenarios
from lab.prometheus import Prometheus
from lab.settings import ROOT

FOLDER = ROOT / ".lab" / "proof"
TABLE = ROOT / "prometheus" / "ALERTS.md"
SLOW = " (slow burn)"  # the ticket of an objective, beside its page

HEAD = """\
# Which fault raises which alert

Seen in tests (`tests/scenarios`), on a lab that was healthy before: seconds from the fault to the alert. **Bold**: a
test fails where it does not come in time. Each one was gone after the lab was healed, which the tests check, too. In a
healthy lab none fires. `python -m tests.scenarios.proof` writes this file from what the tests have last seen.
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
    (FOLDER / f"{key}.json").write_text(json.dumps(content, indent=2))


def alerts() -> list[str]:
    """All that there are, by the names of this table."""
    found = {}
    for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml"), reverse=True):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found[name_of({"alertname": rule["alert"], **rule["labels"]})] = None
    return list(found)


def table() -> str:
    columns = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"), key=_order)}
    lines = [HEAD, f"| alert | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for alert in alerts():
        lines.append(f"| {alert} | {' | '.join(_cell(column, alert) for column in columns.values())} |")
    lines += ["", *(f"- {key}: {column['title']}" for key, column in columns.items()), ""]
    return "\n".join(lines)


def _order(file) -> tuple[bool, int, str]:
    """Scenarios first, by number."""
    return (not file.stem.isdigit(), int(file.stem) if file.stem.isdigit() else 0, file.stem)


def _cell(column: dict, alert: str) -> str:
    seconds = column["seen"].get(alert)
    if seconds is None:
        return ""
    return f"**{seconds}**" if alert in column["expected"] else str(seconds)


def main() -> None:
    missing = [str(number) for number in scenarios.folders() if not (FOLDER / f"{number}.json").exists()]
    if missing:
        raise SystemExit(f"nothing was seen yet of scenario {', '.join(missing)}: run the tests of tests/scenarios")
    TABLE.write_text(table())
    print(f"wrote {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
