"""The table of a campaign."""

from lab.campaign.checker import Verdict
from lab.campaign.plan import Disturbance
from lab.campaign.report import table
from lab.campaign.run import Result


def result(*disturbances: Disturbance, duplicates: int = 0, violations: tuple[str, ...] = ()) -> Result:
    verdict = Verdict(sent=1000, acknowledged=900, rejected=60, unknown=40, rejected_but_processed=1,
                      unknown_but_processed=20, duplicates=duplicates, dead_lettered=7, hostile_confirmed=3,
                      hostile_dead_lettered=2, hostile_processed=1, late_seconds=None, violations=violations)
    return Result(seed=1, disturbances=list(disturbances), troubles=[], healed_seconds=0, verdict=verdict)


KILL = Disturbance("kill", "rabbitmq", 1, 2)
SLOW = Disturbance("toxic", "consumer-link", 1, 2, {"type": "latency", "stream": "upstream"})


def test_a_run_counts_in_the_row_of_each_of_its_kinds_once_and_once_in_all():
    head, _line, *rows = table([result(KILL, KILL, SLOW, duplicates=2), result(KILL, violations=("lost: …",))])
    assert head.startswith("| disturbance | runs | wrong | sent | acknowledged | answered 503 |")
    assert rows == [
        "| kill rabbitmq | 2 | 1 | 2,000 | 1,800 | 120 | 80 | 2 | 40 | 2 | 14 | 6 | 2 | 4 |",
        "| toxic latency | 1 | 0 | 1,000 | 900 | 60 | 40 | 1 | 20 | 2 | 7 | 3 | 1 | 2 |",
        "| **all runs** | 2 | 1 | 2,000 | 1,800 | 120 | 80 | 2 | 40 | 2 | 14 | 6 | 2 | 4 |",
    ]
