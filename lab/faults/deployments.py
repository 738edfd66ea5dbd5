"""Faults of configuration: somebody changed a setting, or deployed a part of the consumers with another one."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lab import settings as lab_settings
from lab import stack as stacks
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import MAX_CONSUMERS, Stack


def _known(key: str) -> str:
    if key not in lab_settings.known_keys():
        raise ValueError(f"{key} is not a setting; see .env.example for what there is")
    return key


class Setting(BaseModel):
    """The setting has that value in the settings file, and the service runs with it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["setting"]
    key: str
    value: str | int | float
    service: Literal["producer", "consumer"]

    _key_is_known = field_validator("key")(_known)

    def inject(self, _settings: LabSettings, _stack: Stack) -> None:
        lab_settings.change(self.key, str(self.value))
        stack = stacks.current(lab_settings.load())
        try:
            stack.restart(self.service)
        except LabError:
            # A bad release may never become healthy: then the fault is in.
            if all(one.healthy for one in stack.status() if one.name.startswith(self.service)):
                raise


class OddConsumer(BaseModel):
    """Of `consumers`, the last one runs with another setting than the rest; the settings file does not tell."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["odd-consumer"]
    consumers: int = Field(ge=2, le=MAX_CONSUMERS)
    key: str
    value: str | int | float

    _key_is_known = field_validator("key")(_known)

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        stack.scale(self.consumers - 1)
        path = lab_settings.env_file()
        before = path.read_text(encoding="utf-8")
        lab_settings.change(self.key, str(self.value))
        try:
            stacks.current(lab_settings.load()).scale(self.consumers)
        finally:
            path.write_text(before, encoding="utf-8")
