"""Faults of the network: toxics on a link. https://github.com/Shopify/toxiproxy#toxics"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer

from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack

Link = Literal["producer-link", "consumer-link", "producer-link-standby", "consumer-link-standby"]
# The attributes of each type. https://github.com/Shopify/toxiproxy#toxics
ATTRIBUTES = {
    "latency": {"latency", "jitter"},
    "bandwidth": {"rate"},
    "slow_close": {"delay"},
    "timeout": {"timeout"},
    "slicer": {"average_size", "size_variation", "delay"},
    "limit_data": {"bytes"},
    "reset_peer": {"timeout"},
}


class Toxic(BaseModel):
    """A toxic of the given type; attributes are Toxiproxy's own (times in ms, rates in KB/s)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["toxic"]
    link: Link
    type: Literal[tuple(ATTRIBUTES)]
    stream: Literal["upstream", "downstream"] = "downstream"
    toxicity: float = Field(1.0, ge=0, le=1)
    attributes: dict[str, Annotated[int, Field(ge=0)]] = {}

    @field_validator("attributes")
    @classmethod
    def _known(cls, attributes: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        known = ATTRIBUTES.get(info.data.get("type"), set(attributes))
        if unknown := set(attributes) - known:
            raise ValueError(f"no attribute {', '.join(sorted(unknown))}; there is: {', '.join(sorted(known))}")
        return attributes

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        proxy = toxiproxy(stack).get_proxy(self.link)
        # Toxiproxy applies a new toxic to the connections that are open, too.
        proxy.add_toxic(name=f"lab-{self.type}-{self.stream}", type=self.type, stream=self.stream,
                        toxicity=self.toxicity, attributes=self.attributes)


class LinkDown(BaseModel):
    """The link refuses connections and drops those it has."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["link-down"]
    link: Link

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        toxiproxy(stack).get_proxy(self.link).disable()


def toxiproxy(stack: Stack) -> Toxiproxy:
    """The client of this lab's Toxiproxy. Raises LabError when that does not answer."""
    server = Toxiproxy()
    # The library keeps the address on a class of its own.
    APIConsumer.host, APIConsumer.port = stack.toxiproxy_address()
    if not server.running():
        raise LabError("Toxiproxy does not answer: `lab start toxiproxy`")
    return server
