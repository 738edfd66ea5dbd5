"""Ledgers only grow: a digest of what stood there at each look shows whether it still does at the end."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from lab.evidence.signal import Signal

CHUNK_BYTES = 1 << 20


@dataclass
class _Seen:
    """What was seen of one ledger: its digest at each size that it had."""

    running: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    digests: dict[int, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return max(self.digests, default=0)


class LedgerWatch:
    """Watches every ledger of one folder."""

    def __init__(self):
        self._seen: dict[str, _Seen] = {}

    def look(self, folder: Path) -> None:
        """Note how the ledgers are now; only what is new since the last look is read."""
        for path in sorted(folder.glob("*.jsonl")):
            seen = self._seen.setdefault(path.name, _Seen())
            with path.open("rb") as file:
                file.seek(seen.size)
                size = seen.size
                while chunk := file.read(CHUNK_BYTES):
                    seen.running.update(chunk)
                    size += len(chunk)
            seen.digests.setdefault(size, seen.running.hexdigest())

    def signals(self, folder: Path) -> list[Signal]:
        """One for each ledger that does not begin with what was seen in it."""
        found = (_change(folder / name, seen) for name, seen in self._seen.items())
        return [Signal(change) for change in found if change]

    def digests(self) -> dict[str, dict]:
        """Of every ledger, its size in bytes and its SHA-256 at the first look and at the last one."""
        return {name: {"first": _entry(seen, min(seen.digests)), "last": _entry(seen, seen.size)}
                for name, seen in self._seen.items()}


def _entry(seen: _Seen, size: int) -> dict:
    return {"bytes": size, "sha256": seen.digests[size]}


def _change(path: Path, seen: _Seen) -> str | None:
    if not path.exists():
        return f"the ledger {path.name} was removed"
    if path.stat().st_size < seen.size:
        return f"the ledger {path.name} was shortened, from {seen.size} to {path.stat().st_size} bytes"
    digest, at = hashlib.sha256(), 0
    with path.open("rb") as file:
        for size in sorted(seen.digests):
            digest.update(file.read(size - at))
            if digest.hexdigest() != seen.digests[size]:
                return f"the ledger {path.name} was edited, between byte {at} and byte {size}"
            at = size
    return None
