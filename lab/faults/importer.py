"""A fault of the traffic: an old importer that publishes straight to the broker, past the producer and its checks."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.faults.legacy_importer import USER
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import Management


class Importer(BaseModel):
    """Runs the importer, as a broker user of its own; `rate` is in messages per second, `size` in bytes.

    After `count` messages it stays connected and sends no more; 0: it never ends.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["importer"]
    rate: float = Field(gt=0, le=500)
    defect: Literal["truncated-json", "wrong-schema", "oversized"]
    count: int = Field(0, ge=0)
    size: int = Field(0, ge=0, le=4_000_000)  # of each oversized message; the broker takes 4 MiB

    def inject(self, settings: LabSettings, stack: Stack) -> None:
        management = Management(settings)
        management.call("PUT", "users", USER, password=USER, tags="")
        management.call("PUT", "permissions", "/", USER, configure="", write="^messages$", read="")
        stack.start(USER, {"IMPORTER_RATE": str(self.rate), "IMPORTER_DEFECT": self.defect,
                           "IMPORTER_COUNT": str(self.count), "IMPORTER_BYTES": str(self.size)})
