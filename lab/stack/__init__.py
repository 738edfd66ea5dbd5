"""Runs the system: one interface (`base.Stack`), one implementation for each form."""

from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Stack


def current(settings: LabSettings) -> Stack:
    """The stack that the settings ask for. Raises LabError for a form that is not there yet."""
    if settings.lab_stack == "compose":
        raise LabError("LAB_STACK=compose is not built yet: set LAB_STACK=native")
    from lab.stack.native import NativeStack

    return NativeStack(settings)
