"""The Docker engine and Compose, through their command lines: what they refuse becomes a LabError."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import IO

import yaml

from lab.errors import LabError
from lab.settings import ROOT, env_file
from lab.stack.compose.container import Container, environment

ANSWER_SECONDS = 10
# A command stops several containers, each with a grace period of up to 30 s.
COMMAND_SECONDS = 180
# Compose pulls and builds images: how long that takes, the network decides.
COMPOSE_SECONDS = 3600
LOG_LINES = "10"
# What the engine says when it cannot be used, and what a person can do about it.
_REMEDIES = {
    "permission denied while trying to connect":
        "this user may not use Docker: `sudo usermod -aG docker $USER` and log in again, or use sudo",
    "Cannot connect to the Docker daemon": "the Docker daemon does not run: start it (sudo systemctl start docker, "
                                           "or Docker Desktop)",
    "error during connect": "the Docker daemon does not run: start it (sudo systemctl start docker, or Docker Desktop)",
}
_OTHERWISE = "; or set LAB_STACK=native, which needs no Docker"


class Configuration(yaml.SafeLoader):
    """Compose 2 writes the values `=` and `<<` without quotes; YAML 1.1 gives them a meaning."""


for _tag in ("value", "merge"):
    Configuration.add_constructor(f"tag:yaml.org,2002:{_tag}", yaml.SafeLoader.construct_yaml_str)


def unusable() -> str | None:
    """Why no Docker engine with Compose can be used here, and what to do; None when one can."""
    if shutil.which("docker") is None:
        return "Docker is not installed: install Docker Engine with its Compose plugin" + _OTHERWISE
    try:
        answer = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], encoding="utf-8",
                                errors="replace", capture_output=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the Docker daemon does not answer within {ANSWER_SECONDS} s: restart it{_OTHERWISE}"
    if answer.returncode:
        return _explained(answer.stderr) + _OTHERWISE
    if compose_command() is None:
        return "Docker runs, but Compose is missing: install its plugin, or docker-compose" + _OTHERWISE
    return None


def run(*arguments: str) -> str:
    """`docker ...`; what it says. Raises LabError with what it complains of."""
    return _run(["docker", *arguments], {}, COMMAND_SECONDS)


def log_end(container: str) -> str:
    """The last lines of a container's log."""
    return _run(["docker", "logs", "--tail", LOG_LINES, container], {}, ANSWER_SECONDS, stderr=subprocess.STDOUT).rstrip()


def compose(*arguments: str, project: str, environment: Mapping[str, str], shown: bool = False) -> str:
    """`docker compose ...` of that project, with `environment` for the variables of docker-compose.yml.

    With `shown`, what it says goes to standard error: a pull or a build may take minutes, and must not fail because
    the reader of standard output leaves.
    Raises LabError with what it complains of.
    """
    output = sys.stderr if shown else subprocess.PIPE
    return _run(compose_argv(project, *arguments), environment, COMPOSE_SECONDS, stdout=output, stderr=output)


def compose_argv(project: str, *arguments: str) -> list[str]:
    command = compose_command()
    if command is None:
        raise LabError(unusable())
    settings = ["--env-file", str(env_file())] if env_file().exists() else []
    return [*command, *settings, "--project-name", project, *arguments]


def environments(project: str, environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What docker-compose.yml puts into the environment of each service, with the settings of now."""
    asked = compose("--profile", "*", "config", project=project, environment=environment)
    return {service: {key: str(value).replace("$$", "$") for key, value in wanted.get("environment", {}).items()
                      if value is not None}
            for service, wanted in yaml.load(asked, Configuration)["services"].items()}


def image_environments(images: Iterable[str]) -> dict[str, dict[str, str]]:
    """What each of these images, named by its id, puts into the environment of its containers."""
    return {one["Id"]: environment(one["Config"]) for one in json.loads(run("image", "inspect", *images))}


def containers(project: str) -> list[Container]:
    """Every container of that project, stopped ones included."""
    ids = run("ps", "--all", "--quiet", "--no-trunc", *_labelled(project, "container")).split()
    return [Container(inspected) for inspected in json.loads(run("inspect", *ids))] if ids else []


def remove_all(project: str) -> list[str]:
    """Remove every container, network and volume of that project, and nothing else; returns what went."""
    gone = []
    for kind, remove in (("container", ("rm", "--force", "--volumes")), ("network", ("network", "rm")),
                         ("volume", ("volume", "rm", "--force"))):
        everything = ("--all",) if kind == "container" else ()
        if ids := run(kind, "ls", *everything, "--quiet", *_labelled(project, kind)).split():
            run(*remove, *ids)
            gone.append(f"{len(ids)} {kind}{'s' * (len(ids) > 1)}")
    return gone


def remove_volumes(project: str, names: Iterable[str]) -> None:
    """Remove the volumes that docker-compose.yml calls so; no container may use them."""
    found = [id for name in names for id in run(
        "volume", "ls", "--quiet", *_labelled(project, "volume"),
        "--filter", f"label=com.docker.compose.volume={name}").split()]
    if found:
        run("volume", "rm", *found)


def in_network(project: str) -> dict[str, set[str]]:
    """Every container in the project's network, the lab's or not: its id, and the names by which others find it."""
    networks = run("network", "ls", "--quiet", *_labelled(project, "network")).split()
    inspected = json.loads(run("network", "inspect", *networks)) if networks else []
    ids = [id for network in inspected for id in network["Containers"] or {}]
    found = json.loads(run("inspect", *ids)) if ids else []
    return {one["Id"]: {one["Name"].lstrip("/"), *_aliases(one)} for one in found}


def _aliases(inspected: dict) -> set[str]:
    networks = inspected["NetworkSettings"]["Networks"].values()
    return {name for network in networks for field in ("Aliases", "DNSNames") for name in network.get(field) or []}


def _labelled(project: str, kind: str) -> list[str]:
    """The options that list what Compose, in either version, made for that project."""
    # Images have the project's label, too, and hand it on to any container that is made of them.
    labels = [f"com.docker.compose.project={project}", *(["com.docker.compose.config-hash"] * (kind == "container"))]
    return [word for label in labels for word in ("--filter", f"label={label}")]


@cache
def compose_command() -> list[str] | None:
    """How Compose is called here: as Docker's plugin, else by its older name; None where there is none."""
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
        return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


def _run(argv: list[str], environment: Mapping[str, str], timeout: float,
         stdout: int | IO[str] = subprocess.PIPE, stderr: int | IO[str] = subprocess.PIPE) -> str:
    command = " ".join(argv)
    try:
        process = subprocess.run(argv, cwd=ROOT, env=os.environ | environment, timeout=timeout, encoding="utf-8",
                                 errors="replace", stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    except subprocess.TimeoutExpired:
        raise LabError(f"`{command}` has not ended within {timeout} s: restart the Docker daemon") from None
    if process.returncode:
        said = "see above" if stdout is sys.stderr else _explained(process.stderr or process.stdout)
        raise LabError(f"`{command}` failed: {said}")
    return process.stdout or ""


def _explained(error: str) -> str:
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in error), None)
    return remedy or error.strip()[-1000:] or "it does not say why"
