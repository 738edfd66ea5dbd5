"""How many messages the broker holds in the lab's own queues, as of a known moment.

RabbitMQ counts a quorum queue when the queue ticks, every 5 s by default, and its management API serves the last count.
A count says nothing of messages that arrived after its tick. Each tick also updates `reductions`, the work done by the
queue's process, which always grows: a new value proves a new tick.
https://www.rabbitmq.com/docs/management#statistics-interval
"""

import time
from dataclasses import dataclass
from urllib.parse import quote

import requests

from lab.errors import LabError
from lab.settings import LabSettings
from services.messaging.topology import DEAD_LETTER_QUEUE, is_ours

TIMEOUT_SECONDS = 4
# From a tick to the answer that shows it: the management collects every second (rabbitmq/sre-lab.conf). On a machine
# that is busy it takes longer, so a second tick must follow, which comes 5 s after the first.
LAG_SECONDS = 2.0
TICKS = 2


@dataclass(frozen=True)
class Totals:
    """Messages in the lab's queues, ready and unacknowledged; `waiting` is all of them but the dead letters."""

    waiting: int
    dead_letters: int


class Count:
    """Counts the lab's queues at some moment after `since` (Unix time in seconds)."""

    def __init__(self, settings: LabSettings, since: float):
        self._settings = settings
        self._since = since
        self._ticks: dict[str, list[int]] = {}  # the different ones seen of each queue

    def poll(self) -> Totals | None:
        """The totals once every queue is known to have been counted after `since`; until then None.

        None too where the broker does not answer: what cannot be asked is not known.
        """
        asked_at = time.time()
        try:
            depths = self._depths()
        except LabError:
            return None
        if self._is_late(asked_at):
            self._ticks.clear()  # a broker that was frozen shows an old tick late
            return None
        if asked_at < self._since + LAG_SECONDS:
            return None
        for name, (_messages, tick) in depths.items():
            seen = self._ticks.setdefault(name, [])
            if tick not in seen:
                seen.append(tick)
        # The first one seen may be from before.
        if any(len(self._ticks[name]) <= TICKS for name in depths):
            return None
        dead_letters = depths.pop(DEAD_LETTER_QUEUE, (0, 0))[0]
        return Totals(sum(messages for messages, _tick in depths.values()), dead_letters)

    def _is_late(self, asked_at: float) -> bool:
        return time.time() - asked_at > LAG_SECONDS

    def _depths(self) -> dict[str, tuple[int, int]]:
        """Messages and reductions by queue. Raises LabError where one is not told: a queue that is new, or down."""
        try:
            return {queue["name"]: (queue["messages"], queue["reductions"])
                    for queue in listed(self._settings) if is_ours(queue["name"])}
        except KeyError as missing:
            raise LabError(f"the broker has not counted its queues yet: {missing} is missing") from None


def listed(settings: LabSettings) -> list[dict]:
    """The queues of the virtual host, as the management API describes them. Raises LabError where it does not answer."""
    try:
        answer = requests.get(
            f"{settings.management_url}/api/queues/{quote('/', safe='')}", timeout=TIMEOUT_SECONDS,
            auth=(settings.rabbitmq_user.encode(), settings.rabbitmq_pass.encode()))
        answer.raise_for_status()
        return answer.json()
    except (requests.RequestException, ValueError):
        raise LabError("the broker's management does not answer: `lab start rabbitmq`") from None
