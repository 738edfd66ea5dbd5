"""Settings that both services share: from the environment, else from `.env` at the repository's top."""

import os
import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

# The variable serves tests, which bring a settings file of their own.
ENV_FILE = Path(os.environ.get("ENV_FILE", Path(__file__).resolve().parents[2] / ".env"))


class BrokerSettings(BaseSettings):
    """How to reach the broker, and how patient to be with it. Times are in seconds."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore")

    rabbitmq_host: str = Field("localhost", min_length=1)
    rabbitmq_port: int = Field(5672, ge=1, le=65535)
    rabbitmq_user: str = Field("admin", min_length=1)
    rabbitmq_pass: str = Field("password", min_length=1)
    rabbitmq_heartbeat: int = Field(10, ge=2, le=600)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


Settings = TypeVar("Settings", bound=BrokerSettings)


def load(kind: type[Settings]) -> Settings:
    """Read and validate settings; on a bad one, say which and why, and exit with code 2."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"]).upper()
            print(f"{name}={problem['input']!r}: {problem['msg']} (set in .env or the environment)",
                  file=sys.stderr)
        sys.exit(2)
