"""Prometheus' configuration on the native stack: the same as in the containers, at other addresses."""

import os
import shutil
from pathlib import Path

import yaml

from lab.settings import ROOT, LabSettings
from lab.stack.base import JUDGE
from lab.stack.native import control_address

# How a job of prometheus.yml says where its targets are; here, files say it instead.
_DISCOVERIES = ("static_configs", "dns_sd_configs")


# Its folder in the run folder; the judge's has the judge's name.
PROMETHEUS = "prometheus"
TARGETS = "targets"


def write_configuration(settings: LabSettings, folder: Path) -> None:
    """Copy `prometheus/` to `folder`, with target files in place of the addresses of the containers.

    The judge has the same rules and targets, and sends no alerts. Its configuration, which the watch over a run
    compares, names the targets itself wherever they stay.
    """
    shutil.rmtree(folder / "rules", ignore_errors=True)  # a rule that is gone must not live on
    shutil.copytree(ROOT / "prometheus", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md"))
    path = folder / "prometheus.yml"
    configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
    fixed = _addresses(settings) if folder.name == JUDGE else {}
    for job in configuration["scrape_configs"]:
        if address := fixed.get(target_file(job["job_name"])):
            job["static_configs"] = [{"targets": [address]}]
        else:
            _read_from_file(job, target_file(job["job_name"]))
    if folder.name == JUDGE:
        del configuration["alerting"]
    for alertmanager in configuration.get("alerting", {}).get("alertmanagers", []):
        _read_from_file(alertmanager, target_file("alertmanager"))
    path.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")


def target_file(job: str) -> str:
    """Where the targets of a job stand, relative to Prometheus' folder; the broker's two jobs share theirs."""
    return f"{TARGETS}/{job.removesuffix('-queues')}.yml"


def write_targets(settings: LabSettings, consumers: dict[str, int] | None) -> None:
    """Write where everything is for Prometheus and the judge, which notice changed files by themselves.

    `consumers` is their ports by name; None keeps the consumers that were written before.
    """
    for name in (PROMETHEUS, JUDGE):
        _write_targets(settings, settings.run_dir / name, consumers)


def _write_targets(settings: LabSettings, folder: Path, consumers: dict[str, int] | None) -> None:
    (folder / TARGETS).mkdir(parents=True, exist_ok=True)
    toxiproxy = f"{control_address.host(settings)}:{settings.toxiproxy_port}"
    for file, address in {**_addresses(settings), target_file("toxiproxy"): toxiproxy}.items():
        _write_yaml(folder / file, [{"targets": [address]}])
    if consumers is not None:
        _write_yaml(folder / target_file("consumer"), [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance_name": name}} for name, port in consumers.items()])


def judged_consumers(settings: LabSettings) -> set[str]:
    """The addresses at which the judge looks for consumers."""
    path = settings.run_dir / JUDGE / target_file("consumer")
    return {address for group in yaml.safe_load(path.read_text(encoding="utf-8")) for address in group["targets"]}


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


def _write_yaml(path: Path, content: list) -> None:
    # Renamed into place, so that Prometheus never reads half a file.
    temporary = path.with_suffix(".tmp")
    temporary.write_text(yaml.safe_dump(content), encoding="utf-8")
    os.replace(temporary, path)
