"""A connection may start to close at any moment; whatever was still to be sent on it is then void."""

import functools
from collections.abc import Callable
from contextlib import suppress

from pika.exceptions import ChannelWrongStateError, ConnectionWrongStateError

# pika raises these before it sends anything.
NOT_OPEN = (ChannelWrongStateError, ConnectionWrongStateError)


def unless_closing(callback: Callable[..., None]) -> Callable[..., None]:
    """For callbacks of the event loop: do nothing more once the channel or the connection is closing.

    What follows from the loss is the business of the close callbacks.
    """
    @functools.wraps(callback)
    def guarded(*arguments, **named) -> None:
        with suppress(*NOT_OPEN):
            callback(*arguments, **named)
    return guarded
