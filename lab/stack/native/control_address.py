"""Where Toxiproxy's control API listens: on 127.0.0.1, in an exam at an address of loopback drawn at random.

Its port stays. Whoever may read the run folder, or Prometheus' targets, still finds it.
"""

import secrets
from pathlib import Path

from lab.settings import LabSettings

USUAL_HOST = "127.0.0.1"


def host(settings: LabSettings) -> str:
    path = _file(settings)
    return path.read_text(encoding="utf-8") if path.exists() else USUAL_HOST


def hide(settings: LabSettings) -> None:
    """Draw another address; it holds from Toxiproxy's next start on."""
    path = _file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3)), encoding="utf-8")


def show(settings: LabSettings) -> bool:
    """Back to the usual one; False where it is there already."""
    path = _file(settings)
    hidden = path.exists()
    path.unlink(missing_ok=True)
    return hidden


def _file(settings: LabSettings) -> Path:
    return settings.run_dir / "toxiproxy.host"
