"""scripts/setup and the Makefile, in a clone of their own, with stand-ins for what installs things."""

import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from lab.settings import ROOT
from tests.conftest import wait_until

# All that the scripts call, but for the stand-ins below.
REAL_PROGRAMS = ("awk cat chmod cksum cp cut date dirname env flock grep head ls make mkdir mv readlink rm sed sh "
                 "sleep sort tail tr").split()
FILES = ("scripts/setup", "scripts/clean", "Makefile", "requirements.txt", "pyproject.toml", ".env.example")

NOTE_CALL = 'echo "${0##*/} $*" >>"$CALLS"\n'
STAND_INS = {
    "id": 'echo "${TEST_UID:-1000}"\n',
    "prometheus": "", "promtool": "", "alertmanager": "", "rabbitmq-server": "",
    # Both the machine's Python and the one in .venv: it makes .venv, and notes what else is asked.
    "python3": NOTE_CALL + """
        case "$1 $2" in
            "-c import sys; sys.exit"*) exit "${TEST_PYTHON_IS_OLD:-0}" ;;
            "-m venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$STAND_INS/lab" .venv/bin/lab ;;
            "-m pip") exit "${TEST_PIP_STATUS:-0}" ;;
            "-m lab.stack.native.toxiproxy_build") mkdir -p .lab/tools; echo auto >.lab/tools/toxiproxy-standin ;;
        esac
    """,
    "lab": 'for word; do echo "[$word]"; done\n',
    # Installs Prometheus, which has a service; says whether services may start meanwhile.
    "apt-get": NOTE_CALL + """
        case $* in
            *--simulate*) echo "Inst prometheus (2.42 Debian:12 [amd64])"; exit ;;
            *" install "*)
                [ ! -x "$SETUP_POLICY" ] || "$SETUP_POLICY" prometheus start
                echo "policy $?" >>"$CALLS"
                echo "umask $(umask)" >>"$CALLS"
                [ -z "${TEST_APT_WAITS_FOR:-}" ] || until [ -e "$TEST_APT_WAITS_FOR" ]; do sleep 0.1; done
                [ "${TEST_APT_STATUS:-0}" -eq 0 ] || exit "$TEST_APT_STATUS"
                for name in prometheus promtool; do cp "$STAND_INS/true" "$STAND_INS/$name"; done ;;
        esac
    """,
    "true": "",
    "dpkg": '[ "$1" != -L ] || echo "/lib/systemd/system/$2.service"\n',
    "systemctl": NOTE_CALL,
    "deb-systemd-helper": NOTE_CALL,
}


class Machine:
    """A clone in a folder with an awkward name, and the only PATH that its set-up sees."""

    def __init__(self, folder: Path):
        self.clone = folder / "it's a clone"
        self.programs = folder / "programs"
        self.calls_file = folder / "calls"
        self.policy = folder / "policy-rc.d"
        self.programs.mkdir()
        self.calls_file.touch()
        for name in FILES:
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.clone / name)
        for name in REAL_PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name))
        for name, body in STAND_INS.items():
            self.add(name, body)
        self.environment = {"PATH": str(self.programs), "STAND_INS": str(self.programs), "HOME": str(folder),
                            "CALLS": str(self.calls_file), "SETUP_POLICY": str(self.policy)}

    def add(self, program: str, body: str = "") -> None:
        path = self.programs / program
        path.write_text("#!/bin/sh\n" + body, encoding="utf-8")
        path.chmod(0o755)

    def lacks(self, *programs: str) -> None:
        for program in programs:
            (self.programs / program).unlink()

    def start(self, *command: str, stdin=subprocess.DEVNULL, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(command or [self.clone / "scripts/setup"], cwd=self.clone, encoding="utf-8", stdin=stdin,
                                env=self.environment | environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def run(self, *command: str, status: int = 0, **environment: str) -> str:
        """Run set-up, or another command, to its end; gives what it said."""
        with self.start(*command, **environment) as process:
            try:
                output, _ = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == status, output
        return output

    def calls(self, program: str) -> list[str]:
        return [line for line in self.calls_file.read_text(encoding="utf-8").splitlines() if line.startswith(program + " ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def bare_machine(machine: Machine) -> Machine:
    """One without Prometheus, where set-up is root."""
    machine.lacks("prometheus", "promtool")
    machine.environment["TEST_UID"] = "0"
    return machine


class TestTwice:
    def test_the_second_call_does_and_says_nothing(self, machine):
        assert "installing Python packages" in machine.run()
        machine.calls_file.write_text("", encoding="utf-8")

        assert machine.run() == ""
        assert machine.calls_file.read_text(encoding="utf-8") == ""

    def test_two_at_once_do_it_once(self, machine):
        both = [machine.start(), machine.start()]

        assert all(process.wait(timeout=60) == 0 for process in both)
        assert len([call for call in machine.calls("python") if "-m pip" in call]) == 1

    def test_env_is_made_but_never_overwritten(self, machine):
        machine.run()
        env = machine.clone / ".env"
        assert env.read_text(encoding="utf-8") == (machine.clone / ".env.example").read_text(encoding="utf-8")

        env.write_text("RABBITMQ_PORT=1234\n", encoding="utf-8")
        machine.run()
        assert env.read_text(encoding="utf-8") == "RABBITMQ_PORT=1234\n"


class TestVirtualEnvironment:
    def test_what_is_pinned_is_installed(self, machine):
        machine.run()
        [install] = [call for call in machine.calls("python") if call.startswith("python -m pip install ")]
        assert install.endswith(" -r requirements.txt")

    def test_changed_requirements_are_installed_into_the_same_one(self, machine):
        machine.run()
        (machine.clone / ".venv" / "mine").touch()
        with (machine.clone / "requirements.txt").open("a", encoding="utf-8") as file:
            file.write("# changed\n")

        assert "installing Python packages" in machine.run()
        assert (machine.clone / ".venv" / "mine").exists()
        assert machine.run() == ""

    def test_an_install_that_failed_begins_anew(self, machine):
        assert "pip could not install" in machine.run(status=1, TEST_PIP_STATUS="1")
        (machine.clone / ".venv" / "half-made").touch()

        machine.run()
        assert not (machine.clone / ".venv" / "half-made").exists()

    def test_a_moved_clone_gets_a_new_one(self, machine):
        machine.run()
        machine.clone = machine.clone.rename(machine.clone.with_name("moved"))

        assert "making the virtual environment" in machine.run()

    def test_another_python_is_taken_when_asked_for(self, machine):
        machine.run()
        machine.add("python3.12", (machine.programs / "python3").read_text(encoding="utf-8"))

        assert "making the virtual environment" in machine.run(PYTHON="python3.12")
        assert machine.run() == "", "the choice is kept"

    def test_a_python_that_is_too_old_is_named(self, machine):
        machine.add("my-python", "exit 1")

        assert "Python 3.11 or newer is needed, and none is found as: my-python" in \
            machine.run(status=1, PYTHON="my-python")

    def test_nothing_is_written_outside_the_clone(self, machine, tmp_path):
        before = set(tmp_path.iterdir())
        machine.run()
        assert set(tmp_path.iterdir()) == before


class TestToxiproxy:
    def test_a_changed_setting_is_looked_at_again(self, machine):
        machine.run()
        machine.calls_file.write_text("", encoding="utf-8")

        machine.run(LAB_TOXIPROXY="real")
        assert machine.calls("python") == ["python -m lab.stack.native.toxiproxy_build"]

    def test_make_setup_tries_again(self, machine):
        machine.run()
        machine.calls_file.write_text("", encoding="utf-8")

        assert "everything is set up" in machine.run("make", "setup")
        assert machine.calls("python") == ["python -m lab.stack.native.toxiproxy_build"]


def test_no_program_or_option_is_needed_that_only_gnu_or_linux_has(machine):
    machine.lacks("flock", "readlink")
    machine.add("readlink", f'case $1 in -*) exit 1 ;; esac\nexec {shutil.which("readlink")} "$1"\n')
    machine.run()
    machine.calls_file.write_text("", encoding="utf-8")

    assert machine.run() == ""
    assert machine.calls_file.read_text(encoding="utf-8") == ""


class TestWithoutRights:
    def line(self, machine: Machine) -> str:
        path = str(machine.clone / "scripts/setup").replace("'", "'\\''")
        return f"sh '{path}' packages prometheus\n"

    def test_the_exact_line_is_printed(self, machine):
        machine.lacks("prometheus")

        output = machine.run(status=1)
        assert f"\n    {self.line(machine)}" in output
        assert "apt-get install -y --no-install-recommends prometheus" in output
        assert machine.calls("apt-get") == []

    def test_sudo_is_not_called_where_nobody_can_be_asked(self, machine):
        machine.lacks("promtool")
        machine.add("sudo", NOTE_CALL)

        assert f"\n    sudo {self.line(machine)}" in machine.run(status=1)
        assert machine.calls("sudo") == []

    def test_no_debian(self, machine):
        machine.lacks("prometheus", "rabbitmq-server", "apt-get")
        if Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
            expected = "cannot install them: prometheus."
        else:
            expected = "cannot install them: rabbitmq-server prometheus."

        assert expected in machine.run(status=1)

    @pytest.mark.racing
    @pytest.mark.parametrize("answer, status", [("y", 0), ("n", 1), ("", 1)])
    def test_sudo_is_called_only_when_the_person_agrees(self, machine, answer, status):
        machine.lacks("prometheus")
        machine.add("sudo", NOTE_CALL + 'TEST_UID=0 exec "$@"\n')
        controller, terminal = pty.openpty()
        os.write(controller, f"{answer}\n".encode())

        process = subprocess.run([machine.clone / "scripts/setup"], env=machine.environment, stdin=terminal,
                                 stdout=terminal, stderr=terminal, timeout=60)
        os.close(terminal)

        assert process.returncode == status
        assert len(machine.calls("sudo")) == (1 if answer == "y" else 0)
        assert "run it now? [y/N]" in all_output(controller)


def all_output(controller: int) -> str:
    """What was written to a terminal that is closed: one read may give a part of it."""
    pieces = []
    with open(controller, "rb", buffering=0) as file, suppress(OSError):  # EIO is the end
        while piece := file.read(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


class TestPackages:
    def test_no_service_starts_meanwhile_or_stays_enabled(self, bare_machine):
        bare_machine.run()

        assert "policy 101" in bare_machine.calls("policy")
        assert not bare_machine.policy.exists()
        assert [call for call in bare_machine.calls("systemctl") if call.endswith(" prometheus.service")]

    def test_only_what_is_missing_is_asked_of_apt(self, bare_machine):
        bare_machine.run()

        (install,) = [call for call in bare_machine.calls("apt-get") if " -y " in call]
        assert install.endswith("install -y --no-install-recommends --no-remove prometheus")

    def test_what_is_installed_is_for_every_user_of_the_machine(self, bare_machine):
        bare_machine.run("sh", "-c", "umask 077; scripts/setup")

        assert bare_machine.calls("umask") == ["umask 0022"]

    def test_somebody_elses_policy_is_left_alone(self, bare_machine):
        bare_machine.policy.write_text("#!/bin/sh\nexit 104\n", encoding="utf-8")
        bare_machine.policy.chmod(0o755)

        bare_machine.run()
        assert bare_machine.policy.read_text(encoding="utf-8") == "#!/bin/sh\nexit 104\n"

    def test_apts_reason_is_shown_and_the_policy_goes(self, bare_machine):
        output = bare_machine.run(status=1, TEST_APT_STATUS="100")

        assert "apt-get could not install: prometheus" in output
        assert not bare_machine.policy.exists()

    def test_a_killed_set_up_is_taken_up_by_the_next(self, bare_machine, tmp_path):
        go_on = tmp_path / "go-on"
        killed = bare_machine.start(TEST_APT_WAITS_FOR=str(go_on))
        wait_until(lambda: bare_machine.calls("policy"), what="apt's work")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert bare_machine.policy.exists(), "what still runs must not start services"

        following = bare_machine.start()
        go_on.touch()
        output, _ = following.communicate(timeout=60)

        assert following.returncode == 0, output
        assert not bare_machine.policy.exists()
        assert [call for call in bare_machine.calls("systemctl") if call.endswith(" prometheus.service")]
        assert bare_machine.run() == ""

    def test_a_policy_left_behind_goes_though_nothing_is_missing(self, machine):
        machine.run()
        machine.policy.write_text("#!/bin/sh\n# Made by the set-up of sre-lab (process 999999999), so\nexit 101\n", encoding="utf-8")

        machine.run(TEST_UID="0")
        assert not machine.policy.exists()


class TestContainers:
    """Where the lab runs in containers, the machine itself needs none of its programs."""

    def test_only_python_packages_are_installed(self, bare_machine):
        bare_machine.add("docker")
        bare_machine.run(TEST_UID="0")
        assert not bare_machine.calls("apt-get")
        assert bare_machine.calls("python3")
        assert not (bare_machine.clone / ".lab" / "tools").exists()
        assert (bare_machine.clone / ".env").exists()
        assert bare_machine.run(TEST_UID="0") == ""

    @pytest.mark.parametrize("docker", ["exit 1", '[ "$1" = version ]'], ids=["no daemon", "no Compose"])
    def test_an_engine_that_cannot_be_used_does_not_count(self, bare_machine, docker):
        bare_machine.add("docker", docker)
        bare_machine.run(TEST_UID="0")
        assert bare_machine.calls("apt-get")

    def test_the_older_compose_will_do(self, bare_machine):
        bare_machine.add("docker", '[ "$1" = version ]')
        bare_machine.add("docker-compose")
        bare_machine.run(TEST_UID="0")
        assert not bare_machine.calls("apt-get")

    def test_the_native_stack_can_be_asked_for(self, bare_machine):
        bare_machine.add("docker")
        bare_machine.run(TEST_UID="0", LAB_STACK="native")
        assert bare_machine.calls("apt-get")

    def test_clean_without_venv_removes_only_what_compose_made_here(self, machine):
        machine.add("docker", NOTE_CALL + 'case "$*" in *ls*|*ps*) echo "${1}-id" ;; esac')
        machine.run("make", "clean")
        assert machine.calls("docker")[1:] == [
            "docker ps --all --quiet --filter label=com.docker.compose.project=itsaclone"
            " --filter label=com.docker.compose.config-hash",
            "docker rm --force ps-id",
            "docker network ls --quiet --filter label=com.docker.compose.project=itsaclone",
            "docker network rm network-id",
            "docker volume ls --quiet --filter label=com.docker.compose.project=itsaclone",
            "docker volume rm volume-id",
        ]


class TestMakefile:
    @pytest.fixture
    def lab(self, machine) -> Callable[..., str]:
        """`make` with what it was given; answers with the words that `lab` was called with."""
        machine.run()
        return lambda *words: machine.run("make", "--silent", *words).replace("\n", "")

    @pytest.mark.parametrize("target, called", [
        (["up"], "[up]"),
        (["logs"], "[logs]"),
        (["logs", "SERVICE=consumer", "FOLLOW=1", "GREP=a b"], "[logs][--follow][--grep][a b][consumer]"),
        (["scale-consumer"], "[scale][consumer][3]"),
        (["scale-consumer", "N=5"], "[scale][consumer][5]"),
        (["restart-producer"], "[restart][producer]"),
        (["scenario-17"], "[scenario][17]"),
        (["scenario-none", "SEED=4"], "[scenario][none][--seed][4]"),
        (["campaign", "RUNS=5"], "[campaign][--runs][5]"),
        (["submit"], "[submit]"),
    ])
    def test_each_target_is_one_call_of_lab(self, lab, target, called):
        assert lab(*target) == called

    @pytest.mark.parametrize("notes", ["it's \"both\" quotes", "costs $5 $(id) `id`", "a; b & c | d \\ # e * ~"])
    def test_notes_arrive_as_they_are(self, lab, notes):
        assert lab("submit", "COMPONENT=broker", "CAUSE=x", f"NOTES={notes}") == \
            f"[submit][--component][broker][--cause][x][--notes][{notes}]"

    def test_help_lists_the_targets(self, machine):
        output = machine.run("make")
        for target in ("up", "scenario-N", "scale-consumer", "test", "clean"):
            assert f"\n  {target} " in "\n" + output

    def test_clean_installs_nothing(self, machine):
        assert "nothing to clean" in machine.run("make", "clean")
        assert not (machine.clone / ".venv").exists()
        assert machine.calls_file.read_text(encoding="utf-8") == ""

    def test_clean_does_without_a_usable_venv(self, machine):
        run = machine.clone / ".lab" / "run"
        (run / "data").mkdir(parents=True)
        left = subprocess.Popen([shutil.which("sleep"), "600"], env={"SRE_LAB_RUN_DIR": str(run)})
        other = subprocess.Popen([shutil.which("sleep"), "600"], env={"SRE_LAB_RUN_DIR": f"{run}-other"})
        try:
            machine.run("make", "clean")
            assert left.wait(timeout=10) == -signal.SIGKILL
            assert other.poll() is None
            assert not run.exists()
        finally:
            left.kill()
            other.kill()
            other.wait()
