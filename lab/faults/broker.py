"""Faults of the broker: alarms, policies, bindings, permissions, and the exporter that watches it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import EXPORTER, Management, control, run_in_broker

# Above the lab's own policies: of those that fit a queue, the one with the highest priority counts alone.
# https://www.rabbitmq.com/docs/parameters#policy-priorities
PRIORITY = 10


class Alarm(BaseModel):
    """The broker blocks publishers, for lack of memory or of disk."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["alarm"]
    of: Literal["memory", "disk"]

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        if self.of == "memory":
            control(stack, "set_vm_memory_high_watermark", "absolute", "1MB")
        else:
            control(stack, "set_disk_free_limit", "1000000GB")


class Policy(BaseModel):
    """A policy on queues, in force instead of the lab's own. https://www.rabbitmq.com/docs/parameters#policies"""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["policy"]
    name: str
    pattern: str
    definition: dict[str, int | str]

    def inject(self, settings: LabSettings, _stack: Stack) -> None:
        Management(settings).call("PUT", "policies", "/", self.name, pattern=self.pattern, priority=PRIORITY,
                                  definition=self.definition, **{"apply-to": "queues"})


class Unbind(BaseModel):
    """The exchange has no binding to the queue any more."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["unbind"]
    exchange: Literal["messages", "messages.dlx"]
    queue: Literal["messages", "messages.dlq"]

    def inject(self, settings: LabSettings, _stack: Stack) -> None:
        management = Management(settings)
        path = ("bindings", "/", "e", self.exchange, "q", self.queue)
        for binding in management.call("GET", *path):
            management.call("DELETE", *path, binding["properties_key"])


class Permissions(BaseModel):
    """What the services' own user may do, as regular expressions of names; its connections are closed.

    https://www.rabbitmq.com/docs/access-control#authorisation
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["permissions"]
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"

    def inject(self, settings: LabSettings, stack: Stack) -> None:
        user = settings.rabbitmq_user
        Management(settings).call("PUT", "permissions", "/", user,
                                  configure=self.configure, write=self.write, read=self.read)
        # A channel remembers what it was allowed.
        control(stack, "close_all_user_connections", user, "permissions changed")


class ExporterOff(BaseModel):
    """The broker serves no metrics; it is well otherwise."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["exporter-off"]

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        if run_in_broker(stack, f"rabbitmq-plugins disable {EXPORTER} >/dev/null"):
            raise LabError(f"the broker does not disable {EXPORTER}: `lab logs rabbitmq`")
