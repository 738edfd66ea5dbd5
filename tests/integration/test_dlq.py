"""`lab dlq` on a real broker: looking changes nothing, nothing is lost, and only what was chosen is touched."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import islice

import pika
import pytest
import requests

from lab import dlq
from lab.campaign.hostile import messages
from lab.campaign.ledgers import drain
from lab.errors import LabError
from lab.grading.ledger import lines
from lab.settings import ROOT
from lab.stack.baseline import Management
from services.messaging import schema
from tests.conftest import Lab, Terminal, private_lab, wait_until


@pytest.fixture(scope="module")
def quiet_lab(tmp_path_factory):
    """A lab whose clients rest."""
    with private_lab(tmp_path_factory.mktemp("dlq")) as lab:
        lab.command("up")
        lab.stack.stop("traffic")
        assert drain(lab.settings) == {}
        yield lab


@pytest.fixture
def lab(quiet_lab):
    """With an empty dead-letter queue, whatever the test before left."""
    with connect(quiet_lab) as connection:
        connection.channel().queue_purge(dlq.QUEUE)
    return quiet_lab


def connect(lab: Lab, user: str | None = None) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters(
        "127.0.0.1", lab.settings.rabbitmq_port,
        credentials=pika.PlainCredentials(user or lab.settings.rabbitmq_user, user or lab.settings.rabbitmq_pass)))


def publish(lab: Lab, queue: str, *messages: tuple[pika.BasicProperties, bytes], user: str | None = None) -> None:
    with connect(lab, user) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for properties, body in messages:
            channel.basic_publish("", queue, body, properties, mandatory=True)


def put_dead_letters(lab: Lab, *ids: str, reason: str = "attempts_exhausted") -> None:
    """As the consumer puts them there."""
    publish(lab, dlq.QUEUE, *((pika.BasicProperties(
        message_id=one, app_id="producer", delivery_mode=2,
        headers={schema.DEAD_LETTER_REASON: reason, schema.ATTEMPT: 5, schema.PUBLISHED_AT_MS: round(time.time() * 1000)}),
        json.dumps({"id": one, "payload": "p"}).encode()) for one in ids))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def there(lab: Lab) -> list[str]:
    return [letter.id for letter in dlq.look(lab.settings)]


def await_there(lab: Lab, ids: list[str]) -> None:
    wait_until(lambda: sorted(there(lab)) == sorted(ids), what=f"{ids} in the dead-letter queue")


def processed(lab: Lab) -> set[str]:
    return {line["id"] for line in lines(lab.stack.ledger_dir(), "processed-*.jsonl") if line["event"] == "processed"}


def refused(lab: Lab, *arguments: str) -> str:
    done = lab.command("dlq", *arguments, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


class TestLooking:
    def test_changes_nothing_however_often(self, lab):
        ids = names("look", 40)
        put_dead_letters(lab, *ids[:30])
        put_dead_letters(lab, *ids[30:], reason="invalid")
        for _ in range(2):
            shown = lab.command("dlq", "list", "--limit", "35").stdout
            listed = [line.split()[0] for line in shown.splitlines() if line.lstrip().startswith("look-")]
            assert listed == ids[:35]
            assert "… and 5 more" in shown
            assert "40 dead letters: 30 attempts_exhausted, 10 invalid; published by 40 producer" in shown
            assert there(lab) == ids
        assert "10 dead letters: 10 invalid" in lab.command("dlq", "list", "--reason", "invalid").stdout

    @pytest.mark.racing
    def test_what_is_killed_while_it_looks_loses_nothing(self, lab):
        ids = names("held", 100)
        put_dead_letters(lab, *ids)
        hold = ("import sys; from lab import dlq, settings\n"
                "with dlq.taken(settings.load()): print('taken', flush=True); sys.stdin.read()")
        for _ in range(2):
            process = subprocess.Popen([sys.executable, "-c", hold], cwd=ROOT, encoding="utf-8",
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert process.stdout.readline() == "taken\n"
            assert "somebody else reads messages.dlq" in refused(lab, "list")
            process.send_signal(signal.SIGKILL)
            process.communicate()
            wait_until(lambda: readable(lab) == ids, what="the return of all")

    def test_the_broker_sets_no_limit_to_looking(self, lab):
        """RabbitMQ 4 would drop what was delivered 20 times."""
        queue = Management(lab.settings).call("GET", "queues", "/", dlq.QUEUE)
        assert queue["effective_policy_definition"]["delivery-limit"] >= 1_000_000

    def test_an_empty_queue_is_no_error(self, lab):
        assert lab.command("dlq", "list").stdout == "no dead letters\n"
        assert "there is no dead letter gone" in refused(lab, "show", "gone")

    def test_one_is_shown_with_all_that_is_known_of_it(self, lab):
        publish(lab, "messages", (pika.BasicProperties(message_id="shown", app_id="program", user_id="admin"),
                                  b'{"id": "shown", "payload": null}'))
        await_there(lab, ["shown"])
        for _ in range(2):
            shown = lab.command("dlq", "show", "shown").stdout
            for text in ("invalid", "payload: must not be null", "program / admin", "header x-published-by",
                         '  "id": "shown"'):
                assert text in shown


def readable(lab: Lab) -> list[str] | None:
    """The ids in the queue; None while another reader still has it."""
    try:
        return there(lab)
    except LabError:
        return None


class TestReplay:
    def test_what_had_used_its_attempts_is_processed_and_only_what_was_chosen(self, lab):
        ids = names("again", 4)
        for setting in ("CONSUMER_FAILURE_RATE=1", "MAX_ATTEMPTS=1"):
            lab.command("set", setting)
        lab.command("restart", "consumer")
        for one in ids:
            assert requests.post(f"{lab.settings.producer_url}/produce", timeout=30,
                                 json={"id": one, "payload": "p"}).status_code == 201
        await_there(lab, ids)
        published = {letter.id: letter.published_at for letter in dlq.look(lab.settings)}

        # Not mended yet: it comes back, once, with its first time of publish.
        assert "1 dead letter sent back" in lab.command("dlq", "replay", ids[0]).stdout
        await_there(lab, ids)
        assert {letter.id: letter.published_at for letter in dlq.look(lab.settings)} == published

        for setting in ("CONSUMER_FAILURE_RATE=0", "MAX_ATTEMPTS=5"):
            lab.command("set", setting)
        lab.command("restart", "consumer")
        assert "2 dead letters sent back" in lab.command("dlq", "replay", *ids[:2]).stdout
        wait_until(lambda: set(ids[:2]) <= processed(lab), what="the replayed ones")
        assert there(lab) == ids[2:]
        assert processed(lab).isdisjoint(ids[2:])

        again = lab.command("dlq", "replay", *ids[:2]).stdout
        assert "0 dead letters sent back" in again
        assert f"2 not there (any more): {ids[0]}, {ids[1]}" in again
        assert "2 dead letters sent back" in lab.command("dlq", "replay", "--reason", "attempts_exhausted").stdout
        wait_until(lambda: set(ids) <= processed(lab), what="the others")
        assert there(lab) == []

    def test_what_nobody_can_read_is_refused_and_comes_back_when_forced(self, lab):
        publish(lab, "messages", (pika.BasicProperties(message_id="poison"), b'{"id": '))
        await_there(lab, ["poison"])
        put_dead_letters(lab, "good")
        assert "1 refused: nobody can read them" in refused(lab, "replay", "--all")
        wait_until(lambda: "good" in processed(lab), what="the good one")
        assert there(lab) == ["poison"]
        for _ in range(2):
            # One round each: what comes back meanwhile is of the next call.
            assert "1 dead letter sent back" in lab.command("dlq", "replay", "poison", "--force").stdout
            await_there(lab, ["poison"])

    def test_what_the_broker_dead_lettered_of_another_user(self, lab):
        management = Management(lab.settings)
        management.call("PUT", "users", "other", password="other", tags="")
        management.call("PUT", "permissions", "/", "other", configure="", write=".*", read="")
        lab.command("stop", "consumer")
        publish(lab, "messages", (pika.BasicProperties(message_id="late", user_id="other", expiration="50"),
                                  b'{"id": "late", "payload": "p"}'), user="other")
        await_there(lab, ["late"])
        shown = lab.command("dlq", "show", "late").stdout
        assert "expired" in shown and "x-death" in shown
        lab.command("dlq", "replay", "--reason", "expired")
        lab.command("start", "consumer")
        wait_until(lambda: "late" in processed(lab), what="the late one")

    @pytest.mark.racing
    def test_killed_midway_nothing_is_lost(self, lab):
        ids = names("killed", 600)
        put_dead_letters(lab, *ids)
        replaying = lab.engine("dlq", "replay", "--all")
        wait_until(lambda: ids[0] in processed(lab), what="the first one")
        replaying.kill()
        replaying.communicate()
        wait_until(lambda: (left := readable(lab)) is not None and processed(lab) | set(left) >= set(ids),
                   what="the return of the others, and processing of those that were sent")
        left = there(lab)
        assert left == ids[len(ids) - len(left):]
        lab.command("dlq", "replay", "--all")
        wait_until(lambda: processed(lab) >= set(ids), what="all")
        assert there(lab) == []

    def test_what_is_not_confirmed_stays(self, lab):
        ids = names("unbound", 3)
        put_dead_letters(lab, *ids)
        with connect(lab) as connection:
            connection.channel().queue_unbind("messages", "messages", "messages")
        for _ in range(2):
            told = refused(lab, "replay", "--all")
            assert "0 dead letters sent back" in told
            assert "3 stayed: no queue is bound for it" in told
            assert there(lab) == ids
        lab.command("restart", "consumer")
        lab.command("dlq", "replay", "--all")
        wait_until(lambda: set(ids) <= processed(lab), what="all")

    def test_a_broker_that_blocks_publishers_holds_nobody_up(self, lab):
        ids = names("blocked", 3)
        put_dead_letters(lab, *ids)
        lab.command("exec", "rabbitmq", "rabbitmqctl", "set_vm_memory_high_watermark", "0.00001")
        try:
            assert "stayed: the broker blocks publishers" in refused(lab, "replay", "--all")
        finally:
            lab.command("exec", "rabbitmq", "rabbitmqctl", "set_vm_memory_high_watermark", "0.4")
        wait_until(lambda: processed(lab) | set(readable(lab) or ()) >= set(ids), what="the return of the others")


class TestDrop:
    def test_removes_just_those_and_keeps_them_in_a_file(self, lab):
        ids = names("drop", 4)
        put_dead_letters(lab, *ids)
        assert "say --yes" in refused(lab, "drop", ids[1])
        assert there(lab) == ids
        told = lab.command("dlq", "drop", ids[1], ids[3], "--yes").stdout
        assert "2 dead letters removed" in told and "discarded" in told
        assert there(lab) == [ids[0], ids[2]]
        (file,) = lab.settings.reports_dir.glob("dropped-*.jsonl")
        kept = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert [(one["id"], json.loads(one["body"])["id"], one["properties"]["app_id"], one["headers"][schema.ATTEMPT])
                for one in kept] == [(one, one, "producer", 5) for one in (ids[1], ids[3])]

        again = lab.command("dlq", "drop", ids[1], ids[3], "--yes").stdout
        assert "0 dead letters removed" in again and "2 not there" in again
        assert list(lab.settings.reports_dir.glob("dropped-*.jsonl")) == [file]

    def test_a_terminal_is_asked_and_what_comes_meanwhile_stays(self, lab):
        put_dead_letters(lab, "old")
        for answer, left in (("n", ["old", "new-n"]), ("y", ["new-y"])):
            terminal = Terminal(sys.executable, "-m", "lab.cli", "dlq", "drop", "--all")
            terminal.wait_for("[y/N]")
            put_dead_letters(lab, f"new-{answer}")
            terminal.type(f"{answer}\n")
            assert terminal.wait_end() == (1 if answer == "n" else 0)
            assert there(lab) == left
        terminal = Terminal(sys.executable, "-m", "lab.cli", "dlq", "drop", "gone")
        terminal.wait_for("no such dead letter is there")
        assert terminal.wait_end() == 0


def test_hostile_dead_letters_can_be_listed_shown_replayed_and_dropped(lab):
    # Those that expire leave the queue by themselves.
    hostile = [one for one in islice(messages(7), 80)
               if not pika.BasicProperties().decode(b"".join(one.properties.encode())).expiration]
    with connect(lab) as connection:
        for one in hostile:
            channel = connection.channel()
            channel.confirm_delivery()
            with suppress(pika.exceptions.ChannelClosedByBroker):  # the broker refuses some
                channel.basic_publish("", dlq.QUEUE, one.body, one.properties, mandatory=True)
    letters = dlq.look(lab.settings)
    assert len(letters) > 40
    listed = lab.command("dlq", "list").stdout
    assert "\x1b" not in listed
    assert f"{len(letters)} dead letters" in listed
    for letter in letters[:5]:
        assert letter.reason in lab.command("dlq", "show", "--", letter.id).stdout
    lab.command("dlq", "replay", "--all", "--force")
    wait_until(lambda: drain(lab.settings) == {} and there(lab), what="what cannot be read to come back")
    left = len(dlq.look(lab.settings))
    lab.command("dlq", "drop", "--all", "--yes")
    [kept] = [path for path in lab.settings.reports_dir.glob("dropped-*.jsonl")
              if len(path.read_text(encoding="utf-8").splitlines()) == left]
    assert all(json.loads(line)["id"] for line in kept.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("arguments", [("replay",), ("drop", "--yes"), ("replay", "--all", "one")])
def test_a_choice_is_needed(lab, arguments):
    assert "say which dead letters" in refused(lab, *arguments)


def test_a_broker_that_hangs_holds_nobody_up(lab):
    lab.command("pause", "rabbitmq")
    try:
        assert "does not answer" in refused(lab, "list")
    finally:
        lab.command("resume", "rabbitmq")


def test_without_a_broker_it_says_what_to_do(lab):
    lab.command("stop", "rabbitmq")
    for arguments in (("list",), ("show", "one"), ("replay", "--all"), ("drop", "--all", "--yes")):
        told = refused(lab, *arguments)
        assert "does not answer" in told and "lab start rabbitmq" in told
        assert len(told.splitlines()) == 1
