"""Runs the system: one interface (`base.Stack`), one implementation for each form."""

from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack
from lab.stack.compose import docker
from lab.stack.compose.stack import ComposeStack
from lab.stack.native.stack import NativeStack


def current(settings: LabSettings) -> Stack:
    """The stack that the settings ask for. Raises LabError where it cannot be had.

    `auto` is native where that runs already, else Compose where a Docker engine answers, else native.
    """
    form, native = settings.lab_stack, NativeStack(settings)
    if form == "native" or form == "auto" and native.is_up():
        return native
    problem = docker.unusable()
    if problem is None:
        return ComposeStack(settings)
    if form == "compose":
        raise LabError(problem)
    return native


def clean(settings: LabSettings, progress: Progress) -> None:
    """Remove everything of this lab, in whichever form it was up, whatever the settings are now."""
    problem = docker.unusable()
    if problem is None:
        ComposeStack(settings).clean(progress)
    elif settings.lab_stack == "compose":
        progress(f"containers stay as they are: {problem}")
    NativeStack(settings).clean(progress)
