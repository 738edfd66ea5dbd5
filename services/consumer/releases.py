"""The releases of the processing code that can be deployed: what differs from one to the next.

Each but the current one has a defect of the kind that releases have. They are kept so that a bad
deployment can be found and rolled back, in exercises; CONSUMER_RELEASE says which one runs.
"""

import ctypes

from services.messaging.schema import Message


class Release:
    """The current one: every hook as it ought to be."""

    reads_payload = False  # whether `before_processing` needs the message's payload

    def refusal(self, message: Message) -> str | None:
        """Why a well-formed message is taken for poison, or None."""
        return None

    def before_processing(self, message: Message) -> None:
        """What happens in the thread that is about to process it."""

    def gives_back(self, message_id: str) -> bool:
        """Whether the message, though processed, is returned to the queue instead of acked."""
        return False


class _WholeSeconds(Release):
    """Written for an older schema, in which processing_time was a whole number."""

    def refusal(self, message: Message) -> str | None:
        if message.processing_time != int(message.processing_time):
            return "processing_time: must be a whole number of seconds"
        return None


class _Collisions(Release):
    """Looks up the delivery tag by a hash of the id; where two ids collide, it nacks instead of acking."""

    def gives_back(self, message_id: str) -> bool:
        return message_id.endswith("0")


class _NativeParser(Release):
    """Parses payloads in native code, which some numbers crash."""

    reads_payload = True

    def before_processing(self, message: Message) -> None:
        order = message.payload.get("order") if isinstance(message.payload, dict) else None
        if isinstance(order, int) and order % 100 == 0:
            ctypes.string_at(0)  # a real segmentation fault


CURRENT = "1.0"
_BY_NAME: dict[str, type[Release]] = {
    "0.9": _WholeSeconds, CURRENT: Release, "1.1": _Collisions, "1.2": _NativeParser}
RELEASES = tuple(_BY_NAME)


def release(name: str) -> Release:
    """The release of that name, one of RELEASES."""
    return _BY_NAME[name]()
