"""The sources that a grade rests on: what differs between two moments."""

import hashlib
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.evidence.signal import Signal
from lab.settings import ROOT

SCENARIOS = "scenarios"
WATCHED = ("lab", SCENARIOS, "prometheus", "services", "rabbitmq", "locustfile.py")
NAMED = 3
GIT_SECONDS = 5


def digests(root: Path = ROOT, watched: Sequence[str] = WATCHED) -> dict[str, str]:
    """SHA-256 of every watched file, by its path."""
    paths = (path for name in watched for path in (root / name, *(root / name).rglob("*")))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(paths) if path.is_file() and "__pycache__" not in path.parts}


def summary(digests: dict[str, str]) -> str:
    """One digest over all."""
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()


def commit(root: Path = ROOT) -> str | None:
    """The git commit that the sources are of, with -dirty where they differ from it; None without git's folder.

    https://git-scm.com/docs/git-describe
    """
    if not (root / ".git").exists():  # a repository around this folder is another one
        return None
    # Another user's checkout is as good: its code runs here anyway.
    command = ["git", "-c", f"safe.directory={root}", "--no-optional-locks",
               "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", timeout=GIT_SECONDS)
        return done.stdout.strip() or None
    return None


def signals(before: dict[str, str], after: dict[str, str]) -> list[Signal]:
    """One for each watched folder in which a file was changed, added or removed."""
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    found = []
    for top in WATCHED:
        inside = [name for name in changed if Path(name).parts[0] == top]
        if inside:
            more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
            found.append(Signal(f"files changed during the run: {', '.join(inside[:NAMED])}{more}"))
    return found
