"""Runs the system: one interface (`base.Stack`), one implementation for each form."""

from lab.settings import LabSettings
from lab.stack.compose import docker
from lab.stack.base import Progress, Stack
from lab.stack.compose.stack import ComposeStack
from lab.stack.native.stack import NativeStack


def current(settings: LabSettings) -> Stack:
    """The stack that the settings ask for. Raises LabError where it cannot be had.

    `auto` is native where that runs already, else Compose where a Docker engine answers, else native.
    """
    native = NativeStack(settings)
    match settings.lab_stack:
        case "native":
            return native
        case "compose":
            return ComposeStack(settings)
    return native if native.is_up() or docker.unusable() else ComposeStack(settings)


def clean(settings: LabSettings, progress: Progress) -> None:
    """Remove everything of this lab, in whichever form it was up, whatever the settings are now."""
    problem = docker.unusable()
    if problem is None:
        ComposeStack(settings).clean(progress)
    elif settings.lab_stack == "compose":
        progress(f"containers stay as they are: {problem}")
    NativeStack(settings).clean(progress)
