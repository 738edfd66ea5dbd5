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


def write_configuration(folder: Path) -> None:
    """Copy `prometheus/` to `folder`, with the addresses of the containers replaced by target files.

    The judge has the same rules and targets, and sends no alerts.
    """
    shutil.rmtree(folder / "rules", ignore_errors=True)  # a rule that is gone must not live on
    shutil.copytree(ROOT / "prometheus", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md"))
    path = folder / "prometheus.yml"
    configuration = yaml.safe_load(path.read_text(encoding="utf-8"))
    for job in configuration["scrape_configs"]:
        _read_from_file(job, target_file(job["job_name"]))
    if folder.name == JUDGE:
        del configuration["alerting"]
    for alertmanager in configuration.get("alerting", {}).get("alertmanagers", []):
        _read_from_file(alertmanager, target_file("alertmanager"))
    path.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")


def target_file(job: str) -> str:
    """Where the targets of a job stand, relative to Prometheus' folder; the broker's two jobs share theirs."""
    return f"targets/{job.removesuffix('-queues')}.yml"


def write_targets(settings: LabSettings, consumers: dict[str, int] | None) -> None:
    """Write where everything is for Prometheus and the judge, which notice changed files by themselves.

    `consumers` is their ports by name; None keeps the consumers that were written before.
    """
    for name in (PROMETHEUS, JUDGE):
        _write_targets(settings, settings.run_dir / name / "targets", consumers)


def _write_targets(settings: LabSettings, folder: Path, consumers: dict[str, int] | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ports = {
        "producer": settings.producer_port,
        "rabbitmq": settings.rabbitmq_prometheus_port,
        "toxiproxy": settings.toxiproxy_port,
        "traffic": settings.traffic_metrics_port,
        "prometheus": settings.prometheus_port,
        "alertmanager": settings.alertmanager_port,
    }
    for job, port in ports.items():
        host = control_address.host(settings) if job == "toxiproxy" else "127.0.0.1"
        _write_yaml(folder / f"{job}.yml", [{"targets": [f"{host}:{port}"]}])
    if consumers is not None:
        _write_yaml(folder / "consumer.yml", [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance_name": name}} for name, port in consumers.items()])


def _read_from_file(where: dict, file: str) -> None:
    for discovery in _DISCOVERIES:
        where.pop(discovery, None)
    where["file_sd_configs"] = [{"files": [file]}]


def _write_yaml(path: Path, content: list) -> None:
    # Renamed into place, so that Prometheus never reads half a file.
    temporary = path.with_suffix(".tmp")
    temporary.write_text(yaml.safe_dump(content), encoding="utf-8")
    os.replace(temporary, path)
