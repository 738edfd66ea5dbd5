"""Faults of the network: toxics on a link. https://github.com/Shopify/toxiproxy#toxics"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer

from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack

Link = Literal["producer-link", "consumer-link", "producer-link-standby", "consumer-link-standby"]
ToxicType = Literal[
    "latency", "bandwidth", "slow_close", "timeout", "slicer", "limit_data", "reset_peer"]


class Toxic(BaseModel):
    """A toxic of the given type; attributes are Toxiproxy's own (times in ms, rates in KB/s)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["toxic"]
    link: Link
    type: ToxicType
    stream: Literal["upstream", "downstream"] = "downstream"
    toxicity: float = Field(1.0, ge=0, le=1)
    attributes: dict[str, int] = {}

    def inject(self, settings: LabSettings, _stack: Stack) -> None:
        proxy = toxiproxy(settings).get_proxy(self.link)
        # Toxiproxy applies a new toxic to the connections that are open, too.
        proxy.add_toxic(name=f"lab-{self.type}-{self.stream}", type=self.type, stream=self.stream,
                        toxicity=self.toxicity, attributes=self.attributes)


class LinkDown(BaseModel):
    """The link refuses connections and drops those it has."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["link-down"]
    link: Link

    def inject(self, settings: LabSettings, _stack: Stack) -> None:
        toxiproxy(settings).get_proxy(self.link).disable()


def toxiproxy(settings: LabSettings) -> Toxiproxy:
    """The client of this lab's Toxiproxy. Raises LabError when that does not answer."""
    server = Toxiproxy()
    # The library keeps the address on a class of its own.
    APIConsumer.host, APIConsumer.port = "127.0.0.1", settings.toxiproxy_port
    if not server.running():
        raise LabError("Toxiproxy does not answer: `lab start toxiproxy`")
    return server
