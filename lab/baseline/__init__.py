"""The baseline that every run starts from: the lab's whole state, compared with it and restored.

It covers what a fault, a candidate or a former run can have changed. The settings file and the messages in the queues
are the business of `lab.engine.reset`.
"""

import time

from lab.baseline import access, broker, links, silences
from lab.errors import LabError
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack

# What the broker's management and Prometheus report may be some seconds old.
SETTLE_SECONDS = 20
PATIENCE_SECONDS = 3
POLL_SECONDS = 0.5


def differences(settings: LabSettings, stack: Stack) -> list[str]:
    """One line for each part of the lab that is not at its baseline; a part that cannot be asked is one, too."""
    if not stack.is_up():
        return ["the lab is not up"]
    found: list[str] = []
    for compare in (stack.differences, lambda: links.compare(stack), lambda: broker.compare(settings, stack),
                    lambda: silences.compare(settings)):
        try:
            found += compare()
        except LabError as error:
            found.append(str(error).splitlines()[0])
    return list(dict.fromkeys(found))


def restore(settings: LabSettings, stack: Stack, progress: Progress) -> None:
    """Put every part back; no message of the lab's own queues is touched.

    Raises LabError where a part cannot be brought back.
    """
    if stack.is_up():
        for frozen in [one.name for one in stack.status() if one.state == "paused"]:
            stack.resume(frozen)
        # The services cannot become healthy over a broken link, nor with a broker that refuses or blocks them.
        links.restore(stack)
        access.open_broker(settings, stack, progress)
        broker.restore(settings, stack, progress)
    stack.reset(progress)
    broker.restore(settings, stack, progress)
    silences.restore(settings)


def ensure(settings: LabSettings, stack: Stack, progress: Progress) -> bool:
    """Compare the lab with its baseline, and put back what differs; returns whether anything did.

    Raises LabError with what remains.
    """
    # A part of a healthy lab may be slow to answer, or its services may be reconnecting.
    if found := _lasting(PATIENCE_SECONDS, settings, stack):
        for line in found:
            progress(f"not at the baseline, so it is put back: {line}")
        restore(settings, stack, progress)
        check(settings, stack)
    return bool(found)


def check(settings: LabSettings, stack: Stack) -> None:
    """Return when nothing differs. Raises LabError with what remains."""
    if remaining := _lasting(SETTLE_SECONDS, settings, stack):
        raise LabError("the lab is not at its baseline:\n" + "\n".join(f"  {line}" for line in remaining)
                       + "\n`lab reset` tries again; `make clean` and `make up` start from nothing")


def _lasting(seconds: float, settings: LabSettings, stack: Stack) -> list[str]:
    """What still differs after so many seconds; returns as soon as nothing differs."""
    deadline = time.monotonic() + seconds
    while (found := differences(settings, stack)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return found
