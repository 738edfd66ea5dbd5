"""What a fault adds to the environment of a service; kept in the run folder, for all its later starts."""

import json
from collections.abc import Mapping

from lab.settings import LabSettings


def remember(settings: LabSettings, service: str, environment: Mapping[str, str]) -> None:
    folder = settings.run_dir / "environment"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{service}.json").write_text(json.dumps(dict(environment)), encoding="utf-8")


def forget(settings: LabSettings, service: str) -> None:
    (settings.run_dir / "environment" / f"{service}.json").unlink(missing_ok=True)


def of(settings: LabSettings, service: str) -> dict[str, str]:
    path = settings.run_dir / "environment" / f"{service}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
