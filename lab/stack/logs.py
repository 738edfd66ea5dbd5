"""Where the programs of the lab write what they say, and how that ends."""

from pathlib import Path

from lab.settings import LabSettings


def log_file(settings: LabSettings, name: str) -> Path:
    return settings.run_dir / "logs" / f"{name}.log"


def tail(path: Path, lines: int = 10) -> str:
    """The last lines of a text file; empty where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 20_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
