"""What is said when Docker cannot be used, and which form of the stack `auto` takes; with a stand-in for docker."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import stack as stacks
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.compose import container, docker, stack

RUNS = 'case "$1" in version) echo 28.2.2 ;; compose) [ "$2" = version ] ;; esac'
NO_DAEMON = ('echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. '
             'Is the docker daemon running?" >&2; exit 1')
NO_RIGHT = ('echo "permission denied while trying to connect to the Docker daemon socket at '
            'unix:///var/run/docker.sock" >&2; exit 1')
NO_COMPOSE = '[ "$1" = version ]'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch) -> Callable[..., None]:
    """Puts programs on a PATH that has nothing else; gives what each one does."""
    monkeypatch.setenv("PATH", str(tmp_path))
    docker.compose_command.cache_clear()

    def put(**bodies: str) -> None:
        for name, body in bodies.items():
            path = tmp_path / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            path.chmod(0o755)

    yield put
    docker.compose_command.cache_clear()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., LabSettings]:
    return lambda **values: LabSettings(_env_file=None, lab_run_dir=tmp_path / "run", supervisor_port=1, **values)


def test_an_engine_with_compose_can_be_used(programs):
    programs(docker=RUNS)
    assert docker.unusable() is None


def test_the_older_compose_will_do(programs):
    programs(docker=NO_COMPOSE, docker_compose="")
    assert docker.unusable() is None
    assert docker.compose_argv("lab", "ps")[0] == "docker-compose"


@pytest.mark.parametrize(("bodies", "says"), [
    ({}, "Docker is not installed"),
    ({"docker": NO_DAEMON}, "the Docker daemon does not run: start it"),
    ({"docker": NO_RIGHT}, "this user may not use Docker: `sudo usermod -aG docker $USER`"),
    ({"docker": NO_COMPOSE}, "Compose is missing"),
    ({"docker": "echo 'gone wrong' >&2; exit 1"}, "gone wrong"),
])
def test_what_is_wrong_is_said_with_what_to_do(programs, settings, bodies, says):
    programs(**bodies)
    with pytest.raises(LabError) as caught:
        stacks.current(settings(lab_stack="compose"))
    assert says in str(caught.value)
    assert "LAB_STACK=native" in str(caught.value)


@pytest.mark.parametrize(("form", "body", "taken"), [
    ("auto", RUNS, "compose"), ("auto", NO_DAEMON, "native"), ("native", RUNS, "native"), ("compose", RUNS, "compose"),
])
def test_the_form_that_is_taken(programs, settings, form, body, taken):
    programs(docker=body)
    assert stacks.current(settings(lab_stack=form)).form == taken


def test_what_the_engine_refuses_is_an_error_with_its_words(programs):
    programs(docker="echo 'No such container: x' >&2; exit 1")
    with pytest.raises(LabError, match="`docker kill x` failed: No such container: x"):
        docker.run("kill", "x")


@pytest.mark.parametrize("value", ["=", "<<", "'0123'", "'null'", "'yes'"])
def test_a_value_with_a_meaning_in_yaml_is_read_as_it_is(programs, value):
    shown = f"services: {{a: {{environment: {{KEY: {value}}}}}}}"
    programs(docker=f"""case "$*" in *config*) echo "{shown}" ;; esac""")
    assert docker.environments("lab", {})["a"] == {"KEY": value.strip("'")}


def test_a_variable_that_is_not_set_is_not_in_the_environment():
    assert container.environment({"Env": ["SET=1", "EMPTY=", "NOT_SET"]}) == {"SET": "1", "EMPTY": ""}


@pytest.mark.parametrize(("folder", "name"), [
    ("sre-lab", "sre-lab"), ("My Lab 2", "mylab2"), ("_lab", "lab"), ("Übung", "bung"), ("лаб", r"sre-lab-[0-9a-f]+"),
])
def test_the_projects_name_is_one_that_compose_takes(monkeypatch, settings, folder, name):
    monkeypatch.setattr(stack, "ROOT", Path("/home") / folder)
    assert re.fullmatch(name, stack.project(settings()))
