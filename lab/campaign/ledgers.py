"""Takes the history of a run from the ledgers and from the broker's queues."""

import time
from collections.abc import Iterator

import pika

from lab.amqp import parameters
from lab.campaign.checker import History, Processing
from lab.campaign.hostile import PREFIX
from lab.campaign.stranger import Stranger
from lab.grading.ledger import lines
from lab.settings import LabSettings
from lab.stack.base import Stack
from lab.stack.baseline import Management
from services.messaging.topology import DEAD_LETTER_QUEUE

DRAIN_SECONDS = 90
POLL_SECONDS = 0.5
# The broker counts its quorum queues every 5 s (quorum_tick_interval): a count of 0 must outlast that.
EMPTY_SECONDS = 6.0


class Recorder:
    """Knows where every ledger ended when the run began; reads on from there."""

    def __init__(self, settings: LabSettings, stack: Stack):
        self._settings = settings
        self._stack = stack
        self._begins = {path: path.stat().st_size for path in stack.ledger_dir().glob("*.jsonl")}

    def history(self, poison: Stranger | None = None, hostile: Stranger | None = None) -> History:
        """All that happened; to be called when the traffic has stopped. Empties the dead-letter queue."""
        left = drain(self._settings)
        folder = self._stack.ledger_dir()
        clients: dict[str, set[str]] = {}
        for line in lines(folder, "acknowledged-*.jsonl", self._begins):
            clients.setdefault(line["event"], set()).add(line["id"])
        sent = frozenset(clients.get("sent", ()))
        acknowledged = frozenset(clients.get("acknowledged", ()))
        rejected = frozenset(clients.get("rejected", ()))
        return History(
            sent=sent, acknowledged=acknowledged, rejected=rejected, unknown=sent - acknowledged - rejected,
            poison_sent=_marks(poison, "sent"), poison_confirmed=_marks(poison, "confirmed"),
            hostile_sent=_marks(hostile, "sent"), hostile_confirmed=_marks(hostile, "confirmed"),
            processed=tuple(Processing(line["id"], line["redelivered"])
                            for line in lines(folder, "processed-*.jsonl", self._begins)
                            if line["event"] == "processed"),
            dead_letters=tuple(take_dead_letters(self._settings)), left=left)


def _marks(stranger: Stranger | None, kind: str) -> frozenset[str]:
    return frozenset(getattr(stranger, kind)) if stranger else frozenset()


def drain(settings: LabSettings) -> dict[str, int]:
    """Wait until every queue but the dead letters' is empty; return what is left at the deadline."""
    deadline = time.monotonic() + DRAIN_SECONDS
    empty_since = None
    while True:
        left = {queue["name"]: queue.get("messages", 0) for queue in Management(settings).call("GET", "queues")
                if queue["name"] != DEAD_LETTER_QUEUE and queue.get("messages", 0)}
        now = time.monotonic()
        if left:
            empty_since = None
        elif empty_since is None:
            empty_since = now
        elif now - empty_since >= EMPTY_SECONDS:
            return {}
        if now > deadline:
            return left
        time.sleep(POLL_SECONDS)


def take_dead_letters(settings: LabSettings) -> Iterator[str]:
    """The id, or the mark of a hostile message, of all in the dead-letter queue, which is empty afterwards."""
    with pika.BlockingConnection(parameters(settings, "campaign")) as connection:
        channel = connection.channel()
        while True:
            method, properties, _body = channel.basic_get(DEAD_LETTER_QUEUE)
            if method is None:
                return
            channel.basic_ack(method.delivery_tag)
            mark = properties.correlation_id or ""
            yield mark if mark.startswith(PREFIX) else properties.message_id
