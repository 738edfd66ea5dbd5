"""The lab's settings. Their one home is `.env`; `.env.example` documents every one."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lab import settings_file
from lab.errors import LabError
from services.consumer.settings import ConsumerSettings
from services.producer.settings import ProducerSettings

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_FILE = ROOT / ".env.example"
MAX_LOAD_WORKERS = 8


def env_file() -> Path:
    """The settings file: `.env`, or what the variable ENV_FILE names."""
    return Path(os.environ.get("ENV_FILE", ROOT / ".env"))


# Whatever the lab's programs bind to, the lab reaches them at 127.0.0.1.
Bind = Literal["127.0.0.1", "localhost", "0.0.0.0"]


def _in_digits(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch("[0-9]+", value):
        raise PydanticCustomError("digits", "Input should be a whole number, in digits only")
    return value


# In the one form that Compose, too, takes for a number.
Whole = Annotated[int, BeforeValidator(_in_digits)]
Port = Annotated[Whole, Field(ge=1, le=65535)]


class LabSettings(BaseSettings):
    """What the lab itself reads; the services read their own settings from the same file."""

    model_config = SettingsConfigDict(extra="ignore", env_file_encoding="utf-8")

    lab_stack: Literal["auto", "native", "compose"] = "auto"
    lab_run_dir: Path = Path(".lab/run")
    lab_reports_dir: Path = Path(".lab/reports")
    lab_up_deadline: float = Field(120, ge=10, le=3600)
    lab_consumers: Whole = Field(1, ge=1, le=10)
    lab_traffic_rate: float = Field(20, gt=0, le=1000)
    lab_load_workers: Whole = Field(1, ge=1, le=MAX_LOAD_WORKERS)
    lab_toxiproxy: Literal["auto", "real", "standin"] = "auto"
    compose_project_name: str = Field("", pattern=r"^([a-z0-9][a-z0-9_-]*)?$")

    rabbitmq_host: str = "localhost"
    # No colon: HTTP's basic authentication ends the name there.
    rabbitmq_user: str = Field("admin", max_length=64, pattern=r"^\w[\w.@+-]*$")
    # It must fit into the first frames of a connection, of 4 KiB, whatever the alphabet.
    rabbitmq_pass: str = Field("password", min_length=1, max_length=255)

    producer_bind: Bind = "127.0.0.1"
    consumer_bind: Bind = "127.0.0.1"

    producer_link: Literal["primary", "standby"] = "primary"
    consumer_link: Literal["primary", "standby"] = "primary"

    rabbitmq_port: Port = 5672
    rabbitmq_management_port: Port = 15672
    rabbitmq_prometheus_port: Port = 15692
    rabbitmq_dist_port: Port = 25672
    epmd_port: Port = 4370
    toxiproxy_port: Port = 8474
    producer_link_port: Port = 5673
    consumer_link_port: Port = 5674
    consumer_standby_link_port: Port = 5675
    producer_standby_link_port: Port = 5676
    console_port: Port = 8080
    producer_port: Port = 5000
    consumer_port: Port = 8000
    prometheus_port: Port = 9090
    judge_port: Port = 9095
    alertmanager_port: Port = 9093
    traffic_metrics_port: Port = 9646
    grafana_port: Port = 3000
    grafana_password: str = Field("admin", min_length=1)
    locust_port: Port = 8089
    locust_master_port: Port = 5557
    supervisor_port: Port = 9001

    @field_validator("*", mode="before")
    @classmethod
    def _is_printable(cls, value: Any) -> Any:
        if problem := settings_file.problem(str(value)):
            raise ValueError(problem)
        return value

    @field_validator("rabbitmq_user")
    @classmethod
    def _may_come_from_a_container(cls, value: str) -> str:
        if value == "guest":
            raise ValueError("must be another name: RabbitMQ accepts guest from its own machine only")
        return value

    @field_validator("lab_run_dir", "lab_reports_dir")
    @classmethod
    def _can_be_made(cls, value: Path) -> Path:
        _check_folder((ROOT / value).resolve())
        return value

    @field_validator("lab_run_dir")
    @classmethod
    def _may_be_removed(cls, value: Path) -> Path:
        folder = (ROOT / value).resolve()
        if folder.is_relative_to(ROOT) and ROOT / ".lab" not in folder.parents:
            raise ValueError("must be in .lab or outside the repository, since `make clean` removes it")
        return value

    @model_validator(mode="after")
    def _keep_apart(self) -> Self:
        if self.reports_dir.is_relative_to(self.run_dir):
            raise ValueError("LAB_REPORTS_DIR must not be in LAB_RUN_DIR, which `make clean` removes")
        settings_of: dict[int, str] = {}
        for setting, port in self._ports():
            if port > 65535:
                raise ValueError(f"{setting}={self.consumer_port} leaves no ports for {self.lab_consumers} consumers")
            if port in settings_of:
                raise ValueError(f"{settings_of[port]} and {setting} both need port {port}: change one of them")
            settings_of[port] = setting
        return self

    def _ports(self) -> list[tuple[str, int]]:
        """Setting and port; each consumer has a port of its own."""
        single = [(name.upper(), getattr(self, name)) for name in LabSettings.model_fields
                  if name.endswith("_port") and name != "consumer_port"]
        return single + [("CONSUMER_PORT", self.consumer_port + number) for number in range(self.lab_consumers)]

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
    def judge_url(self) -> str:
        return f"http://127.0.0.1:{self.judge_port}"

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
    """Read and check all settings. Raises LabError that names file, line or key, and what to do."""
    path = env_file()
    if path.exists():
        settings_file.check(path, known_keys())
    problems: dict[str, None] = {}
    for kind, given in ((ProducerSettings, {}), (ConsumerSettings, {"consumer_name": "consumer"}), (LabSettings, {})):
        try:
            settings = kind(_env_file=path, **given)
        except ValidationError as error:
            problems |= dict.fromkeys(map(_shown, error.errors()))
    if problems:
        raise LabError(f"bad setting (in {path} or the environment):\n  " + "\n  ".join(problems))
    return settings


def _shown(problem: dict) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    return f"{str(problem['loc'][0]).upper()}={problem['input']!r}: {message}" if problem["loc"] else message


def _check_folder(folder: Path) -> None:
    """Raises ValueError when the lab cannot make that folder, or when `make clean` would remove more than the lab's."""
    for other in (ROOT, Path(os.path.expanduser("~"))):
        if other.is_relative_to(folder):
            raise ValueError(f"must be a folder of the lab's own: {other} is in {folder}")
    try:
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
    except OSError as error:
        raise ValueError(f"must be a folder that can be made: {error.strerror}") from None
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        raise ValueError(f"must be a folder that can be made: {nearest} is not a folder that this user may write to")


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
        raise LabError(f"{key} is not a setting; see .env.example for what there is")
    path = env_file()
    before = path.read_bytes() if path.is_file() else None
    text = settings_file.read(path) if path.exists() else ""
    path.write_text(settings_file.with_value(text, key, value), encoding="utf-8")
    try:
        load()
    except LabError:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        raise
