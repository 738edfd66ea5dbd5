"""A fault of the traffic: an old importer that publishes straight to the broker what no consumer can read."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.faults.legacy_importer import USER
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import Management


class Importer(BaseModel):
    """Runs the importer, as a broker user of its own; `rate` is in messages per second."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["importer"]
    rate: float = Field(gt=0, le=500)
    defect: Literal["truncated-json", "wrong-schema"]

    def inject(self, settings: LabSettings, stack: Stack) -> None:
        management = Management(settings)
        management.call("PUT", "users", USER, password=USER, tags="")
        management.call("PUT", "permissions", "/", USER, configure="", write="^messages$", read="")
        stack.start(USER, {"IMPORTER_RATE": str(self.rate), "IMPORTER_DEFECT": self.defect})
