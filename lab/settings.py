"""The lab's settings. Their one home is `.env`; `.env.example` documents every one."""

import os
import re
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lab.errors import LabError

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_FILE = ROOT / ".env.example"
MAX_LOAD_WORKERS = 8


def env_file() -> Path:
    """The settings file: `.env`, or what the variable ENV_FILE names."""
    return Path(os.environ.get("ENV_FILE", ROOT / ".env"))


class LabSettings(BaseSettings):
    """What the lab itself reads; the services read their own settings from the same file."""

    model_config = SettingsConfigDict(extra="ignore")

    lab_stack: Literal["auto", "native", "compose"] = "auto"
    lab_run_dir: Path = Path(".lab/run")
    lab_reports_dir: Path = Path(".lab/reports")
    lab_up_deadline: float = Field(120, ge=10, le=3600)
    lab_consumers: int = Field(1, ge=1, le=10)
    lab_traffic_rate: float = Field(20, gt=0, le=1000)
    lab_load_workers: int = Field(1, ge=1, le=MAX_LOAD_WORKERS)
    lab_toxiproxy: Literal["auto", "real", "standin"] = "auto"
    compose_project_name: str = Field("", pattern=r"^([a-z0-9][a-z0-9_-]*)?$")

    rabbitmq_host: str = "localhost"
    rabbitmq_user: str = "admin"
    rabbitmq_pass: str = "password"

    producer_link: Literal["primary", "standby"] = "primary"
    consumer_link: Literal["primary", "standby"] = "primary"

    rabbitmq_port: int = Field(5672, ge=1, le=65535)
    rabbitmq_management_port: int = Field(15672, ge=1, le=65535)
    rabbitmq_prometheus_port: int = Field(15692, ge=1, le=65535)
    rabbitmq_dist_port: int = Field(25672, ge=1, le=65535)
    epmd_port: int = Field(4370, ge=1, le=65535)
    toxiproxy_port: int = Field(8474, ge=1, le=65535)
    producer_link_port: int = Field(5673, ge=1, le=65535)
    consumer_link_port: int = Field(5674, ge=1, le=65535)
    consumer_standby_link_port: int = Field(5675, ge=1, le=65535)
    producer_standby_link_port: int = Field(5676, ge=1, le=65535)
    console_port: int = Field(8080, ge=1, le=65535)
    producer_port: int = Field(5000, ge=1, le=65535)
    consumer_port: int = Field(8000, ge=1, le=65535)
    prometheus_port: int = Field(9090, ge=1, le=65535)
    alertmanager_port: int = Field(9093, ge=1, le=65535)
    traffic_metrics_port: int = Field(9646, ge=1, le=65535)
    grafana_port: int = Field(3000, ge=1, le=65535)
    grafana_password: str = Field("admin", min_length=1)
    locust_port: int = Field(8089, ge=1, le=65535)
    locust_master_port: int = Field(5557, ge=1, le=65535)
    supervisor_port: int = Field(9001, ge=1, le=65535)

    @cached_property
    def run_dir(self) -> Path:
        """The run folder: all state of a running lab."""
        return (ROOT / self.lab_run_dir).resolve()

    @property
    def reports_dir(self) -> Path:
        return (ROOT / self.lab_reports_dir).resolve()

    @property
    def ledger_dir(self) -> Path:
        return self.run_dir / "ledger"

    @property
    def producer_url(self) -> str:
        return f"http://127.0.0.1:{self.producer_port}"

    @property
    def console_url(self) -> str:
        return f"http://localhost:{self.console_port}"

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.prometheus_port}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.rabbitmq_management_port}"

    @property
    def toxiproxy_url(self) -> str:
        return f"http://127.0.0.1:{self.toxiproxy_port}"


def known_keys() -> set[str]:
    """Every setting there is: what `.env.example` documents."""
    return set(dotenv_values(EXAMPLE_FILE))


def load() -> LabSettings:
    """Read and check the settings. Raises LabError that names file, line or key, and what to do."""
    path = env_file()
    if path.exists():
        _check_file(path)
    try:
        return LabSettings(_env_file=path)
    except ValidationError as error:
        problems = [
            f"{str(problem['loc'][0]).upper()}={problem['input']!r}: {problem['msg']}"
            for problem in error.errors()]
        raise LabError(f"bad setting (in {path} or the environment):\n  " + "\n  ".join(problems)) from None


# What the scenarios' faults, par times and scores rest on.
_EXERCISE_KEYS = (
    "CONFIRM_TIMEOUT", "CONSUMER_CONCURRENCY", "CONSUMER_EXTRA_DELAY", "CONSUMER_FAILURE_RATE", "CONSUMER_LINK",
    "CONSUMER_PREFETCH", "CONSUMER_RELEASE", "LAB_CONSUMERS", "LAB_TRAFFIC_RATE", "MAX_ATTEMPTS", "PRODUCER_LINK", "PRODUCER_WORKERS",
    "RABBITMQ_HEARTBEAT", "RETRY_BASE_DELAY")


def check_for_exercise() -> None:
    """Raises LabError when a setting differs on which comparable exercises rest."""
    usual, present = dotenv_values(EXAMPLE_FILE), dotenv_values(env_file()) | os.environ
    changed = [key for key in _EXERCISE_KEYS if present.get(key, usual[key]) != usual[key]]
    if changed:
        raise LabError("an exercise needs its usual settings, so that scores can be compared:\n" + "\n".join(
            f"  {key} is {present[key]}: lab set {key}={usual[key]}" for key in changed))


def change(key: str, value: str) -> None:
    """Set one key in the settings file, keeping everything else as it is.

    Raises LabError for a key that does not exist or a value that is not allowed; the file
    is then as it was.
    """
    if key not in known_keys():
        raise LabError(f"{key} is no setting; see .env.example for what there is")
    if "\n" in value or "\r" in value:
        raise LabError(f"{key}: a value is one line")
    if "${" in value:
        raise LabError(f"{key}: a value cannot hold '${{', which stands for another variable in a settings file")
    path = env_file()
    existed = path.exists()
    if existed:
        _check_file(path)
    before = path.read_text(encoding="utf-8") if existed else ""
    line = f"{key}={_quoted(value)}"
    # The value, quoted or bare, and what may follow it: a comment, which stays.
    pattern = re.compile(rf"^(?:export\s+)?{key}[ \t]*=(?:'[^']*'|\"[^\"]*\"|[^#\n]*?)(?P<comment>[ \t]+#.*)?$",
                         re.MULTILINE)
    if pattern.search(before):
        after = pattern.sub(lambda match: line + (match["comment"] or ""), before)
    else:
        after = before + ("" if before.endswith("\n") or not before else "\n") + line + "\n"
    path.write_text(after, encoding="utf-8")
    try:
        load()
    except LabError:
        if existed:
            path.write_text(before, encoding="utf-8")
        else:
            path.unlink()
        raise


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w./:@-]*", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _check_file(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}") from None
    known = known_keys()
    for binding in parse_stream(StringIO(text)):
        # A binding's text begins with the blank lines before it.
        text_of_it = binding.original.string
        blank = text_of_it[:len(text_of_it) - len(text_of_it.lstrip())]
        line = binding.original.line + blank.count("\n")
        if binding.error or (binding.key and binding.value is None):
            shown = text_of_it.strip().splitlines()[0]
            raise LabError(f"{path}, line {line}: cannot be read as KEY=value: {shown!r}")
        if binding.key and binding.key not in known:
            raise LabError(f"{path}, line {line}: {binding.key} is no setting; see .env.example for what there is")
