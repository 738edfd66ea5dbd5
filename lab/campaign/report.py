"""A run of a campaign, for people."""

from lab.campaign.run import Result


def line(result: Result) -> str:
    """One line for a run that is right; for another one, what is wrong and how to see it again."""
    verdict = result.verdict
    counted = (f"{verdict.sent} sent, {verdict.acknowledged} acknowledged, {verdict.rejected} rejected "
               f"({verdict.rejected_but_processed} processed), {verdict.unknown} unknown "
               f"({verdict.unknown_but_processed} processed), {verdict.duplicates} duplicates, "
               f"{verdict.dead_lettered} dead-lettered")
    if verdict.is_right:
        return f"[green]right[/green] seed {result.seed}: {counted}; healed in {result.healed_seconds:.0f} s"
    return "\n".join([
        f"[red]WRONG[/red] seed {result.seed}: {counted}", *(f"  {violation}" for violation in verdict.violations),
        f"  again: lab campaign --runs 1 --seed {result.seed}"])
