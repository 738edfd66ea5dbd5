"""A clone on a machine with other settings of git: the files are the same."""

import shutil
import subprocess

import pytest

from lab.settings import ROOT

pytestmark = pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(),
                                reason="these sources are not a clone")


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("settings", [["core.autocrlf=true"], ["core.autocrlf=input"],
                                      ["core.eol=crlf"], ["core.autocrlf=true", "core.eol=crlf"]], ids=",".join)
def test_line_ends_do_not_depend_on_the_settings_of_git(tmp_path, settings):
    options = [word for setting in settings for word in ("--config", setting)]
    git("clone", "--quiet", "--depth", "1", *options, f"file://{ROOT}", str(tmp_path))
    files = [tmp_path / name for name in git("-C", str(tmp_path), "ls-files", "-z").split("\0") if name]
    assert tmp_path / "rabbitmq/start" in files
    assert [path for path in files if path.suffix != ".png" and b"\r\n" in path.read_bytes()] == []
    assert git("-C", str(tmp_path), "status", "--porcelain") == ""


def test_no_committed_file_has_other_line_ends():
    """Such a file would show as modified in every clone; `git add --renormalize .` corrects it."""
    committed = git("-C", str(ROOT), "ls-files", "--eol").splitlines()
    assert [line for line in committed if line.startswith(("i/crlf", "i/mixed"))] == []


def test_a_picture_is_a_binary_file_in_every_clone():
    committed = git("-C", str(ROOT), "ls-files", "--eol").splitlines()
    assert [line for line in committed if line.startswith("i/-text") and "attr/-text" not in line] == []
