"""Fewer, larger writes to the broker."""

from pika.adapters.base_connection import BaseConnection


class Coalescing(BaseConnection):
    """Mixin for a pika adapter: what one turn of the event loop emits leaves in one write.

    pika itself makes three system calls for each message that it publishes, and one for each ack;
    each of them wakes the broker up for a few bytes. Nothing waits longer: pika, too, writes only
    when the event loop comes round, and only after it was told that the socket can be written to:
    two more system calls and one more turn, for a socket that nearly always can.
    Overrides the one method that an adapter is to implement.
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
        if self._transport is None:  # the connection was lost meanwhile
            return
        if rest := data[self._send_at_once(data):]:
            super()._adapter_emit_data(rest)

    def _send_at_once(self, data: bytes) -> int:
        """How many bytes the socket took: nearly always all of them."""
        if self._transport.get_write_buffer_size():
            return 0  # they wait behind others
        try:
            return self._transport._sock.send(data)
        except OSError:
            return 0  # full, or broken: pika deals with either
