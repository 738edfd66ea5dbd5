"""What is being processed, and what was processed lately.

The broker delivers a message again when its ack was lost with the connection. A consumer that then
starts from the beginning makes no progress over a link that breaks more often than a message takes.
"""

from collections import OrderedDict
from dataclasses import dataclass

from services.messaging.schema import Message

from .delivery import Delivery

# Far more than any prefetch in use; some 3 MB.
REMEMBERED = 10_000

Key = tuple[str, int]


@dataclass
class Task:
    """A message to process, and the delivery that its result settles: the latest one of that message."""

    delivery: Delivery
    message: Message

    @property
    def key(self) -> Key:
        # A client may use an id again for another message: the body counts as well.
        return self.message.id, hash(self.delivery.body)


class Tasks:
    """The tasks of one consumer. Used on the event loop only."""

    def __init__(self):
        self._unfinished: dict[Key, Task] = {}
        self._processed: OrderedDict[Key, None] = OrderedDict()

    def begin(self, task: Task) -> None:
        self._unfinished[task.key] = task

    def take_over(self, task: Task) -> bool:
        """Let an unfinished task of a lost channel settle this delivery of the same message; False if there is none."""
        earlier = self._unfinished.get(task.key)
        if earlier is None or earlier.delivery.channel is task.delivery.channel:
            return False
        earlier.delivery = task.delivery
        return True

    def end(self, task: Task) -> None:
        """It is finished, or will not be begun."""
        if self._unfinished.get(task.key) is task:
            del self._unfinished[task.key]

    def remember(self, task: Task) -> None:
        """It was processed with success."""
        self._processed[task.key] = None
        if len(self._processed) > REMEMBERED:
            self._processed.popitem(last=False)

    def was_processed(self, task: Task) -> bool:
        return task.key in self._processed
