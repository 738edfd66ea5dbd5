"""The dead-letter queue: look at it, send its messages back, or remove them. For a person on call.

Every call takes all messages that are in the queue when it begins, unacked, over one connection
straight to the broker, and acts on those alone: what comes back meanwhile is of the next call.
What is not acked when the connection ends, however it ends, the broker puts back. The order stays
only where the queue is taken as a whole: a quorum queue delivers first what was put back first.
Each look counts as a delivery of every message, and RabbitMQ 4 drops what was delivered 20 times;
the policy in rabbitmq/definitions.json lifts that limit.

Delivery stays at least once: a message leaves the queue after its copy is safe, in the main queue
or in a file. A call that is killed between the two leaves it in both places, never in none.
"""

import hashlib
import json
import logging
import math
import os
import time
from base64 import b64encode
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ConnectionBlockedTimeout,
    NackError,
    ProbableAuthenticationError,
    UnroutableError,
)

from lab.amqp import TIMEOUT_SECONDS, parameters
from lab.errors import LabError
from lab.settings import LabSettings
from services.messaging import topology
from services.messaging.properties import onward, published_at, room
from services.messaging.schema import ATTEMPT, DEAD_LETTER_ERROR, DEAD_LETTER_REASON, POISON_REASONS, PUBLISHED_BY

QUEUE = topology.DEAD_LETTER_QUEUE
# A replayed message starts over.
_OF_THE_PAST = {DEAD_LETTER_REASON, DEAD_LETTER_ERROR, ATTEMPT}
_IN_BOTH = "it, and those just before it, may be in both queues"

# The most unacked messages that AMQP lets a consumer ask for.
MOST = 65535
# Bytes; what RabbitMQ and pika agree on where neither is configured otherwise.
FRAME_MAX = 131_072


@dataclass(frozen=True)
class DeadLetter:
    """One message of the queue; `tag` is its delivery tag on the channel that took it."""

    tag: int
    properties: pika.BasicProperties
    body: bytes

    @property
    def id(self) -> str:
        """As it can be shown and typed. What came without an id is known by its body."""
        return printable(self.properties.message_id) or f"no-id-{hashlib.sha256(self.body).hexdigest()[:12]}"

    @property
    def headers(self) -> dict:
        return self.properties.headers or {}

    @property
    def deaths(self) -> list[dict]:
        """What the broker noted each time that it dead-lettered the message or a retry ended its wait."""
        deaths = self.headers.get("x-death")
        return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []

    @property
    def reason(self) -> str:
        """Why it is here: by the consumer's header, else by the broker's own."""
        if DEAD_LETTER_REASON in self.headers:
            return printable(self.headers[DEAD_LETTER_REASON])
        here = [death for death in self.deaths if death.get("queue") == topology.QUEUE] or self.deaths
        return printable(here[0].get("reason")) if here else "unknown"

    @property
    def error(self) -> str:
        return printable(self.headers.get(DEAD_LETTER_ERROR))

    @property
    def published_by(self) -> str | None:
        """The broker's user who published it, where it said so: the broker checks user_id, so that counts more."""
        return self.properties.user_id or self.headers.get(PUBLISHED_BY)

    @property
    def publisher(self) -> str:
        """The program, by its own account, and the broker's user."""
        known = filter(None, (printable(self.properties.app_id), printable(self.published_by)))
        return " / ".join(known) or "unknown"

    @property
    def published_at(self) -> float | None:
        """Unix time in seconds of the first publish, where the publisher gave a plausible one."""
        return published_at(self.properties, time.time())

    @property
    def attempts(self) -> int:
        attempt = self.headers.get(ATTEMPT)
        return attempt if isinstance(attempt, int) and attempt >= 1 else 1

    def as_dict(self) -> dict:
        """All of it, fit for JSON."""
        told = {name: value for name, value in vars(self.properties).items() if value is not None and name != "headers"}
        try:
            body = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": b64encode(self.body).decode()}
        return {"id": self.id, "reason": self.reason, "properties": plain(told), "headers": plain(self.headers), **body}


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant: those with these ids, or all with this reason, or simply all."""

    ids: tuple[str, ...] = ()
    reason: str | None = None
    everything: bool = False

    def __post_init__(self):
        if bool(self.ids) + (self.reason is not None) + self.everything != 1:
            raise LabError("say which dead letters: their ids, or --reason REASON, or --all; one of the three. "
                           "`lab dlq list` shows them")

    def choose(self, letters: Collection[DeadLetter]) -> list[DeadLetter]:
        """In the queue's order; several messages may have one id."""
        return [letter for letter in letters
                if self.everything or letter.id in self.ids or letter.reason == self.reason]

    def missing(self, letters: Collection[DeadLetter]) -> list[str]:
        """The ids that are not there."""
        present = {letter.id for letter in letters}
        return [one for one in dict.fromkeys(self.ids) if one not in present]


@dataclass
class Outcome:
    """What a replay or a removal did; `failed` says why each of them stayed."""

    done: list[DeadLetter] = field(default_factory=list)
    refused: list[DeadLetter] = field(default_factory=list)
    failed: list[tuple[DeadLetter, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    file: Path | None = None  # where what was removed is kept


def look(settings: LabSettings) -> list[DeadLetter]:
    """Every message, in the queue's order; changes nothing. Raises LabError where the broker is away."""
    with taken(settings) as (_channel, letters):
        return letters


def replay(settings: LabSettings, selection: Selection, force: bool = False) -> Outcome:
    """Send the chosen messages to the main queue, one after the other, as if they were new.

    Refuses those that nobody can read, unless `force`. Raises LabError where the broker is away.
    """
    with taken(settings) as (channel, letters):
        publishing = channel.connection.channel()
        publishing.confirm_delivery()
        return replay_over(channel, publishing, letters, selection, force)


def replay_over(channel: BlockingChannel, publishing: BlockingChannel, letters: list[DeadLetter],
                selection: Selection, force: bool = False) -> Outcome:
    """`channel` has taken the letters, `publishing` is in confirm mode."""
    outcome = Outcome(missing=selection.missing(letters))
    for letter in selection.choose(letters):
        if letter.reason in POISON_REASONS and not force:
            outcome.refused.append(letter)
        elif trouble := _send(channel, publishing, letter):
            outcome.failed.append((letter, trouble))
        else:
            outcome.done.append(letter)
    return outcome


def _send(channel: BlockingChannel, publishing: BlockingChannel, letter: DeadLetter) -> str | None:
    """Publish the copy; once the broker has confirmed it, ack the original. Returns what went wrong."""
    if not (channel.is_open and publishing.is_open):
        return "the connection had ended"
    try:
        publishing.basic_publish(topology.EXCHANGE, topology.QUEUE, letter.body, fresh(letter), mandatory=True)
        channel.basic_ack(letter.tag)
    except UnroutableError:
        return "no queue is bound for it: `lab restart consumer` binds it"
    except NackError:
        return "the broker refused it: the queue is full, or it cannot write"
    except ConnectionBlockedTimeout:
        return f"the broker blocks publishers (RUNBOOK.md, «BrokerAlarm»); {_IN_BOTH}"
    except AMQPError as error:
        return f"the connection ended ({type(error).__name__}); {_IN_BOTH}"
    return None


def fresh(letter: DeadLetter) -> pika.BasicProperties:
    """The properties of a message that starts over.

    The time of the first publish stays: its client has waited since then. The freshness objective
    goes by the newest message that was processed, so an old one does not burn it.
    """
    return onward(letter.properties, {}, room(FRAME_MAX), without=_OF_THE_PAST)


def drop(settings: LabSettings, selection: Selection) -> Outcome:
    """Remove the chosen messages, after all of them are on disk in a file of the reports' folder.

    Raises LabError where the broker is away or the file cannot be written; then nothing is removed.
    """
    with taken(settings) as (channel, letters):
        outcome = Outcome(missing=selection.missing(letters))
        if chosen := selection.choose(letters):
            outcome.file = settings.reports_dir / time.strftime("dropped-%Y%m%d-%H%M%S.jsonl")
            drop_over(channel, chosen, outcome)
        return outcome


def drop_over(channel: BlockingChannel, chosen: list[DeadLetter], outcome: Outcome) -> None:
    """`channel` has taken the chosen ones."""
    _keep(chosen, outcome.file)
    for letter in chosen:
        try:
            channel.basic_ack(letter.tag)
        except AMQPError as error:
            outcome.failed.append((letter, f"the connection ended: {type(error).__name__}"))
        else:
            outcome.done.append(letter)


def _keep(letters: list[DeadLetter], path: Path) -> None:
    """Append them to the file, one line of JSON each; they are on disk when this returns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            for letter in letters:
                file.write(json.dumps(letter.as_dict()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else the file itself may be gone with the machine
        finally:
            os.close(folder)
    except OSError as error:
        raise LabError(f"nothing is removed: {path} cannot be written: {error.strerror}") from None


def plain(value: object) -> object:
    """A value of AMQP's as JSON can have it: bytes in hex; times, decimals and infinity as text."""
    if isinstance(value, dict):
        return {printable(name): plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def printable(value: object) -> str:
    """For people: what others wrote must not reach a terminal as its control characters."""
    if value is None:
        return ""
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# -- the broker -----------------------------------------------------------------------------


@contextmanager
def taken(settings: LabSettings) -> Iterator[tuple[BlockingChannel, list[DeadLetter]]]:
    """All that is in the queue, unacked; what is not acked by the end is put back.

    Of more than `MOST` messages, these are the first. Raises LabError where the broker is away or
    somebody else reads the queue.
    """
    with _connection(settings) as connection:
        channel = connection.channel()
        letters = _take(channel)
        yield channel, letters
        # What was done is done, whatever happens now; the broker puts back what it holds of a dead connection's.
        with suppress(AMQPError):
            _give_back(channel)


def _take(channel: BlockingChannel) -> list[DeadLetter]:
    state = channel.queue_declare(QUEUE, passive=True).method
    if state.consumer_count:
        raise LabError(f"somebody else reads {QUEUE} now: wait until that has ended, then try again")
    expected = min(state.message_count, MOST)
    if not expected:
        return []
    letters: list[DeadLetter] = []
    channel.basic_qos(prefetch_count=expected)
    tag = channel.basic_consume(QUEUE, lambda _channel, method, properties, body: letters.append(
        DeadLetter(method.delivery_tag, properties, body)))
    while len(letters) < expected:
        came = len(letters)
        channel.connection.process_data_events(TIMEOUT_SECONDS)
        if len(letters) == came:
            if not channel.queue_declare(QUEUE, passive=True).method.message_count:
                break  # the others have expired since
            raise LabError(f"only {came} of {expected} messages came: the broker hangs, or somebody else reads "
                           f"{QUEUE}. Nothing is changed: try again")
    channel.basic_cancel(tag)  # keeps what is unacked, brings nothing new
    return letters


def _give_back(channel: BlockingChannel) -> None:
    """Have the broker put back what is unacked, and wait until it has: the next call must see all of it."""
    connection = channel.connection
    channel.close()  # keeps the order; of a nack of many, RabbitMQ 3.10 does not where a delivery limit is set
    deadline = time.monotonic() + TIMEOUT_SECONDS
    asking = connection.channel()
    # A queue counts a consumer, even a cancelled one, as long as it holds messages.
    while asking.queue_declare(QUEUE, passive=True).method.consumer_count and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def _connection(settings: LabSettings) -> Iterator[pika.BlockingConnection]:
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what goes wrong is told once, by us
    where = f"the broker at 127.0.0.1:{settings.rabbitmq_port}"
    try:
        with pika.BlockingConnection(parameters(settings, "lab-dlq")) as connection:
            yield connection
    except ProbableAuthenticationError:
        raise LabError(f"{where} refuses the user {settings.rabbitmq_user}: see RABBITMQ_USER and RABBITMQ_PASS "
                       "in .env") from None
    except ChannelClosedByBroker as error:
        if error.reply_code == 404:
            raise LabError(f"there is no queue {QUEUE}: `lab restart consumer` declares it") from None
        raise LabError(f"{where} refuses: {error.reply_text}") from None
    except (AMQPError, AMQPConnectorException, OSError) as error:
        raise LabError(f"{where} does not answer ({type(error).__name__}): `lab ps`, then `lab start rabbitmq`, "
                       "or `lab resume rabbitmq` where it is paused") from None
