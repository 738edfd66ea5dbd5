"""The native stack: real programs without Docker, under supervisord, all state in one run folder."""

import os
import re
import shutil
import signal
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack import addition, baseline, health, marked, ports
from lab.stack.base import (
    JUDGE,
    Progress,
    Status,
    check_consumers,
    check_open,
    no_end_in,
    unlike_usual,
)
from lab.stack.logs import log_file, tail
from lab.stack.native import control_address, logtail
from lab.stack.native.programs import (
    OLDEST_BROKER,
    RABBITMQ_BIN,
    Program,
    broker_environment,
    consumer_names,
    consumer_ports,
    grafana_is_installed,
    installed_broker_version,
    launched,
    links,
    load_page,
    programs,
)
from lab.stack.native.scraping import (
    PROMETHEUS,
    SCRAPERS,
    changed_files,
    judged_consumers,
    loaded_at,
    reload,
    write_configuration,
    write_targets,
    written_at,
)
from lab.stack.native.supervisor import LAUNCHER, RUNNING_STATES, Supervisor

# Started in this order: each group waits for the health of the one before.
INFRASTRUCTURE = ["epmd", "rabbitmq", "toxiproxy", "prometheus", JUDGE, "alertmanager", "grafana"]
# RabbitMQ passes its folder to a shell without quotes; supervisord's configuration gives `;` and `%` a meaning.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/ .,_+=@-]+")
# The broker's tools find it through epmd.
NEEDED_BY = {"rabbitmq": ["epmd"]}
# Each keeps what it remembers in a folder of its own.
WITH_HISTORY = [*SCRAPERS, "alertmanager"]
# What the grade is measured at.
MEASURED = ["producer", *consumer_names(), "traffic"]
STATE_DEADLINE_SECONDS = 60
STOPPED_STATES = {"STOPPED", "EXITED", "FATAL"}


class NativeStack:
    """See `Stack` for what each method does."""

    form = "native"

    def __init__(self, settings: LabSettings):
        self._settings = settings
        self._programs = programs(settings)
        self._supervisor = Supervisor(settings)
        self._infrastructure = [name for name in INFRASTRUCTURE if name != "grafana" or grafana_is_installed()]
        # And the consumers; the rest is started by faults.
        self._usual = [*self._infrastructure, "producer", "traffic"]

    # -- the whole --------------------------------------------------------------------------

    def up(self, progress: Progress) -> None:
        self._start_supervisor()
        self._bring_up(self._running_consumers() or self._default_consumers(), progress)

    def down(self, progress: Progress) -> None:
        if self._supervisor.is_running():
            progress("stopping everything")
            # The clients and services first, so that none loses its broker while it shuts down.
            self._stop_together([name for name in self._programs if name not in INFRASTRUCTURE])
            self._stop_together([name for name in INFRASTRUCTURE if name != "epmd"])
            self._stop_together(["epmd"])
            self._supervisor.shutdown()
        marked.kill(self._settings.run_dir)

    def reset(self, progress: Progress) -> None:
        if self._supervisor.is_running():
            if self._replaced(self._processes()):
                self.down(progress)  # the supervisor gets its own configuration again when it is started
            else:
                self._stop_unusual(progress)
        for name in [*self._usual, *consumer_names()]:
            addition.forget(self._settings, name)
        self._start_supervisor()
        self._bring_up(self._default_consumers(), progress)
        self._restore_watchers(progress)

    def _stop_unusual(self, progress: Progress) -> None:
        """Stop what usually does not run, or runs with other settings than it would be started with now."""
        wanted = {*self._usual, *self._default_consumers()}
        for info in self._rpc("getAllProcessInfo"):
            name = info["name"]
            if info["statename"] in RUNNING_STATES and (name not in wanted or self._is_stale(name)):
                progress(f"stopping {name}")
                self.stop(name)

    def differences(self) -> list[str]:
        if not self._supervisor.is_running():
            return ["the process supervisor does not run"]
        statuses, usual = self.status(), [*self._usual, *self._default_consumers()]
        alive = {one.name for one in statuses if one.pid}
        return [*unlike_usual(statuses, usual),
                *(f"{name}: runs with other settings than it would be started with now"
                  for name in usual if name in alive and self._is_stale(name)),
                *self._changed_watchers(), *self.impostors()]

    def clean(self, progress: Progress) -> None:
        killed = marked.kill(self._settings.run_dir)
        if killed:
            progress(f"killed {killed} processes")
        if self._settings.run_dir.exists():
            shutil.rmtree(self._settings.run_dir)
            progress(f"removed {self._settings.run_dir}")

    def is_up(self) -> bool:
        return self._supervisor.is_running()

    def toxiproxy_address(self) -> tuple[str, int]:
        return control_address.host(self._settings), self._settings.toxiproxy_port

    def hide_control(self) -> bool:
        control_address.hide(self._settings)
        return self._move_toxiproxy()

    def show_control(self) -> bool:
        return control_address.show(self._settings) and self._move_toxiproxy()

    def forget_metrics(self, progress: Progress) -> None:
        self._need_up()
        self._forget(WITH_HISTORY, progress)

    def impostors(self) -> list[str]:
        if not self._supervisor.is_running():
            return []
        groups, listeners = self._processes(), _listeners()
        foreign = judged_consumers(self._settings) - {
            f"127.0.0.1:{port}" for port in consumer_ports(self._settings, consumer_names()).values()}
        return [
            *(f"port {port}, at which {name} is measured, belongs to another process"
              for name in MEASURED for port in self._programs[name].ports.values()
              if any(not _is_in_group(pid, groups.get(name, 0)) for pid in listeners.get(port, ()))),
            *(f"{name} runs another program: its supervisor was given another configuration" for name in self._replaced(groups)),
            *(f"the judge was made to read a consumer at {address}" for address in sorted(foreign))]

    def _processes(self) -> dict[str, int]:
        """The process of each program, which supervisord makes the leader of a process group; 0 where there is none."""
        return {info["name"]: info["pid"] for info in self._rpc("getAllProcessInfo")}

    def _replaced(self, processes: dict[str, int]) -> list[str]:
        """Of the programs that are measured, those whose process runs something else."""
        return [name for name in MEASURED if processes.get(name)
                and not _runs(processes[name], self._programs[name].command(self._settings).argv, name)]

    def links(self) -> list[dict]:
        return links(self._settings)

    def consumer_connections(self) -> set[str]:
        return set(consumer_names())  # that more of them run than usual is a difference of its own

    def ledger_dir(self) -> Path:
        return self._settings.ledger_dir

    def status(self) -> list[Status]:
        if not self._supervisor.is_running():
            return []
        usual = {*self._usual, *self._default_consumers()}
        return [self._status_of(info) for info in self._in_order(self._rpc("getAllProcessInfo"))
                if info["name"] in usual or info["statename"] != "STOPPED"]

    def logs(self, service: str | None, follow: bool) -> Iterator[str]:
        names = self._resolve(service, running_only=False) if service else list(self._programs)
        files = {name: log_file(self._settings, name) for name in names}
        return logtail.lines({name: path for name, path in files.items() if path.exists()}, follow)

    # -- one service ------------------------------------------------------------------------

    def start(self, service: str, environment: Mapping[str, str] | None = None) -> None:
        names = self._resolve(service)
        if environment is not None:
            for name in names:
                addition.remember(self._settings, name, environment)
        self._start_each(names)

    def stop(self, service: str) -> None:
        for name in self._resolve(service):
            self._signal_group(name, signal.SIGCONT)
            if self._state(name) in RUNNING_STATES:
                self._rpc("stopProcess", name, False)
            self._wait_state(name, STOPPED_STATES)
        self._targets()

    def kill(self, service: str) -> None:
        for name in self._resolve(service):
            # Frozen first: it cannot act on the SIGTERM by which the supervisor learns that the
            # death is wanted, so that it does not start it again.
            self._signal_group(name, signal.SIGSTOP)
            if self._state(name) in RUNNING_STATES:
                self._rpc("stopProcess", name, False)
            self._signal_group(name, signal.SIGKILL)
            self._wait_state(name, STOPPED_STATES)

    def pause(self, service: str) -> None:
        for name in self._resolve(service):
            self._signal_group(name, signal.SIGSTOP)

    def resume(self, service: str) -> None:
        for name in self._resolve(service):
            self._signal_group(name, signal.SIGCONT)

    def restart(self, service: str) -> None:
        names = self._resolve(service)
        for name in names:
            self.stop(name)
        self._start_each(names)

    def scale(self, count: int) -> None:
        check_consumers(count)
        self._need_up()
        wanted = consumer_names(count)
        for name in self._running_consumers():
            if name not in wanted:
                self.stop(name)
        self._start_each(wanted)

    def load_page(self, workers: int) -> None:
        self._need_up()
        settings = self._settings
        ports.check_free([("Locust's page", "LOCUST_PORT", settings.locust_port),
                          ("its workers", "LOCUST_MASTER_PORT", settings.locust_master_port)])
        command = load_page(settings, workers)
        os.chdir(ROOT)
        os.execvpe(command.argv[0], command.argv,
                   os.environ | command.environment | {marked.MARK: str(settings.run_dir)})

    def run_in(self, service: str, argv: list[str], timeout: float | None = None) -> int:
        check_open(service)
        self._resolve(service, running_only=False)
        environment = dict(os.environ)
        if service == "rabbitmq":
            environment |= broker_environment(self._settings)
            environment["PATH"] = f"{RABBITMQ_BIN}:{environment['PATH']}"
        try:
            return subprocess.run(argv, env=environment, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            raise no_end_in(service, argv, timeout) from None
        except OSError as error:
            raise LabError(f"cannot run {argv[0]}: {error.strerror}") from None

    # -- parts ------------------------------------------------------------------------------

    def _start_supervisor(self) -> None:
        self._check_broker_version()
        self._check_run_dir()
        if self._supervisor.is_running():
            return
        # What a killed supervisor left behind would hold the ports.
        marked.kill(self._settings.run_dir)
        ports.check_free(
            (name, setting, port)
            # Only the first consumer is sure to run; the others are checked when they start.
            for name in [*self._usual, "consumer-1"]
            for setting, port in self._programs[name].ports.items())
        self._settings.ledger_dir.mkdir(parents=True, exist_ok=True)
        self._baseline_mark.unlink(missing_ok=True)
        self._supervisor.start(self._programs.values())

    @property
    def _baseline_mark(self) -> Path:
        return self._settings.run_dir / "broker-has-its-baseline"

    def _bring_up(self, consumers: list[str], progress: Progress) -> None:
        deadline = time.monotonic() + self._settings.lab_up_deadline
        self._start_and_wait(self._infrastructure, deadline, progress)
        if not self._baseline_mark.exists():
            # Only once: a later `up` must not undo what was done to the broker since.
            baseline.apply_user(self._settings, self)
            baseline.apply_broker(self._settings)
            self._baseline_mark.touch()
        write_targets(self._settings, consumer_ports(self._settings, consumers))
        self._start_and_wait(["producer", *consumers], deadline, progress)
        self._start_and_wait(["traffic"], deadline, progress)

    def _forget(self, names: list[str], progress: Progress) -> None:
        """Restart them without what they remember."""
        self._stop_together(names)
        for name in names:
            shutil.rmtree(self._settings.run_dir / f"{name}-data", ignore_errors=True)
        self._start_and_wait(names, time.monotonic() + self._settings.lab_up_deadline, progress)

    def _changed_watchers(self) -> list[str]:
        """What they have loaded is known by when: since then, no file may have changed."""
        return self._changed_files() or [f"{program}: has not loaded its configuration since that was changed"
                                         for program in self._configurations if not self._has_loaded(program)]

    def _restore_watchers(self, progress: Progress) -> None:
        if self._changed_files():
            for name in SCRAPERS:
                write_configuration(self._settings, name)
        for program in self._configurations:
            if not self._has_loaded(program):
                if program == JUDGE:  # which loads nothing on demand; what it measured by other rules is worth nothing
                    self._forget([JUDGE], progress)
                else:
                    reload(self._url(program))

    def _has_loaded(self, program: str) -> bool:
        kind = PROMETHEUS if program == JUDGE else program
        return loaded_at(self._url(program), kind) >= written_at(*self._configurations[program])

    def _changed_files(self) -> list[str]:
        return changed_files(self._settings, consumer_ports(self._settings, self._default_consumers()))

    @property
    def _configurations(self) -> dict[str, list[Path]]:
        """The files and folders that each of them loads."""
        folders = {name: self._settings.run_dir / name for name in SCRAPERS}
        return {name: [folder / "prometheus.yml", folder / "rules"] for name, folder in folders.items()} | {
            "alertmanager": [ROOT / "prometheus" / "alertmanager.yml"]}

    def _url(self, program: str) -> str:
        return f"http://127.0.0.1:{next(iter(self._programs[program].ports.values()))}"

    def _move_toxiproxy(self) -> bool:
        """Let it listen at its present address; returns whether it was running."""
        self._programs = programs(self._settings)
        is_running = self._supervisor.is_running() and self._state("toxiproxy") in RUNNING_STATES
        if is_running:
            self.restart("toxiproxy")
        return is_running

    def _rpc(self, method: str, *arguments):
        try:
            return getattr(self._supervisor.rpc, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise LabError(f"{method} {' '.join(map(str, arguments))}: {fault.faultString}") from None
        except OSError as error:
            raise LabError(f"the process supervisor does not answer ({error}): run `make up`") from None

    def _need_up(self) -> None:
        if not self._supervisor.is_running():
            raise LabError("the lab is not up: run `make up`")

    def _resolve(self, service: str, running_only: bool = True) -> list[str]:
        if running_only:
            check_open(service)
            self._need_up()
        if service == "consumer":
            names = self._running_consumers() if self._supervisor.is_running() else []
            return names or self._default_consumers()
        if service not in self._programs:
            raise LabError(f"no service {service!r}; there is: consumer, {', '.join(self._programs)}")
        return [service]

    def _running_consumers(self) -> list[str]:
        """The consumers that are meant to run: running, or dead without having been stopped."""
        if not self._supervisor.is_running():
            return []
        return [info["name"] for info in self._in_order(self._rpc("getAllProcessInfo"))
                if info["name"].startswith("consumer-") and info["statename"] != "STOPPED"]

    def _default_consumers(self) -> list[str]:
        return consumer_names(self._settings.lab_consumers)

    def _is_stale(self, name: str) -> bool:
        """Whether the program runs with other settings than it would be started with now."""
        # Only a fault adds something, and only to what usually does not run.
        if addition.of(self._settings, name):
            return True
        return launched(self._settings, name) != self._programs[name].command(self._settings).as_dict()

    def _in_order(self, infos: list[dict]) -> list[dict]:
        order = list(self._programs)
        return sorted(infos, key=lambda info: order.index(info["name"]))

    def _state(self, name: str) -> str:
        return self._rpc("getProcessInfo", name)["statename"]

    def _start(self, name: str) -> None:
        if self._state(name) not in {"RUNNING", "STARTING"}:
            self._rpc("startProcess", name, False)

    def _start_each(self, names: list[str]) -> None:
        """Start them and what they need, update Prometheus' targets, and wait for each at most its own time."""
        names = [one for name in names for one in [*NEEDED_BY.get(name, []), name]]
        for name in names:
            self._signal_group(name, signal.SIGCONT)
            self._start(name)
        self._targets()
        longest = max((self._programs[name].start_wait for name in names), default=0)
        self._wait_healthy(names, time.monotonic() + longest)

    def _wait_state(self, name: str, states: set[str]) -> None:
        deadline = time.monotonic() + STATE_DEADLINE_SECONDS
        while self._state(name) not in states:
            if time.monotonic() > deadline:
                raise LabError(f"{name} stays {self._state(name)}")
            time.sleep(0.05)

    def _signal_group(self, name: str, number: signal.Signals) -> None:
        """Signal the program's process group: supervisord makes each program a group of its own."""
        pid = self._rpc("getProcessInfo", name)["pid"]
        if pid:
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                pass

    def _stop_together(self, names: list[str]) -> None:
        running = [name for name in names if self._state(name) in RUNNING_STATES]
        for name in running:
            self._signal_group(name, signal.SIGCONT)
            self._rpc("stopProcess", name, False)
        for name in running:
            self._wait_state(name, STOPPED_STATES)

    def _targets(self) -> None:
        write_targets(self._settings, consumer_ports(self._settings, self._running_consumers()))

    def _start_and_wait(self, names: list[str], deadline: float, progress: Progress) -> None:
        for name in names:
            self._signal_group(name, signal.SIGCONT)
            self._start(name)
        self._wait_healthy(names, deadline, progress)

    def _wait_healthy(self, names: list[str], deadline: float, progress: Progress = lambda _: None) -> None:
        """Raises LabError with the last log lines of the first part that is not healthy in time."""
        for name in names:
            if self._problem(name) is None:
                continue
            problem = health.wait(
                lambda name=name: self._problem(name), deadline,
                lambda seconds, problem, name=name: progress(f"{name}: {problem} ({seconds:.0f} s)"))
            if problem:
                raise LabError(f"{name} is not healthy: {problem}; the end of its log:\n"
                               f"{tail(log_file(self._settings, name))}")
            progress(f"{name} is healthy")

    def _problem(self, name: str) -> str | None:
        """What is wrong with the program, or None. Raises LabError when waiting is of no use."""
        info = self._rpc("getProcessInfo", name)
        if info["statename"] == "FATAL":
            raise LabError(f"{name} does not start; the end of its log:\n"
                           f"{tail(log_file(self._settings, name))}")
        if info["statename"] not in {"RUNNING", "STARTING"}:
            return f"is {info['statename'].lower()}"
        url = self._programs[name].health_url
        return health.check(url) if url else None

    def _status_of(self, info: dict) -> Status:
        name, state = info["name"], info["statename"]
        shown = {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "failed", "FATAL": "failed",
                 "EXITED": "failed", "STOPPED": "stopped", "STOPPING": "stopping"}.get(state, state.lower())
        if info["pid"] and _is_frozen(info["pid"]):
            shown = "paused"
        url = self._programs[name].health_url
        problem = health.check(url, timeout=1) if url and shown in {"running", "starting"} else None
        if shown == "starting" and url and problem is None:
            shown = "running"  # the supervisor waits a little longer to be sure
        return Status(
            name=name, state=shown, pid=info["pid"] or None,
            uptime_seconds=info["now"] - info["start"] if info["pid"] else None,
            healthy=(problem is None if url else None) if shown == "running" else False,
            detail=problem or self._where(self._programs[name]))

    def _where(self, program: Program) -> str:
        return " ".join(str(port) for port in program.ports.values())

    def _check_run_dir(self) -> None:
        if not PLAIN_PATH.fullmatch(str(self._settings.run_dir)):
            raise LabError(f"RabbitMQ cannot run in {self._settings.run_dir}: set LAB_RUN_DIR in .env to a folder whose "
                           "path has only unaccented letters, digits, spaces and / . , _ + = @ -")

    def _check_broker_version(self) -> None:
        if not (RABBITMQ_BIN / "rabbitmq-server").exists():
            raise LabError("RabbitMQ is not installed: run `make setup`")
        version = installed_broker_version()
        if version < OLDEST_BROKER:
            raise LabError(f"RabbitMQ {'.'.join(map(str, version))} is too old: the lab needs "
                           f"{'.'.join(map(str, OLDEST_BROKER))} or newer "
                           "(at-least-once dead-lettering of quorum queues)")


def _listeners() -> dict[int, set[int | None]]:
    """For each TCP port, the ids of the processes that listen there; None for a process of another user."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # macOS
        return {}
    found: dict[int, set[int | None]] = {}
    for one in connections:
        if one.status == psutil.CONN_LISTEN:
            found.setdefault(one.laddr.port, set()).add(one.pid)
    return found


def _is_in_group(pid: int | None, group: int) -> bool:
    try:
        return pid is not None and os.getpgid(pid) == group
    except ProcessLookupError:  # it has just ended
        return True


def _runs(pid: int, argv: list[str], name: str) -> bool:
    """Whether the process runs that command, or is about to; True where it has ended, or may not be looked at."""
    try:
        process = psutil.Process(pid)
        found, of_supervisor = process.cmdline(), psutil.Process(process.ppid()).cmdline()
    except psutil.Error:
        return True
    if found in ([], of_supervisor):  # it has ended, or not begun
        return True
    # Its interpreter may be named by another link.
    return os.path.realpath(found[0]) == os.path.realpath(argv[0]) and found[1:] in (argv[1:], ["-m", LAUNCHER, name])


def _is_frozen(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
