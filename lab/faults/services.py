"""Faults of processes: a service is killed, stopped or frozen."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lab.settings import LabSettings
from lab.stack.base import Stack


class ServiceFault(BaseModel):
    """What is done to which service; it stays so until somebody mends it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["service"]
    service: Literal["rabbitmq", "producer", "consumer", "toxiproxy", "prometheus"]
    action: Literal["kill", "stop", "pause"]

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        getattr(stack, self.action)(self.service)
