"""The `lab` command. Every make target is one line that calls it."""

import errno
import functools
import json
import sys
import time
import traceback
from itertools import zip_longest
from typing import NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import dlq as dead_letters
from lab import dlq_view
from lab import monitor as lab_monitor
from lab import output, reports_view
from lab import settings as lab_settings
from lab import slo
from lab import stack as stacks
from lab.campaign import report as campaign_report
from lab.campaign import run as lab_campaign
from lab.console import daemon
from lab.engine import actions, experiment, reports, runner
from lab.engine import candidate as candidates
from lab.engine import reset as lab_reset
from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.errors import LabError
from lab.exam.commands import exam
from lab.fairness import authoring
from lab.fairness import proof as fairness
from lab.grading import ledger as grading_ledger
from lab.grading import report
from lab.grading.answers import CAUSES, COMPONENTS
from lab.grading.rubric import MAX_FINDINGS, RESUBMISSION_COST
from lab.prometheus import Prometheus
from lab.stack import health

EXIT_NO_PASS = 3
ERROR_LOG = lab_settings.ROOT / ".lab" / "error.log"
# What a read-only checkout, another user's, or a full disk answers.
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}

console = Console(highlight=False)


class LabGroup(click.Group):
    """Shows LabErrors as a message, never as a stack trace; the output never decides what a command does."""

    def main(self, *arguments, **options) -> NoReturn:
        output.run(lambda: super(LabGroup, self).main(*arguments, **options))

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except LabError as error:
            click.secho("error: ", fg="red", bold=True, err=True, nl=False)
            click.echo(str(error), err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except OSError as error:
            if error.errno not in REFUSED or error.filename is None:
                _exit_internal_error(error)
            click.echo(f"error: {error.filename}: {error.strerror}. The lab must be able to read its checkout, and to write "
                       ".env and .lab in it; LAB_RUN_DIR and LAB_REPORTS_DIR in .env name other folders.", err=True)
            sys.exit(1)
        except Exception as error:
            _exit_internal_error(error)


def _exit_internal_error(error: Exception) -> NoReturn:
    """A defect of ours: its trace is for us, not for the person."""
    try:
        ERROR_LOG.parent.mkdir(exist_ok=True)
        ERROR_LOG.write_text(traceback.format_exc(), encoding="utf-8")
        where = f"the trace is in {ERROR_LOG}"
    except OSError as unwritable:
        where = f"its trace cannot be written to {ERROR_LOG}: {unwritable.strerror}"
    click.echo(f"internal error: {type(error).__name__}: {error} ({where})", err=True)
    sys.exit(70)  # EX_SOFTWARE of sysexits.h


@click.group(cls=LabGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """sre-lab: break a real message system, and learn to mend it."""


def with_stack(command):
    """Gives the command the settings and the stack they ask for."""

    @functools.wraps(command)
    def wrapped(*arguments, **options):
        settings = lab_settings.load()
        return command(settings, stacks.current(settings), *arguments, **options)

    return wrapped


def progress(line: str) -> None:
    console.print(f"[dim]·[/dim] {escape(line)}")


# -- the stack ------------------------------------------------------------------------------


@main.command()
@with_stack
def up(settings, stack) -> None:
    """Start everything; ends when the whole system is healthy."""
    daemon.start(settings, progress)
    stack.up(progress)
    console.print("[green]the lab is up[/green]")
    _print_addresses(settings, {status.name for status in stack.status()})


@main.command()
@with_stack
def down(settings, stack) -> None:
    """Stop everything; queues and metrics are kept."""
    daemon.stop(settings)
    stack.down(progress)
    console.print("the lab is down")


@main.command()
def clean() -> None:
    """Remove every process and file of this lab, whatever state it is in."""
    try:
        settings = lab_settings.load()
    except LabError as error:
        settings = lab_settings.LabSettings.model_construct()
        _say(f"{error}\nso this cleans the usual run folder, {settings.run_dir}")
    daemon.stop(settings)
    runner.restore_settings(settings)
    stacks.clean(settings, progress)
    console.print("clean")


@main.command()
@with_stack
def ps(settings, stack) -> None:
    """Show the state of every service."""
    statuses = stack.status()
    if not statuses:
        console.print("the lab is not up")
        return
    console.print(lab_monitor.services_table([*statuses, daemon.status(settings)]))


@main.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("--grep", metavar="TEXT", help="Only lines that contain TEXT.")
@with_stack
def logs(_settings, stack, service, follow, grep) -> None:
    """Show the log of SERVICE, or of all."""
    for line in stack.logs(service, follow):
        if not grep or grep in line:
            click.echo(line)
        output.exit_without_reader()


def _service_command(name: str, summary: str) -> None:
    @main.command(name, help=summary)
    @click.argument("service")
    @with_stack
    def command(_settings, stack, service) -> None:
        getattr(stack, name)(service)
        console.print(f"{name} {service}: done")


for _name, _summary in {
    "start": "Start SERVICE and wait until it is healthy.",
    "stop": "Stop SERVICE gracefully; it stays down.",
    "kill": "Kill SERVICE with SIGKILL; it stays down.",
    "pause": "Freeze SERVICE: its connections stay open, nothing answers.",
    "resume": "Let a paused SERVICE go on.",
    "restart": "Restart SERVICE; it reads .env again.",
}.items():
    _service_command(_name, _summary)


@main.command()
@click.argument("service", type=click.Choice(["consumer"]))
@click.argument("count", type=int)
@with_stack
def scale(_settings, stack, service, count) -> None:
    """Run COUNT consumers."""
    stack.scale(count)
    console.print(f"{count} consumers run")


@main.command()
@with_stack
def monitor(settings, stack) -> None:
    """Watch services, queues and SLOs; Ctrl-C ends it."""
    lab_monitor.watch(settings, stack, console)


@main.command()
@click.option("--workers", type=click.IntRange(1, lab_settings.MAX_LOAD_WORKERS),
              help="Processes that send; else LAB_LOAD_WORKERS of .env.")
@with_stack
def load(settings, stack, workers) -> None:
    """Serve Locust's web page, to drive the system by hand."""
    stack.load_page(workers or settings.lab_load_workers)
    # Natively, the page is this process, says so itself, and does not return.
    console.print(f"Locust: http://127.0.0.1:{settings.locust_port}")


@main.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("service")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@with_stack
def exec_(_settings, stack, service, command) -> None:
    """Run COMMAND in SERVICE's environment: lab exec rabbitmq rabbitmqctl list_queues"""
    code = stack.run_in(service, list(command))
    sys.exit(code if code >= 0 else 128 - code)  # ended by a signal: as a shell reports it


@main.command("set")
@click.argument("assignment", metavar="KEY=VALUE")
def set_(assignment) -> None:
    """Change a setting in .env; restart what reads it."""
    key, equals, value = assignment.partition("=")
    if not equals:
        raise LabError(f"{assignment!r} is not KEY=VALUE")
    lab_settings.change(key, value)
    _say(f"{key}={value} is set; restart what reads it, for example: lab restart consumer")


# -- dead letters ---------------------------------------------------------------------------


@main.group()
def dlq() -> None:
    """Look at the dead letters, send them back, or remove them."""


@dlq.command("list")
@click.option("--reason", help="Only those with this reason.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Lines to show at most.")
def dlq_list(reason, limit) -> None:
    """List the dead letters; changes nothing."""
    letters = [letter for letter in dead_letters.look(lab_settings.load()) if reason in (None, letter.reason)]
    if letters:
        # A narrow terminal may wrap the lines; an id must never be cut, as it is there to be typed.
        Console(width=1000).print(dlq_view.table(letters[:limit]))
    if len(letters) > limit:
        console.print(f"… and {len(letters) - limit} more: --limit {len(letters)} shows them")
    _say(dlq_view.summary(letters))


@dlq.command("show")
@click.argument("message_id", metavar="ID")
def dlq_show(message_id) -> None:
    """Show all that is known of one message; changes nothing."""
    found = dead_letters.Selection(ids=(message_id,)).choose(dead_letters.look(lab_settings.load()))
    if not found:
        raise LabError(f"there is no dead letter {message_id}: `lab dlq list` shows what is there")
    for letter in found:
        click.echo(dlq_view.details(letter))


def dlq_selection(command):
    """Gives the command the selection that its ids and options make."""

    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @click.option("--reason", help="All with this reason.")
    @click.option("--all", "everything", is_flag=True, help="All that are there now.")
    @functools.wraps(command)
    def wrapped(ids, reason, everything, **options):
        return command(dead_letters.Selection(ids, reason, everything), **options)

    return wrapped


@dlq.command("replay")
@dlq_selection
@click.option("--force", is_flag=True, help="Even those that nobody can read.")
def dlq_replay(selection, force) -> None:
    """Send dead letters back to the consumers; safe to repeat, and to interrupt."""
    outcome = dead_letters.replay(lab_settings.load(), selection, force)
    _say(f"{dlq_view.count(len(outcome.done))} sent back to the consumers")
    if outcome.refused:
        _say(f"{len(outcome.refused)} refused: nobody can read them, so they would come straight back "
             f"(--force sends them all the same): {dlq_view.examples([letter.id for letter in outcome.refused])}")
    _exit_by_outcome(outcome)


@dlq.command("drop")
@dlq_selection
@click.option("--yes", is_flag=True, help="Do not ask.")
def dlq_drop(selection, yes) -> None:
    """Remove dead letters; a file in the reports' folder keeps them."""
    settings = lab_settings.load()
    if not yes:
        selection = _approved(settings, selection)
    outcome = dead_letters.drop(settings, selection)
    _say(f"{dlq_view.count(len(outcome.done))} removed")
    if outcome.file:
        _say(f"kept in {outcome.file}; the ledger and a grade count them as discarded")
    _exit_by_outcome(outcome)


def _approved(settings, selection) -> dead_letters.Selection:
    """What a person at the terminal agrees to remove: nothing that arrives meanwhile."""
    if not sys.stdin.isatty():
        raise LabError("this removes messages: say --yes where there is no terminal to ask at")
    chosen = selection.choose(dead_letters.look(settings))
    if not chosen:
        _say("no such dead letter is there (any more)")
        sys.exit()
    _say(dlq_view.summary(chosen))
    click.confirm("Remove them? The ledger and a grade will count them as discarded.", abort=True)
    return dead_letters.Selection(ids=tuple(dict.fromkeys(letter.id for letter in chosen)))


def _exit_by_outcome(outcome) -> None:
    """Tell what was not done; by the exit code too, unless it was only not there any more."""
    if outcome.missing:
        _say(f"{len(outcome.missing)} not there (any more): {dlq_view.examples(outcome.missing)}")
    for trouble in dict.fromkeys(trouble for _letter, trouble in outcome.failed):
        ids = [letter.id for letter, why in outcome.failed if why == trouble]
        _say(f"{len(ids)} stayed: {trouble}: {dlq_view.examples(ids)}")
    if outcome.failed or outcome.refused:
        sys.exit(1)


def _say(line: str) -> None:
    """What others wrote may stand in it: no markup."""
    console.print(line, markup=False, soft_wrap=True)


# -- runs -----------------------------------------------------------------------------------


@main.command()
@click.argument("number", type=int)
@click.option("--seed", type=int, help="Draw the scenario's parameters from this number.")
@click.option("--candidate", metavar="NAME", help="Who does it, for the report.")
def scenario(number, seed, candidate) -> None:
    """Run scenario NUMBER: check, inject, wait for you, grade, reset."""
    run = runner.run(number, seed, None if candidate is None else candidates.checked(candidate))
    _exit_by(reports.read_grade(lab_settings.load(), run))


@main.command("scenarios")
def scenarios_() -> None:
    """List the scenarios."""
    table = Table("number", "tier", "par", "title", box=None)
    for number in scenarios.folders():
        one = scenarios.load(number)
        table.add_row(str(number), str(one.tier), f"{one.par_time // 60} min", one.title)
    console.print(table)


@main.command()
@with_stack
def status(settings, stack) -> None:
    """Show the SLOs, the alerts, and the run that is on."""
    if not stack.is_up():
        console.print("the lab is not up: make up")
        return
    console.print(f"stack {stack.form}, Toxiproxy: {health.version(stack.toxiproxy_address())}")
    prometheus = Prometheus(settings.prometheus_url)
    console.print(lab_monitor.slo_table(slo.read(prometheus)))
    for alert in prometheus.firing_alerts():
        labels, notes = alert["labels"], alert["annotations"]
        console.print(f"[red]{labels['alertname']}[/red] ({labels.get('severity')}): "
                      f"{notes.get('summary', '')}  {notes.get('runbook_url', '')}", soft_wrap=True)
    run = Records(settings.run_dir).active()
    if run is None:
        console.print("no run is on")
        return
    again = "make exam with its key" if run.sealed else f"make scenario-{run.scenario}"
    engine = "" if run.engine_is_alive else \
        f"; [yellow]its engine is gone[/yellow]: {again} takes it up, lab reset ends it"
    console.print(f"run {run.id} of {run.about}: {run.state}, "
                  f"{len(run.all('hint'))} hints, {len(run.all('submission'))} answers{engine}")


@main.command()
def answers() -> None:
    """List the components and causes that an answer can name."""
    for title, known in (("component", COMPONENTS), ("cause", CAUSES)):
        table = Table(title, "", box=None)
        for name, meaning in known.items():
            table.add_row(name, meaning)
        console.print(table)


@main.command()
def detect() -> None:
    """Declare the incident: you have noticed that something is wrong."""
    settings = lab_settings.load()
    console.print(actions.detect(settings, Records(settings.run_dir)), soft_wrap=True)


@main.command()
@click.option("--component", multiple=True, help="Where the fault is; `lab answers` lists the choices.")
@click.option("--cause", multiple=True, help="What the fault is; both again for a second fault.")
@click.option("--notes", help="Free text for the interviewer.")
def submit(component, cause, notes) -> None:
    """Say what is wrong; asks for what is not given."""
    records = _records()
    actions.check_submittable(records)
    findings = _findings(component, cause)
    if notes is None:
        notes = click.prompt("notes (for the interviewer)", default="") if sys.stdin.isatty() else ""
    findings = actions.submit(records, findings, notes)
    console.print(f"submitted: {report.named(findings)}. Now mitigate; a further answer costs "
                  f"{RESUBMISSION_COST} points, `lab grade` ends the run.")


@main.command()
def hint() -> None:
    """Take the next hint; it costs points."""
    number, hints = actions.take_hint(_records())
    taken = hints[number - 1]
    console.print(f"hint {number} of {len(hints)}, {taken.cost} points: {taken.text}")


@main.command()
def grade() -> None:
    """End the run: grade it and reset the lab; or show the last grade."""
    settings = lab_settings.load()
    records = Records(settings.run_dir)
    run = records.active()
    if run is None or run.state == "graded":
        _show_last_grade(settings, records)
        return
    actions.request_grade(records)
    if run.engine_is_alive:
        console.print("the grade comes as soon as it is measured…")
        while records.get(run.id).state not in {"reset", "aborted"} and run.engine_is_alive:
            time.sleep(0.5)
        _show_last_grade(settings, records)
    else:
        run = runner.resume(settings, records, run)
        _exit_by(reports.read_grade(settings, run))


@main.command("reports")
@click.option("--scenario", type=int, metavar="N", help="Only those of this scenario.")
@click.option("--seed", type=int, help="Only those of this seed.")
@click.option("--candidate", metavar="TEXT", help="Only those whose candidate has TEXT in the name.")
@click.option("--compare", is_flag=True, help="Candidates on the same scenario and seed, side by side.")
@click.option("--json", "as_json", is_flag=True, help="For machines: a list of what is known of each.")
def reports_(scenario, seed, candidate, compare, as_json) -> None:
    """List the reports, the newest first; or compare candidates."""
    found = [one for one in reports.summaries(lab_settings.load().reports_dir, _warn)
             if scenario in (None, one.scenario) and seed in (None, one.seed)
             and (candidate or "").casefold() in (one.candidate or "").casefold()]
    if as_json:
        click.echo(reports.as_json(found))
    elif not found:
        console.print("no such report")
    elif compare:
        for (number, of_seed), group in reports.comparable(found).items():
            _say(f"\nscenario {number}: {group[0].title}, seed {of_seed}")
            for table in reports_view.comparison(group, console.width):
                console.print(table)
    else:
        console.print(reports_view.table(found))


def _warn(line: str) -> None:
    click.echo(dead_letters.printable(line), err=True)


@main.command()
def reset() -> None:
    """Bring the lab back to its baseline; a run that is on ends without a grade."""
    runner.drop(Records(lab_settings.load().run_dir))
    console.print("the lab is at its baseline")


@main.command()
@click.option("--minutes", type=float, default=60, show_default=True, help="How far to look back.")
@with_stack
def ledger(settings, stack, minutes) -> None:
    """Account for every message since the fault or the last reset: processed, dead-lettered, lost, or not known yet."""
    run = Records(settings.run_dir).active()
    since = run.begun_at if run and run.begun_at else max(
        time.time() - 60 * minutes, lab_reset.emptied_at(settings) + grading_ledger.CONFIRM_SECONDS)
    account = grading_ledger.settled(settings, stack, since, progress=progress)
    table = Table(box=None, show_header=False)
    for name, value in account.as_dict().items():
        if name != "lost_examples":
            table.add_row(name.replace("_", " "), str(value))
    if account.lost_examples:
        table.add_row("lost, for example", ", ".join(account.lost_examples))
    console.print(table)
    if account.unknown:
        _say("unknown: not processed yet, and perhaps in a queue. Run `lab ledger` again; the reset after a run finds each one")
    if not account.intact:
        sys.exit(EXIT_NO_PASS)


@main.command()
@click.option("--runs", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the first run; each further one adds 1.")
@click.option("--only-hostile", is_flag=True, help="Hostile messages are the only disturbance; their effect is measured.")
@with_stack
def campaign(settings, stack, runs, seed, only_hostile) -> None:
    """Break the system at random, again and again, and check that nothing acknowledged is lost."""
    results = []
    path = settings.reports_dir / "campaign.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    for result in lab_campaign.campaign(settings, stack, range(seed, seed + runs), progress, only_hostile):
        console.print(campaign_report.line(result), soft_wrap=True)
        results.append(result)
        # After each run: a campaign that is ended early leaves what it has found.
        path.write_text("\n".join(campaign_report.table(results)) + "\n", encoding="utf-8")
    wrong = sum(not result.verdict.is_right for result in results)
    console.print(f"{len(results)} runs, {wrong} wrong; what was counted: {path}", soft_wrap=True)
    if wrong:
        sys.exit(EXIT_NO_PASS)


@main.command()
@click.argument("number", type=int)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("-o", "--output", type=click.File("w"), default="-", help="File to write, else standard output.")
def export(number, seed, output) -> None:
    """Write scenario NUMBER as a Chaos Toolkit experiment, for `chaos run`."""
    compiled = experiment.compile_experiment(scenarios.load(number, seed), seed)
    output.write(json.dumps(compiled, indent=2) + "\n")


@main.command()
def schema() -> None:
    """Write the JSON schema of scenario.yaml, for editors."""
    click.echo(json.dumps(scenarios.json_schema(), indent=2))


main.add_command(exam)


# -- authors --------------------------------------------------------------------------------


@main.command()
@click.argument("which", metavar="SCENARIO")
@click.option("--seed", type=int, default=fairness.SEED, show_default=True, help="Draw its parameters from this number.")
def check(which, seed) -> None:
    """Say what is unfair in SCENARIO (number or folder): its text, and how it plays. It takes some minutes."""
    said = fairness.check(authoring.find(which), seed, progress)
    for sentence in said:
        console.print(f"[red]unfair:[/red] {escape(sentence)}", soft_wrap=True)
    if said:
        sys.exit(EXIT_NO_PASS)
    console.print("[green]fair[/green]")


@main.command("new-scenario")
@click.argument("name")
@click.option("--title", help="What the list of scenarios shows; else it is made of NAME.")
@click.option("--tier", type=click.IntRange(1, 3), default=1, show_default=True)
def new_scenario(name, title, tier) -> None:
    """Write a folder for a new scenario, with the next free number; NAME is like slow-disk."""
    folder = authoring.new_scenario(name, title, tier)
    number = authoring.find(folder.name)
    console.print(f"wrote {folder.relative_to(scenarios.FOLDER.parent)}, which is valid as it is. Now, with "
                  f"scenarios/AUTHORING.md beside you:\n"
                  f"  1. say in scenario.yaml what breaks, and what the answer is\n"
                  f"  2. `make check SCENARIO={number}` plays it, and says what is unfair\n"
                  f"  3. write brief.md; play it yourself (`make scenario-{number}`), and write walkthrough.md from that",
                  soft_wrap=True)


@main.command()
@click.argument("numbers", nargs=-1, type=int)
@click.option("--passes", type=click.IntRange(1, 3), default=3, show_default=True)
@click.option("--seed", type=int, default=fairness.SEED, show_default=True, help="Of the parameters, and of the order.")
@click.option("--fresh", is_flag=True, help="Play again what has been played; else an interrupted proof goes on.")
def prove(numbers, passes, seed, fresh) -> None:
    """Prove scenarios fair (all, or NUMBERS): some minutes for each and each pass; writes scenarios/PROOF.md."""
    said = fairness.prove(numbers, passes, seed, fresh, progress)
    console.print("wrote scenarios/PROOF.md and prometheus/ALERTS.md; " + (
        f"[red]unfair or not played: {', '.join(map(str, said))}[/red]" if said else "[green]all is fair[/green]"))
    if said:
        sys.exit(EXIT_NO_PASS)


def _records() -> Records:
    return Records(lab_settings.load().run_dir)


def _findings(components: tuple[str, ...], causes: tuple[str, ...]) -> list[actions.Finding]:
    if max(len(components), len(causes)) > MAX_FINDINGS:
        raise LabError(f"an answer names at most {MAX_FINDINGS} faults")
    findings = [_finding(component, cause) for component, cause in zip_longest(components or [None], causes or [None])]
    if not components and not causes and click.confirm("another fault?", default=False):
        findings.append(_finding(None, None))
    return findings


def _finding(component: str | None, cause: str | None) -> actions.Finding:
    return {"component": _answer("component", component, COMPONENTS), "cause": _answer("cause", cause, CAUSES)}


def _answer(what: str, given: str | None, known: dict[str, str]) -> str:
    if given is None:
        if not sys.stdin.isatty():
            raise LabError(f"--{what} is missing; `lab answers` lists the choices")
        console.print(", ".join(known))
        given = click.prompt(what)
    actions.check_answer(what, given, known)
    return given


def _show_last_grade(settings, records) -> None:
    run = records.latest()
    content = reports.read_grade(settings, run) if run else None
    if content is None:
        raise LabError("there is no grade yet")
    if "incident" not in content:
        raise LabError(f"the last grade is of an older version: read {reports.folder(settings, run) / 'report.html'}")
    console.print(report.terminal(content))
    _exit_by(content)


def _exit_by(content: dict | None) -> None:
    if content and not content["grade"]["pass"]:
        sys.exit(EXIT_NO_PASS)


def _print_addresses(settings, services) -> None:
    table = Table(box=None, show_header=False)
    table.add_row("console", settings.console_url)
    table.add_row("producer", f"{settings.producer_url}/health")
    table.add_row("RabbitMQ management", f"{settings.management_url}  ({settings.rabbitmq_user})")
    table.add_row("Prometheus", settings.prometheus_url)
    table.add_row("Alertmanager", f"http://127.0.0.1:{settings.alertmanager_port}")
    for service, title, port in (("grafana", "Grafana", settings.grafana_port),
                                 ("locust", "Locust", settings.locust_port)):
        if service in services:
            table.add_row(title, f"http://127.0.0.1:{port}")
    console.print(table)


if __name__ == "__main__":
    main()
