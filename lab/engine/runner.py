"""Runs scenarios: from a healthy lab to a grade, or on from where a killed engine stopped."""

import logging
import time

from chaoslib.exceptions import ChaosException
from chaoslib.run import Runner
from chaoslib.types import Strategy

from lab import baseline, output, slo
from lab import settings as lab_settings
from lab import stack as stacks
from lab.console import daemon
from lab.engine import completion, experiment, reset, view
from lab.engine import scenario as scenarios
from lab.engine.record import Records, Run
from lab.errors import LabError
from lab.exclusive import exclusive
from lab.exam import exam as exams
from lab.exam.exam import Exam
from lab.exam.key import Key
from lab.prometheus import Prometheus
from lab.settings import LabSettings

# The slowest alert looks back two minutes.
STEADY_DEADLINE_SECONDS = 240
# After a disturbance: what is measured then has nothing of it, and this proves that it is over.
CLEAN_SECONDS = 10
TRAFFIC = "client:requests:rate30s"
POLL_SECONDS = 1.0


def run(number: int, seed: int | None, candidate: str | None = None) -> Run:
    """Run scenario `number` to its end, and return the record of it; its report names the `candidate`.

    A run of it whose engine is gone is taken up where it stopped. Raises LabError when another
    run is on, when the lab cannot be brought up, or when it is not in its steady state.
    """
    settings = lab_settings.load()
    scenario = scenarios.load(number, seed or 0)
    records = Records(settings.run_dir)
    active = records.active()
    if active is not None:
        _check_resumable(active, scenario, candidate)
        if active.state == "running":
            return resume(settings, records, active)
        drop(records)  # its engine died while it checked, or while it reset
    lab_settings.check_for_exercise()
    seed = experiment.new_seed() if seed is None else seed
    scenario = scenarios.load(number, seed)
    view.current().progress(f"scenario {scenario.number}, seed {seed}: bringing the lab up")
    _bring_up(settings)
    return _play(settings, records, experiment.compile_experiment(scenario, seed, candidate), Strategy.DEFAULT)


def run_exam(exam: Exam, key: Key) -> Run:
    """Run the exam to its end, and return the record of it; one whose engine is gone is taken up again instead.

    From here on this process holds the truth, and reads neither the key's file nor the scenario's again.
    Raises LabError as `run` does, and when the exam that is on was sealed with another key.
    """
    settings = lab_settings.load()
    records = Records(settings.run_dir)
    active = records.active()
    if active is not None:
        if active.sealed is None or active.engine_is_alive:
            raise _other_run(active)
        if active.state == "running":
            exams.hold(exams.opened(active.sealed, key), active.sealed, key)
            return resume(settings, records, active)
        drop(records)
    lab_settings.check_for_exercise()
    exams.hold(exam, exams.sealed(exam, key), key)
    view.current().progress("bringing the lab up")
    _bring_up(settings, blind=True)
    return _play(settings, records, experiment.compile_exam(exam.scenario), Strategy.DEFAULT)


def resume(settings: LabSettings, records: Records, run: Run) -> Run:
    """Take over a run whose engine is gone. Raises LabError when the lab is gone, too."""
    if not stacks.current(settings).is_up() or run.begun_at is None:
        raise LabError(f"run {run.id} cannot be taken up again, the lab went down with it: `lab reset` ends it")
    scenario = exams.scenario_of(run)
    view.current().progress(f"taking up run {run.id}")
    compiled = experiment.compile_exam(scenario) if run.sealed else experiment.compile_experiment(scenario, run.seed)
    return _play(settings, records, compiled, Strategy.AFTER_METHOD)


def drop(records: Records) -> None:
    """Bring the lab to its baseline; a run that is on ends without a grade."""
    run = records.active()
    with output.detached():
        # Ended first: an engine that still watches it must not grade the reset as a mitigation.
        if run is not None:
            records.set_state(run.id, "reset")
        reset.to_baseline(view.current().progress, run.settings_before if run else None)
        if run is not None and run.state == "graded" and not run.engine_is_alive:
            settings = lab_settings.load()
            completion.complete(settings, stacks.current(settings), records, run)


def restore_settings(settings: LabSettings) -> None:
    """Take back what a run that is on let the person change in the settings file, before its record goes."""
    if not (settings.run_dir / "lab.sqlite").exists():
        return
    try:
        run = Records(settings.run_dir).active()
    except LabError:
        return  # a damaged record remembers nothing
    if run is not None:
        lab_settings.env_file().write_text(run.settings_before, encoding="utf-8")


def _check_resumable(active: Run, scenario: scenarios.Scenario, candidate: str | None) -> None:
    if active.scenario != scenario.number or active.engine_is_alive:
        raise _other_run(active)
    if active.state == "running" and candidate not in (None, active.candidate):
        raise LabError(f"run {active.id} is on, and it is {active.candidate or 'nobody'}'s, not {candidate}'s: "
                       "take it up without another name, finish it (lab grade), or end it (lab reset)")


def _other_run(active: Run) -> LabError:
    where = "in another terminal" if active.engine_is_alive else "though its engine is gone"
    return LabError(f"run {active.id} of {active.about} is on, {where}: finish it (lab grade), or end it (lab reset)")


def _bring_up(settings: LabSettings, blind: bool = False) -> None:
    # Until the lab is up, the record does not know of the run.
    with exclusive(settings, "starting", "another run is being started, in another terminal or in the console"):
        _bring_up_alone(settings, blind)


def _bring_up_alone(settings: LabSettings, blind: bool) -> None:
    daemon.start(settings, view.current().progress)
    progress = view.current().progress
    stack = stacks.current(settings)
    # Restarting Toxiproxy cuts every connection, and a former run leaves alerts and spent error budgets: what the
    # candidate sees, and what the judge measures, begins after that.
    is_disturbed = stack.hide_control() if blind else stack.show_control()
    if stack.is_up():
        is_disturbed |= baseline.ensure(settings, stack, progress)  # what it finds may keep `up` from its end
    stack.up(progress)
    is_disturbed |= baseline.ensure(settings, stack, progress)
    if is_disturbed or Records(settings.run_dir).has_injected():
        progress("starting Prometheus and the judge without what they measured before")
        stack.forget_metrics(progress)
        _wait_for_steady_state(settings, CLEAN_SECONDS)
    else:
        _wait_for_steady_state(settings)


def _play(settings: LabSettings, records: Records, compiled: dict, strategy: Strategy) -> Run:
    errors = _log_to_file(settings)
    try:
        with output.detached("the run goes on without this output: `lab status` shows it, `lab grade` ends it"):
            journal = Runner(strategy).run(compiled, settings={})
    except ChaosException as error:
        raise LabError(f"Chaos Toolkit cannot run the scenario: {error}") from None
    run = records.latest()
    if run is None:
        raise LabError("the lab was cleaned meanwhile, and the run with it")
    if view.current().reset_wanted:
        drop(records)
        return records.get(run.id)
    if run.state == "aborted":
        raise LabError("the lab is not in its steady state, so nothing was injected: see `lab status`")
    if journal["status"] == "interrupted":
        view.current().progress(errors[-1] if errors else "the run was interrupted")
    return run


def _wait_for_steady_state(settings: LabSettings, clean_seconds: float = 0) -> None:
    """Until every SLO has been met, and no alert has fired, for so many seconds in which clients sent requests."""
    judge, prometheus = Prometheus(settings.judge_url), Prometheus(settings.prometheus_url)
    deadline = time.monotonic() + STEADY_DEADLINE_SECONDS
    started = last_report = clean_since = time.monotonic()
    while True:
        # An alert that still fires from before would be the candidate's red herring.
        unsteady = [f"{reading.slo.name} {reading.shown}"
                    for source in (judge, prometheus) for reading in slo.read(source) if not reading.holds]
        unsteady += [alert["labels"]["alertname"] for alert in prometheus.firing_alerts()]
        if clean_seconds and not judge.value(TRAFFIC):
            unsteady.append("no requests measured yet")
        now = time.monotonic()
        if unsteady:
            clean_since = now
        elif now - clean_since >= clean_seconds:
            return
        names = ", ".join(dict.fromkeys(unsteady)) or "SLOs met, to be confirmed"
        if now > deadline:
            raise LabError(f"the lab does not reach its steady state: {names}; see `lab status`, or `lab reset`")
        if now - last_report > 10:
            last_report = now
            view.current().progress(f"waiting for the steady state, {now - started:.0f} s: {names}")
        time.sleep(POLL_SECONDS)


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]):
        super().__init__(logging.CRITICAL)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def _log_to_file(settings: LabSettings) -> list[str]:
    """Send Chaos Toolkit's log to a file; returns the list that its fatal messages are put on."""
    fatal: list[str] = []
    logger = logging.getLogger("chaostoolkit")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    folder = settings.run_dir / "logs"
    folder.mkdir(exist_ok=True)
    file = logging.FileHandler(folder / "engine.log")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers = [file, _Collector(fatal)]
    return fatal
