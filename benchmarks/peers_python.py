"""The peers' own virtual environment, so that none of their packages comes near the lab's."""

import subprocess
import venv
from functools import cache
from pathlib import Path

from lab.errors import LabError
from lab.settings import ROOT

FOLDER = ROOT / ".lab" / "benchmarks-venv"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@cache
def peers_python() -> str:
    """Its interpreter; installs what requirements.txt pins when that is missing or was changed."""
    python, stamp = FOLDER / "bin" / "python", FOLDER / "installed-requirements.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != REQUIREMENTS.read_text(encoding="utf-8"):
        print(f"installing the peers into {FOLDER.relative_to(ROOT)} (once)", flush=True)
        venv.create(FOLDER, clear=True, with_pip=True)
        done = subprocess.run([python, "-m", "pip", "install", "--no-cache-dir", "--no-input",
                               "--disable-pip-version-check", "--progress-bar", "off", "-r", REQUIREMENTS])
        if done.returncode:
            raise LabError("pip could not install benchmarks/requirements.txt; its messages are above")
        stamp.write_text(REQUIREMENTS.read_text(encoding="utf-8"), encoding="utf-8")
    return str(python)
