"""What one client may cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of one process. Times are in seconds, rates in bytes a second."""

    # Connections that are open at once; beyond that, the one that has waited longest for its client makes room.
    max_connections: int = 1000
    # From a connection's first byte, or its start, to the end of a request's headers.
    head_timeout: float = 10.0
    # The whole of a body; and the rate at which it arrives, after some seconds for a slow start.
    body_timeout: float = 30.0
    min_body_rate: float = 1024.0
    # The whole of an answer, until the client's machine has room for its end.
    send_timeout: float = 10.0
    # Until the next request's first byte. A stopping process waits for it, too.
    keep_alive_timeout: float = 2.0
