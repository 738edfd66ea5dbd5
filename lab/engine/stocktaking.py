"""Takes every message out of the lab's queues, and notes its id: what a run left behind must not count in the next one.

The consumers are killed first, so that what they have in work returns to its queue at once, and nothing is processed
later. Where nothing at all is left from before, as on an idle lab, they go on undisturbed. Producer and clients go on
in any case; what they send meanwhile is taken, too.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import requests
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from lab.amqp import TIMEOUT_SECONDS, parameters
from lab.errors import LabError
from lab.exclusive import in_turn
from lab.grading import ledger, queues
from lab.settings import LabSettings
from lab.stack.base import Progress, Stack
from lab.stack.baseline import POLICIES, Management
from services.messaging import topology
from services.messaging.properties import short

NAME = "lab-stocktaking"
# Messages can have 4 MB each; all of these may be in memory at once.
PREFETCH = 100
BATCH = 50  # messages for each line noted and each ack
QUIET_SECONDS = 1.5  # on an idle lab, a moment without any message in work comes several times a second
POLL_SECONDS = 0.1
HELD_SECONDS = 15  # the broker counts its queues every five
READERS_SECONDS = 10  # for the broker to notice that its consumers are gone


def take(settings: LabSettings, stack: Stack, progress: Progress, emptied: Callable[[], None]) -> None:
    """Empty every queue; call `emptied` when all are, before a consumer reads again.

    Raises LabError where the broker does not answer or somebody keeps messages from it.
    """
    with in_turn(settings, "stocktaking"):
        present = {queue["name"]: queue for queue in queues.listed(settings)}
        # First those from which messages return to the main queue by themselves, then that one, then the dead letters.
        ours = sorted(filter(topology.is_ours, sorted(present)), key=(topology.QUEUE, topology.DEAD_LETTER_QUEUE).__contains__)
        for name in [name for name in ours if present[name].get("type") == "stream"]:
            _delete(settings, name)  # a stream gives its messages to readers again and again
            ours.remove(name)
        note = Notes(settings.ledger_dir / ledger.STOCK)
        held = [name for name in ours if present[name].get("messages_dlx")]
        if not held and _is_idle(settings, ours, note):
            emptied()
        else:
            _without_consumers(settings, stack, progress, ours, held, note, emptied)
        # A purge can hang on an idle quorum queue after a broker was killed.
        _purge(settings, [name for name, queue in present.items() if name not in ours and queue.get("messages")])


def _is_idle(settings: LabSettings, ours: list[str], note: "Notes") -> bool:
    """Empty all queues but the main one; whether nothing from before is then left in that one, or in work."""
    others = [name for name in ours if name != topology.QUEUE]
    with _connection(settings) as connection:
        for name in others:
            _empty(settings, connection, name, note)
        # What was in work may have failed meanwhile, and wait for another attempt.
        return _is_quiet(settings, connection) and not any(_state(connection, name)[0] for name in others)


def _without_consumers(settings: LabSettings, stack: Stack, progress: Progress, ours: list[str], held: list[str],
                       note: "Notes", emptied: Callable[[], None]) -> None:
    stack.kill("consumer")
    try:
        if held:
            progress(f"waiting for the messages that the broker could not route from {', '.join(held)}")
            _let_go(settings, held, note)
        with _connection(settings) as connection:
            for name in ours:
                _empty(settings, connection, name, note)
        emptied()
    finally:
        stack.start("consumer")
    progress(f"{note.count} messages were left in the queues, and are removed")


# -- one queue ------------------------------------------------------------------------------


class Notes:
    """Appends what is found to the file, before it leaves the queue; see `lab.grading.ledger.STOCK`."""

    def __init__(self, path: Path):
        self._path = path
        self.count = 0

    def add(self, queue: str, ids: list[str]) -> None:
        self._write([{"event": "found", "id": one, "queue": queue} for one in ids])
        self.count += len(ids)

    def add_unidentified(self, queue: str, count: int) -> None:
        self._write([{"event": "unidentified", "id": "", "queue": queue, "count": count}])

    def _write(self, entries: list[dict]) -> None:
        now = round(time.time(), 3)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"time": now, **entry}) + "\n" for entry in entries)


def _empty(settings: LabSettings, connection: pika.BlockingConnection, queue: str, note: Notes) -> None:
    """Take all that was in the queue when this began, and what others hold of it unacknowledged.

    A queue that is not as the services declare it, and so does not let its messages be read, is deleted. They excuse
    nothing, as no message that was acknowledged can have come there by itself.
    """
    try:
        _take_all(settings, connection, queue, note)
    except ChannelClosedByBroker:
        _delete(settings, queue)


def _delete(settings: LabSettings, queue: str) -> None:
    Management(settings).call("DELETE", "queues", "/", queue, missing_ok=True)


def _take_all(settings: LabSettings, connection: pika.BlockingConnection, queue: str, note: Notes) -> None:
    if _state(connection, queue)[1]:
        _close_readers(settings, connection, queue)
    channel = connection.channel()
    try:
        expected, _readers = _state(connection, queue)
        channel.basic_qos(prefetch_count=PREFETCH)
        while expected > 0:
            taken = _take(channel, queue, expected, note)
            # Some have expired, or somebody purges the queue; the rest is there, or nothing comes at all.
            expected = 0 if taken >= expected else min(expected - taken, _state(connection, queue)[0])
            if expected and not taken:
                raise LabError(f"{queue} does not give out its {expected} messages: `lab restart rabbitmq`")
    finally:
        if channel.is_open:
            channel.close()  # puts back what came beyond those


def _take(channel: BlockingChannel, queue: str, most: int, note: Notes) -> int:
    """Take up to `most` messages; fewer where no more come."""
    taken, ids, last = 0, [], 0
    for method, properties, body in channel.consume(queue, inactivity_timeout=TIMEOUT_SECONDS):
        if method is None:
            break
        taken, last = taken + 1, method.delivery_tag
        ids.append(identity(properties, body))
        if len(ids) == BATCH:
            _remove(channel, queue, ids, last, note)
            ids = []
        if taken == most:
            break
    _remove(channel, queue, ids, last, note)
    channel.cancel()
    return taken


def _remove(channel: BlockingChannel, queue: str, ids: list[str], last: int, note: Notes) -> None:
    """Note the ids first: a process that is killed in between leaves them noted, and in the queue."""
    if ids:
        note.add(queue, ids)
        channel.basic_ack(last, multiple=True)


def identity(properties: pika.BasicProperties, body: bytes) -> str:
    """The id as the ledgers have it: of the property, else of the body; empty where neither has one."""
    if properties.message_id:
        return short(properties.message_id)
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    one = content.get("id") if isinstance(content, dict) else None
    return one if isinstance(one, str) else ""


def _state(connection: pika.BlockingConnection, queue: str) -> tuple[int, int]:
    """How many messages are ready, and how many channels read the queue, right now; (0, 0) where there is no queue."""
    channel = connection.channel()
    try:
        state = channel.queue_declare(queue, passive=True).method
        channel.close()
    except ChannelClosedByBroker as error:
        if error.reply_code == 404:
            return 0, 0
        raise
    return state.message_count, state.consumer_count


# -- what the broker holds back -------------------------------------------------------------


def _let_go(settings: LabSettings, held: list[str], note: Notes) -> None:
    """Have the broker try again to dead-letter what it holds, and wait until it has; what it keeps has no id for us.

    With the strategy at-least-once a queue holds expired messages that cannot be routed, where no consumer sees them.
    The broker tries again after three minutes, or when a policy of the queue changes.
    https://www.rabbitmq.com/docs/quorum-queues#dead-lettering
    """
    for name in held:
        _touch_policy(Management(settings), name)
    deadline = time.monotonic() + HELD_SECONDS
    while left := {one["name"]: one["messages_dlx"] for one in queues.listed(settings)
                   if one["name"] in held and one.get("messages_dlx")}:
        if time.monotonic() > deadline:
            for name, count in left.items():
                note.add_unidentified(name, count)
            return
        time.sleep(POLL_SECONDS)


def _touch_policy(management: Management, queue: str) -> None:
    usual = POLICIES.get(queue)
    touched = {"pattern": f"^{re.escape(queue)}$", "apply-to": "queues", "priority": 0, "definition": {}} | (usual or {})
    touched["definition"] = touched["definition"] | {"delivery-limit": 1000}
    management.call("PUT", "policies", "/", queue, **touched)
    if usual:
        management.call("PUT", "policies", "/", queue, **usual)
    else:
        management.call("DELETE", "policies", "/", queue, missing_ok=True)


# -- who reads ------------------------------------------------------------------------------


def _is_quiet(settings: LabSettings, connection: pika.BlockingConnection) -> bool:
    """Whether all that was in the main queue has been processed: twice in a row nothing is ready, and nothing in work."""
    deadline = time.monotonic() + QUIET_SECONDS
    seen = 0
    while seen < 2 and time.monotonic() < deadline:
        # One reader, which is the lab's own; of several, only one could be asked.
        is_quiet = _state(connection, topology.QUEUE) == (0, 1) and _in_flight(settings) == 0
        seen = seen + 1 if is_quiet else 0
        time.sleep(POLL_SECONDS)
    return seen == 2


def _in_flight(settings: LabSettings) -> float | None:
    """How many messages the consumer has in work, by its own account; None where it does not say."""
    try:
        answer = requests.get(f"http://127.0.0.1:{settings.consumer_port}/metrics", timeout=TIMEOUT_SECONDS)
    except requests.RequestException:
        return None
    values = [line.split()[1] for line in answer.text.splitlines() if line.startswith("messages_in_flight ")]
    return float(values[0]) if values else None


def _close_readers(settings: LabSettings, connection: pika.BlockingConnection, queue: str) -> None:
    """Whatever is unacknowledged returns to the queue when its connection ends."""
    deadline = time.monotonic() + READERS_SECONDS
    while _state(connection, queue)[1]:
        if time.monotonic() > deadline:
            raise LabError(f"somebody reads {queue}, and the broker does not end that: `lab restart rabbitmq`")
        management = Management(settings)
        for one in management.call("GET", "connections"):
            # A reader that gets single messages is in no list of consumers.
            name = one.get("user_provided_name") or ""
            if name != NAME and not name.startswith(topology.PRODUCER_NAME):
                management.call("DELETE", "connections", one["name"], missing_ok=True)
        connection.sleep(POLL_SECONDS)


def _purge(settings: LabSettings, foreign: list[str]) -> None:
    for name in foreign:
        Management(settings).call("DELETE", "queues", "/", name, "contents", missing_ok=True)


@contextmanager
def _connection(settings: LabSettings) -> Iterator[pika.BlockingConnection]:
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what goes wrong is reported once, by us
    try:
        with pika.BlockingConnection(parameters(settings, NAME)) as connection:
            yield connection
    except (AMQPError, AMQPConnectorException, OSError) as error:
        raise LabError(f"the queues cannot be emptied, the broker does not answer ({type(error).__name__}: {error}): "
                       "`lab restart rabbitmq`, then `lab reset`") from None
