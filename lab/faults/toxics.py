"""Faults of the network: toxics on a link. https://github.com/Shopify/toxiproxy#toxics"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.toxiproxy import toxiproxy

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
