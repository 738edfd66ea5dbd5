"""The stack in containers: `docker-compose.yml`, driven through Compose 1.29 or 2."""

import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack import addition, health, ports
from lab.stack.base import JUDGE, Progress, Status, check_consumers, check_open, no_end_in, unlike_usual
from lab.stack.compose import docker
from lab.stack.compose.container import Container
from lab.stack.compose.tunnel import Tunnel

# In the order of docker-compose.yml; the last two are there only while a fault runs them.
SERVICES = ["rabbitmq", "toxiproxy", "prometheus", JUDGE, "alertmanager", "grafana", "producer", "consumer", "consumer-port",
            "traffic", "locust", "legacy-importer", "partner"]
FAULTS = ["legacy-importer", "partner"]
WITH_LEDGER = {"traffic", "consumer", "locust", "partner"}
# And the volume in which each remembers; the judge has none.
WITH_HISTORY = {"prometheus": "prometheus-data", JUDGE: None, "alertmanager": "alertmanager-data"}
# What the grade is measured at, and what its metrics come from.
MEASURED = {"producer", "consumer", "traffic", "rabbitmq"}
TOXIPROXY_PORT = 8474  # in its container
UP_ATTEMPTS = 3


def project(settings: LabSettings) -> str:
    """Compose's name for this lab: COMPOSE_PROJECT_NAME, else by Compose's own rule that of the folder.

    A folder's name in another script leaves nothing of it; the number then tells two such clones apart.
    """
    return (settings.compose_project_name or re.sub(r"[^-_a-z0-9]", "", ROOT.name.lower()).lstrip("-_")
            or f"sre-lab-{zlib.crc32(str(ROOT).encode()):x}")


class ComposeStack:
    """See `Stack` for what each method does. Whoever makes one has seen to it that Docker can be used."""

    form = "compose"

    def __init__(self, settings: LabSettings):
        self._settings = settings
        self._project = project(settings)

    # -- the whole --------------------------------------------------------------------------

    def up(self, progress: Progress) -> None:
        self._check_ports()
        progress("starting the containers; images that are missing or out of date are pulled or built first")
        self._bring_up(len(self._containers("consumer")) or self._settings.lab_consumers, progress, shown=True)

    def down(self, progress: Progress) -> None:
        progress("stopping everything")
        self._wake(self._all())  # what is frozen would not hear that it is to stop
        self._compose("--profile", "faults", "down", "--remove-orphans")

    def reset(self, progress: Progress) -> None:
        self._on_each([one for one in self._all() if one.service in FAULTS], "rm", "--force")
        self._bring_up(self._settings.lab_consumers, progress)

    def differences(self) -> list[str]:
        # The images hold Prometheus' configuration, and nothing can be written to them.
        everything = self._all()
        consumers = [f"consumer-{number}" for number in range(1, self._settings.lab_consumers + 1)]
        usual = [name for name in SERVICES if name not in {"consumer", *FAULTS}] + consumers
        return [*unlike_usual([one.status() for one in everything], usual),
                *(f"{one.name}: runs with other settings than it would be started with now"
                  for one in self._stale([one for one in everything if one.lives and one.service not in FAULTS])),
                *self.impostors()]

    def clean(self, progress: Progress) -> None:
        for removed in docker.remove_all(self._project):
            progress(f"removed {removed}")

    def is_up(self) -> bool:
        return bool(self._all())

    def toxiproxy_address(self) -> tuple[str, int]:
        return self._tunnel.address

    def hide_control(self) -> bool:
        """Nothing to do: the containers' control API is published nowhere."""
        return False

    def show_control(self) -> bool:
        """See `hide_control`."""
        return False

    def forget_metrics(self, progress: Progress) -> None:
        self._need_up()
        found = [one for one in self._all() if one.service in WITH_HISTORY]
        self._wake(found)
        self._on_each(found, "rm", "--force")
        docker.remove_volumes(self._project, filter(None, WITH_HISTORY.values()))
        self._up_services(*WITH_HISTORY)
        self._wait_healthy(list(WITH_HISTORY), self._deadline(), progress)

    def impostors(self) -> list[str]:
        ours = {one.id for one in self._all()}
        return [f"another container answers as {', '.join(sorted(taken))}" for id, names in docker.in_network(self._project).items()
                if id not in ours and (taken := names & MEASURED)]

    def links(self) -> list[dict]:
        return json.loads((ROOT / "toxiproxy" / "links.json").read_text(encoding="utf-8"))

    def consumer_connections(self) -> set[str]:
        return {one.hostname for one in self._containers("consumer")}

    def ledger_dir(self) -> Path:
        holder = next((one for one in self._all() if one.service in WITH_LEDGER), None)
        if holder is None:
            raise LabError("no container is left that could hand over the ledger: run `make up`")
        folder = self._settings.ledger_dir
        folder.mkdir(parents=True, exist_ok=True)
        docker.run("cp", f"{holder.id}:/ledger/.", str(folder))
        return folder

    def status(self) -> list[Status]:
        return [one.status() for one in self._all()]

    def logs(self, service: str | None, follow: bool) -> Iterator[str]:
        following = ["--follow"] if follow else []
        found = self._resolve(service) if service else self._all()
        if len(found) == 1:
            argv = ["docker", "logs", *following, found[0].id]
        else:
            services = sorted({one.service for one in found}) if service else []
            argv = docker.compose_argv(self._project, "logs", "--no-color", *following, *services)
        process = subprocess.Popen(argv, cwd=ROOT, encoding="utf-8", errors="replace",
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            yield from (line.rstrip("\n") for line in process.stdout)
        finally:
            process.terminate()
            process.wait()

    # -- one service ------------------------------------------------------------------------

    def start(self, service: str, environment: Mapping[str, str] | None = None) -> None:
        if environment is not None:
            addition.remember(self._settings, service, environment)
        self._start(service)

    def stop(self, service: str) -> None:
        found = self._resolve(service)
        self._wake(found)
        self._on_each(found, "stop")

    def kill(self, service: str) -> None:
        # The engine does not start again what was killed on demand.
        self._on_each([one for one in self._resolve(service) if one.lives], "kill")

    def pause(self, service: str) -> None:
        self._on_each([one for one in self._resolve(service) if one.state == "running"], "pause")

    def resume(self, service: str) -> None:
        self._wake(self._resolve(service))

    def restart(self, service: str) -> None:
        self.stop(service)
        self._start(service)

    def scale(self, count: int) -> None:
        check_consumers(count)
        self._need_up()
        self._retire_above(count)
        self._up_services("--no-recreate", "--scale", f"consumer={count}", "consumer")
        self._wait_healthy([one.name for one in self._containers("consumer")], self._deadline())

    def load_page(self, workers: int) -> None:
        self._need_up()
        # One of the services, which is made anew only where its settings have changed.
        addition.remember(self._settings, "locust", {"LAB_LOAD_WORKERS": str(workers)})
        self._start("locust")

    def run_in(self, service: str, argv: list[str], timeout: float | None = None) -> int:
        check_open(service)
        [container, *_] = self._resolve(service)
        terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
        command = ["docker", "exec", "--interactive", *terminal, container.id, *argv]
        try:
            return subprocess.run(command, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            raise no_end_in(service, argv, timeout) from None

    # -- parts ------------------------------------------------------------------------------

    @cached_property
    def _tunnel(self) -> Tunnel:
        [container, *_] = self._resolve("toxiproxy")
        return Tunnel(container.id, TOXIPROXY_PORT)

    @property
    def _additions(self) -> dict[str, str]:
        """What was added to the variables of docker-compose.yml, by faults and for Locust's page."""
        return {key: value for service in [*FAULTS, "locust"]
                for key, value in addition.of(self._settings, service).items()}

    def _compose(self, *arguments: str, shown: bool = False) -> None:
        docker.compose(*arguments, project=self._project, environment=self._additions, shown=shown)

    def _bring_up(self, consumers: int, progress: Progress, shown: bool = False) -> None:
        self._wake(self._all())
        self._retire_above(consumers)
        for attempt in range(1, UP_ATTEMPTS + 1):
            try:
                self._compose("up", "--detach", "--build", "--scale", f"consumer={consumers}", shown=shown)
                break
            except LabError as error:
                # Compose gives up at once on a part that is unhealthy, though it may be about to recover.
                all_are_made = {*SERVICES} - {*FAULTS} <= {one.service for one in self._all()}
                if not all_are_made or attempt == UP_ATTEMPTS:
                    raise LabError(f"{error}{self._what_is_wrong()}") from None
                self._wait_healthy([one.name for one in self._all() if one.lives], self._deadline(), progress)
        # From now on: how long images take, the network decides.
        self._wait_healthy([one.name for one in self._all() if one.service not in FAULTS], self._deadline(), progress)

    def _start(self, service: str) -> None:
        """With the settings of now: containers whose settings have changed are made anew."""
        check_open(service)
        self._need_up()
        kind = service if service in SERVICES else "consumer"
        found = [one for one in self._containers(kind) if service in {one.name, kind}]
        if not found and service not in SERVICES:
            raise self._unknown(service)
        self._wake(found)
        if not found or self._stale(found):
            count = len(self._containers("consumer")) or self._settings.lab_consumers
            self._up_services(*(["--scale", f"consumer={count}"] if kind == "consumer" else []), kind)
        else:
            self._on_each([one for one in found if not one.lives], "start")
        self._wait_healthy([one.name for one in self._containers(kind)], self._deadline())

    def _stale(self, found: list[Container]) -> list[Container]:
        """Those that have another environment than they would be made with now."""
        if not found:
            return []
        wanted = docker.environments(self._project, self._additions)
        images = docker.image_environments({one.image for one in found})
        return [one for one in found if one.environment != images[one.image] | wanted[one.service]]

    def _up_services(self, *arguments: str) -> None:
        self._compose("--profile", "faults", "up", "--detach", "--no-deps", *arguments)

    def _retire_above(self, count: int) -> None:
        """Compose would choose by itself which consumers go, and leave consumer-3, say, as the only one."""
        surplus = [one for one in self._containers("consumer") if one.number > count]
        self._wake(surplus)
        self._on_each(surplus, "stop")
        self._on_each(surplus, "rm")

    def _wake(self, found: list[Container]) -> None:
        self._on_each([one for one in found if one.state == "paused"], "unpause")

    def _on_each(self, found: list[Container], *command: str) -> None:
        if found:
            docker.run(*command, *(one.id for one in found))

    def _all(self) -> list[Container]:
        return sorted((one for one in docker.containers(self._project) if one.service in SERVICES),
                      key=lambda one: (SERVICES.index(one.service), one.number))

    def _containers(self, service: str) -> list[Container]:
        return [one for one in self._all() if one.service == service]

    def _resolve(self, service: str) -> list[Container]:
        """Its containers. Raises LabError where it has none, or where no command may act on it."""
        check_open(service)
        self._need_up()
        found = [one for one in self._all() if service in {one.name, one.service}]
        if found:
            return found
        if service in SERVICES:
            raise LabError(f"{service} has no container: `lab start {service}`")
        raise self._unknown(service)

    def _unknown(self, service: str) -> LabError:
        names = dict.fromkeys(["consumer", *SERVICES, *(one.name for one in self._all())])
        return LabError(f"no service {service!r}; there is: {', '.join(names)}")

    def _need_up(self) -> None:
        if not self.is_up():
            raise LabError("the lab is not up: run `make up`")

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.lab_up_deadline

    def _wait_healthy(self, names: list[str], deadline: float, progress: Progress = lambda _: None) -> None:
        """Raises LabError with the last log lines of the first container that is not healthy in time."""
        for name in names:
            if self._problem(name) is None:
                continue
            problem = health.wait(lambda name=name: self._problem(name), deadline,
                                  lambda seconds, problem, name=name: progress(f"{name}: {problem} ({seconds:.0f} s)"))
            if problem:
                raise LabError(self._report(next(one for one in self._all() if one.name == name)))
            progress(f"{name} is healthy")

    def _problem(self, name: str) -> str | None:
        """What is wrong with it, or None. Raises LabError when waiting is of no use."""
        found = next((one for one in self._all() if one.name == name), None)
        if found is None:
            return "it has no container"
        if found.keeps_crashing:
            raise LabError(self._report(found))
        return found.problem

    def _what_is_wrong(self) -> str:
        """The containers that others wait for in vain, each with the end of its log."""
        return "".join(f"\n{self._report(one)}" for one in self._all() if one.problem and one.state != "starting")

    def _report(self, one: Container) -> str:
        return f"{one.name} is not healthy: {one.problem}; the end of its log:\n{docker.log_end(one.id)}"

    def _check_ports(self) -> None:
        """Only of what does not run: Docker holds the ports of the rest for us."""
        running = {one.service for one in self._all() if one.lives}
        settings = self._settings
        published = [
            ("rabbitmq", "RABBITMQ_PORT", settings.rabbitmq_port),
            ("rabbitmq", "RABBITMQ_MANAGEMENT_PORT", settings.rabbitmq_management_port),
            ("producer", "PRODUCER_PORT", settings.producer_port),
            ("consumer-port", "CONSUMER_PORT", settings.consumer_port),
            ("prometheus", "PROMETHEUS_PORT", settings.prometheus_port),
            (JUDGE, "JUDGE_PORT", settings.judge_port),
            ("alertmanager", "ALERTMANAGER_PORT", settings.alertmanager_port),
            ("grafana", "GRAFANA_PORT", settings.grafana_port),
            ("locust", "LOCUST_PORT", settings.locust_port),
        ]
        ports.check_free(one for one in published if one[0] not in running)
