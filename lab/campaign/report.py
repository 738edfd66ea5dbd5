"""A run of a campaign, and a whole one, for people."""

from collections.abc import Iterable, Sequence

from lab.campaign.plan import Disturbance
from lab.campaign.run import Result

# Attributes of the verdict, in the order of the table's columns.
COUNTS = {
    "sent": "sent", "acknowledged": "acknowledged", "rejected": "answered 503", "unknown": "answered 504 or not",
    "rejected_but_processed": "503 but processed", "unknown_but_processed": "504 but processed",
    "duplicates": "duplicates", "dead_lettered": "dead-lettered poison",
    "hostile_confirmed": "hostile", "hostile_processed": "hostile processed",
    "hostile_dead_lettered": "hostile dead-lettered"}


def line(result: Result) -> str:
    """One line for a run that is right; for another one, what is wrong and how to see it again."""
    verdict = result.verdict
    counted = (f"{verdict.sent} sent, {verdict.acknowledged} acknowledged, {verdict.rejected} rejected "
               f"({verdict.rejected_but_processed} processed), {verdict.unknown} unknown "
               f"({verdict.unknown_but_processed} processed), {verdict.duplicates} duplicates, "
               f"{verdict.dead_lettered} dead-lettered, {verdict.hostile_confirmed} hostile "
               f"({verdict.hostile_processed} processed, {verdict.hostile_dead_lettered} dead-lettered)")
    if verdict.late_seconds is not None:
        counted += f", late for {verdict.late_seconds:g} s"
    if verdict.is_right:
        return f"[green]right[/green] seed {result.seed}: {counted}; healed in {result.healed_seconds:.0f} s"
    return "\n".join([
        f"[red]WRONG[/red] seed {result.seed}: {counted}", *(f"  {violation}" for violation in verdict.violations),
        f"  again: lab campaign --runs 1 --seed {result.seed}{' --only-hostile' if verdict.late_seconds is not None else ''}"])


def table(results: Sequence[Result]) -> list[str]:
    """The lines of a Markdown table: counts of the runs that had each kind of disturbance, and of all runs.

    A run with several kinds counts in the row of each.
    """
    kinds = sorted({_kind(one) for result in results for one in result.disturbances})
    rows = {kind: [result for result in results if kind in map(_kind, result.disturbances)] for kind in kinds}
    head = ["disturbance", "runs", "wrong", *COUNTS.values()]
    return [_cells(head), _cells(["---"] * len(head)),
            *(_row(kind, of_kind) for kind, of_kind in rows.items()), _row("**all runs**", results)]


def _kind(disturbance: Disturbance) -> str:
    details = disturbance.details
    return f"toxic {details['type']}" if details else f"{disturbance.kind} {disturbance.target}"


def _row(name: str, results: Sequence[Result]) -> str:
    verdicts = [result.verdict for result in results]
    sums = [sum(getattr(verdict, count) for verdict in verdicts) for count in COUNTS]
    wrong = sum(not verdict.is_right for verdict in verdicts)
    return _cells([name, len(results), wrong, *(f"{number:,}" for number in sums)])


def _cells(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
