"""A fault of the traffic: a partner's system that sends more than was agreed, or never believes the answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.settings import LabSettings
from lab.stack.base import Stack

PROGRAM = "partner"


class Partner(BaseModel):
    """Posts `batch` messages every `interval` seconds.

    With `expects: 200` it repeats the first batch for ever: the producer answers 201.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["partner"]
    batch: int = Field(ge=1, le=1000)
    interval: float = Field(ge=0.05, le=60)
    expects: Literal[200, 201] = 201

    def inject(self, _settings: LabSettings, stack: Stack) -> None:
        stack.start(PROGRAM, {"PARTNER_BATCH": str(self.batch), "PARTNER_INTERVAL": str(self.interval),
                              "PARTNER_EXPECTS": str(self.expects)})
