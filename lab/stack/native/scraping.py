"""Prometheus' configuration on the native stack, and the judge's: the same as in the containers, at other addresses."""

import os
import re
import shutil
from pathlib import Path

import requests
import yaml

from lab.errors import LabError
from lab.settings import ROOT, LabSettings
from lab.stack.base import JUDGE
from lab.stack.native import control_address

TIMEOUT_SECONDS = 10
# Names of a Prometheus, and of its folder in the run folder.
PROMETHEUS = "prometheus"
SCRAPERS = (PROMETHEUS, JUDGE)
# How a job of prometheus.yml says where its targets are; here, files say it instead.
_DISCOVERIES = ("static_configs", "dns_sd_configs")


def write_configuration(settings: LabSettings, name: str) -> None:
    """Copy `prometheus/` to the folder of Prometheus or of the judge, with the addresses of this stack."""
    folder = settings.run_dir / name
    shutil.rmtree(folder / "rules", ignore_errors=True)  # a rule that is gone must not live on
    shutil.copytree(ROOT / "prometheus", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md"))
    (folder / "prometheus.yml").write_text(_configuration(settings, name), encoding="utf-8")


def changed_files(settings: LabSettings, consumers: dict[str, int]) -> list[str]:
    """Of what Prometheus and the judge read, the files that would be written otherwise now, or not at all.

    `consumers` is their ports by name.
    """
    return [f"{name}: {file} changed" for name in SCRAPERS for file in _changed(settings, name, consumers)]


def _changed(settings: LabSettings, name: str, consumers: dict[str, int]) -> list[str]:
    folder = settings.run_dir / name
    wanted = {"prometheus.yml": _configuration(settings, name)} | {
        file: yaml.safe_dump(targets) for file, targets in _targets(settings, consumers).items()}
    wanted |= {f"rules/{path.name}": path.read_text(encoding="utf-8")
               for path in (ROOT / "prometheus" / "rules").glob("*.yml")}
    names = wanted.keys() | {f"rules/{path.name}" for path in (folder / "rules").glob("*.yml")}
    return sorted(file for file in names if wanted.get(file) != _content(folder / file))


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def written_at(*paths: Path) -> float:
    """Unix time in seconds of the last change to one of these files, or to what is in these folders."""
    inside = [one for path in paths for one in [path, *(path.iterdir() if path.is_dir() else [])]]
    # Not the time of modification, which anybody can set.
    return max(one.stat().st_ctime for one in inside)


def loaded_at(url: str, program: str) -> float:
    """Unix time in seconds at which the program at `url` last loaded its configuration; 0 where that failed."""
    text = _ask("get", f"{url}/metrics").text
    values = dict(re.findall(rf"^{program}_config_last_reload_(\w+) (\S+)$", text, re.MULTILINE))
    return float(values.get("success_timestamp_seconds", 0)) * float(values.get("successful", 0))


def reload(url: str) -> None:
    """Raises LabError where the program at `url` does not load its configuration again."""
    _ask("post", f"{url}/-/reload")


def _ask(method: str, url: str) -> requests.Response:
    try:
        answer = requests.request(method, url, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise LabError(f"{url} does not answer as it should: {error}") from None
    return answer


def _configuration(settings: LabSettings, name: str) -> str:
    """The judge sends no alerts, and its configuration names the targets itself wherever they stay.

    The watch over a run compares what the judge has loaded; a target file can be changed without a reload.
    """
    configuration = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    fixed = _addresses(settings) if name == JUDGE else {}
    for job in configuration["scrape_configs"]:
        file = target_file(job["job_name"])
        if file in fixed:
            job["static_configs"] = [{"targets": [fixed[file]]}]
        else:
            _read_from_file(job, file)
    if name == JUDGE:
        del configuration["alerting"]
    else:
        for alertmanager in configuration["alerting"]["alertmanagers"]:
            _read_from_file(alertmanager, target_file("alertmanager"))
    return yaml.safe_dump(configuration, sort_keys=False)


def target_file(job: str) -> str:
    """Where the targets of a job stand, relative to Prometheus' folder; the broker's two jobs share theirs."""
    return f"targets/{job.removesuffix('-queues')}.yml"


def write_targets(settings: LabSettings, consumers: dict[str, int] | None) -> None:
    """Write where everything is for Prometheus and the judge, which notice changed files by themselves.

    `consumers` is their ports by name; None keeps the consumers that were written before.
    """
    for folder in (settings.run_dir / name for name in SCRAPERS):
        (folder / "targets").mkdir(parents=True, exist_ok=True)
        for file, targets in _targets(settings, consumers or {}).items():
            if consumers is not None or file != target_file("consumer"):
                # Renamed into place, so that Prometheus never reads half a file.
                temporary = (folder / file).with_suffix(".tmp")
                temporary.write_text(yaml.safe_dump(targets), encoding="utf-8")
                os.replace(temporary, folder / file)


def judged_consumers(settings: LabSettings) -> set[str]:
    """The addresses at which the judge looks for consumers."""
    content = (settings.run_dir / JUDGE / target_file("consumer")).read_text(encoding="utf-8", errors="replace")
    return set(re.findall(r"[\w.:\[\]-]+:\d+", content))


def _targets(settings: LabSettings, consumers: dict[str, int]) -> dict[str, list]:
    """The content of every file with targets."""
    toxiproxy = f"{control_address.host(settings)}:{settings.toxiproxy_port}"
    addresses = _addresses(settings) | {target_file("toxiproxy"): toxiproxy}
    files = {file: [{"targets": [address]}] for file, address in addresses.items()}
    return files | {target_file("consumer"): [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance_name": name}} for name, port in consumers.items()]}


def _addresses(settings: LabSettings) -> dict[str, str]:
    """Target file and address of everything that stays where it is."""
    ports = {
        "producer": settings.producer_port,
        "rabbitmq": settings.rabbitmq_prometheus_port,
        "traffic": settings.traffic_metrics_port,
        "prometheus": settings.prometheus_port,
        "alertmanager": settings.alertmanager_port,
    }
    return {target_file(job): f"127.0.0.1:{port}" for job, port in ports.items()}


def _read_from_file(where: dict, file: str) -> None:
    for discovery in _DISCOVERIES:
        where.pop(discovery, None)
    where["file_sd_configs"] = [{"files": [file]}]
