"""What a scenario can do to the system: one small module a fault family.

A fault is a model with its parameters and one method, `inject(settings, stack)`. None knows how
to undo itself: `lab.engine.reset` brings the whole system back to its baseline by state.
"""

from typing import Annotated

from pydantic import Field

from lab.faults.broker import Alarm, ExporterOff, Permissions, Policy, Unbind
from lab.faults.deployments import OddConsumer, Setting
from lab.faults.importer import Importer
from lab.faults.partner import Partner
from lab.faults.services import ServiceFault
from lab.faults.toxics import LinkDown, Toxic

Fault = Annotated[
    Toxic | LinkDown  # the network
    | ServiceFault  # processes
    | Alarm | Policy | Unbind | Permissions | ExporterOff  # the broker, and what watches it
    | Setting | OddConsumer  # configuration
    | Importer | Partner,  # the traffic
    Field(discriminator="kind")]
