"""Reads log files, one or several together, and follows them."""

import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.2


def lines(files: dict[str, Path], follow: bool) -> Iterator[str]:
    """Every line, file after file; then, when following, new lines as they come.

    Lines carry the name of their file when there are several.
    """
    prefix = {name: f"{name:<16} | " if len(files) > 1 else "" for name in files}
    positions = dict.fromkeys(files, 0)
    while True:
        for name, path in files.items():
            fresh, positions[name] = _read_from(path, positions[name])
            yield from (prefix[name] + line for line in fresh)
        if not follow:
            return
        time.sleep(POLL_SECONDS)


def _read_from(path: Path, position: int) -> tuple[list[str], int]:
    """Whole lines after `position`, and where they end; from the start again after a rotation."""
    if path.stat().st_size < position:
        position = 0
    with path.open("rb") as file:
        file.seek(position)
        content = file.read()
    whole = content[:content.rfind(b"\n") + 1]
    return whole.decode(errors="replace").splitlines(), position + len(whole)
