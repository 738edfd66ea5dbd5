"""Fewer, larger writes to the broker."""

from pika.adapters.base_connection import BaseConnection


class Coalescing(BaseConnection):
    """Mixin for a pika adapter: what one turn of the event loop emits leaves in one write.

    pika itself makes three system calls for each message that it publishes, and one for each ack;
    each of them wakes the broker up for a few bytes. Nothing waits longer: pika, too, writes only
    when the event loop comes round. Overrides the one method that an adapter is to implement.
    """

    def __init__(self, *arguments, **options):
        self._unsent: list[bytes] = []
        super().__init__(*arguments, **options)

    def _adapter_emit_data(self, data: bytes) -> None:
        if not self._unsent:
            self._nbio.add_callback_threadsafe(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self._transport is not None:  # else the connection was lost meanwhile
            super()._adapter_emit_data(data)
