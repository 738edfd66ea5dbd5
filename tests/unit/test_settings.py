"""The settings file: what is refused and with which words, how it is changed, and that the example is complete."""

import json
import random
import re
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lab import settings, settings_file
from lab.errors import LabError
from lab.settings import EXAMPLE_FILE, LabSettings
from lab.stack.compose import docker
from services.consumer.settings import ConsumerSettings
from services.producer.settings import ProducerSettings

KINDS = [LabSettings, ProducerSettings, ConsumerSettings]
# Only the stack sets these: each consumer has a name of its own, and all write to the run folder.
SET_BY_THE_STACK = {"CONSUMER_NAME", "LEDGER_DIR"}


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a settings file, which is not there yet, and an environment that sets nothing else."""
    for key in settings.known_keys() | SET_BY_THE_STACK:
        monkeypatch.delenv(key, raising=False)
    path = tmp_path / "env"
    monkeypatch.setenv("ENV_FILE", str(path))
    return path


def refusal() -> str:
    """What is said when the settings are loaded."""
    with pytest.raises(LabError) as caught:
        settings.load()
    return str(caught.value)


# -- loading --------------------------------------------------------------------------------------


def test_without_a_file_the_defaults_hold():
    assert settings.load() == LabSettings(_env_file=None)


def test_the_file_is_read(env_file):
    env_file.write_text("# comment\n\nexport LAB_CONSUMERS=3\nRABBITMQ_PASS='two words'\nLAB_RUN_DIR=/elsewhere\n", encoding="utf-8")
    found = settings.load()
    assert (found.lab_consumers, found.rabbitmq_pass) == (3, "two words")
    assert found.ledger_dir == Path("/elsewhere/ledger")


@pytest.mark.parametrize("text, line, says", [
    ("# comment\nRABBITMQ PORT 5\n", 2, "cannot be read as KEY=value: 'RABBITMQ PORT 5'"),
    ("LOG_LEVEL=INFO\nLAB_CONSUMERS\n", 2, "cannot be read as KEY=value: 'LAB_CONSUMERS'"),
    ("LOG_LEVEL='INFO\n", 1, "cannot be read as KEY=value: \"LOG_LEVEL='INFO\""),
    ("=5\n", 1, "cannot be read as KEY=value: '=5'"),
    ("\0\1\n", 1, "cannot be read as KEY=value: "),
    ("LOG_LEVEL=INFO\nLAB_CONSUMER=2\n", 2, "LAB_CONSUMER is not a setting; see .env.example"),
    ("lab_consumers=2\n", 1, "lab_consumers is not a setting; see .env.example"),
    ("LOG_LEVEL=INFO\n\n\nLAB_CONSUMER=2\n", 4, "LAB_CONSUMER"),
    ("\nRABBITMQ PORT 5\n", 2, "cannot be read"),
])
def test_a_line_that_is_wrong_is_named(env_file, text, line, says):
    env_file.write_text(text, encoding="utf-8")
    assert refusal().startswith(f"{env_file}, line {line}: {says}")


@pytest.mark.parametrize("key, value", [
    ("LAB_CONSUMERS", "11"), ("LAB_CONSUMERS", "0"), ("LAB_CONSUMERS", "two"), ("LAB_CONSUMERS", ""),
    ("LAB_TRAFFIC_RATE", "0"), ("LAB_UP_DEADLINE", "nan"), ("PRODUCER_PORT", "65536"), ("LAB_STACK", "docker"),
])
@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_value_that_is_wrong_is_named(env_file, monkeypatch, where, key, value):
    if where == "file":
        env_file.write_text(f"{key}={value}\n", encoding="utf-8")
    else:
        monkeypatch.setenv(key, value)
    assert f"in {env_file} or the environment" in refusal()
    assert f"\n  {key}={value!r}: Input should be " in refusal()


@pytest.mark.parametrize("key, value", [
    ("MAX_BODY_BYTES", "1048577"), ("MAX_CONNECTIONS", "0"), ("HEAD_TIMEOUT", "0"), ("SEND_TIMEOUT", "inf"),
    ("MIN_BODY_RATE", "nan"),
])
def test_a_bound_of_the_producer_that_is_wrong_is_refused(key, value):
    with pytest.raises(ValidationError, match=key.lower()):
        ProducerSettings(_env_file=None, **{key.lower(): value})


def test_a_file_that_cannot_be_read_is_named(env_file):
    env_file.write_bytes(b"\x7fELF\xff\xfe")
    assert refusal().startswith(f"{env_file} cannot be read: ")
    env_file.unlink()
    env_file.mkdir()
    assert refusal().startswith(f"{env_file} cannot be read: ")


# -- changing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("before, after", [
    ("# one\nLOG_LEVEL=INFO\n\n# two\nLAB_CONSUMERS=1\n# three\n",
     "# one\nLOG_LEVEL=INFO\n\n# two\nLAB_CONSUMERS=2\n# three\n"),
    ("export LAB_CONSUMERS = '1'\nLOG_LEVEL=INFO\n", "LAB_CONSUMERS=2\nLOG_LEVEL=INFO\n"),
    ("# LAB_CONSUMERS=1\n", "# LAB_CONSUMERS=1\nLAB_CONSUMERS=2\n"),
    ("LOG_LEVEL=INFO", "LOG_LEVEL=INFO\nLAB_CONSUMERS=2\n"),
    ("", "LAB_CONSUMERS=2\n"),
    ("LAB_CONSUMERS=1  # one is enough\n", "LAB_CONSUMERS=2  # one is enough\n"),
])
def test_a_change_touches_nothing_but_its_line(env_file, before, after):
    env_file.write_text(before, encoding="utf-8")
    settings.change("LAB_CONSUMERS", "2")
    assert env_file.read_text(encoding="utf-8") == after
    assert settings.load().lab_consumers == 2


def test_a_change_makes_the_file_where_there_is_none(env_file):
    settings.change("LAB_CONSUMERS", "2")
    assert env_file.read_text(encoding="utf-8") == "LAB_CONSUMERS=2\n"


@pytest.mark.parametrize("value", [
    "plain", "two words", " around ", "it's", 'say "x"', "#", "pa#ss", "a # b", "a\\b", "\\", "\\'", "\\n", "'", "''",
    "$HOME", "$(id)", "`id`", "a=b", "%s", "é☃", "!&|;<>*?~{}[]", "-p", "x" * 255,
])
def test_a_value_comes_back_as_it_was_given(env_file, value):
    shutil.copy(EXAMPLE_FILE, env_file)
    settings.change("RABBITMQ_PASS", value)
    assert settings.load().rabbitmq_pass == value
    assert dotenv_values(env_file) == dotenv_values(EXAMPLE_FILE) | {"RABBITMQ_PASS": value}


@pytest.mark.parametrize("value, written", [("a-b_c.d/e:f@g", "a-b_c.d/e:f@g"), ("a b", "'a b'"), ("#", "'#'")])
def test_only_what_needs_quotes_gets_them(env_file, value, written):
    settings.change("RABBITMQ_PASS", value)
    assert env_file.read_text(encoding="utf-8") == f"RABBITMQ_PASS={written}\n"


@pytest.mark.parametrize("before", [b"# comment\nLAB_CONSUMERS=1\n", b"LOG_LEVEL=INFO"])
@pytest.mark.parametrize("key, value, says", [
    ("LAB_CONSUMER", "2", "LAB_CONSUMER is not a setting"),
    ("LAB_CONSUMERS", "11", "LAB_CONSUMERS='11': Input should be less than or equal to 10"),
])
def test_a_refused_change_leaves_the_file_as_it_was(env_file, before, key, value, says):
    env_file.write_bytes(before)
    with pytest.raises(LabError, match=re.escape(says)):
        settings.change(key, value)
    assert env_file.read_bytes() == before


def test_a_refused_change_makes_no_file(env_file):
    with pytest.raises(LabError):
        settings.change("LAB_CONSUMERS", "11")
    assert not env_file.exists()


@pytest.mark.parametrize("content", [
    b"LAB_CONSUMER=1\n",
    b"\x7fELF\xff\xfe",
    b"LOG_LEVEL=INFO\r\nRABBITMQ_PASS=pa$$\r\n",
])
def test_a_file_that_is_broken_already_is_not_changed(env_file, content):
    env_file.write_bytes(content)
    with pytest.raises(LabError, match=str(env_file)):
        settings.change("LAB_CONSUMERS", "2")
    assert env_file.read_bytes() == content


@pytest.mark.parametrize("key, value, says", [
    ("RABBITMQ_PASS", "${HOME}", "must not contain '${'"),
    ("GRAFANA_PASSWORD", "$__env{HOME}", "must not contain '${'"),  # Grafana's own syntax
    ("RABBITMQ_PASS", "two\nLAB_CONSUMERS=2", "must be one line"),
    ("RABBITMQ_PASS", "two\u2028lines", "must be one line"),
    ("RABBITMQ_PASS", "nul\0", "must be one line"),
    ("RABBITMQ_PASS", "not \udcff utf-8", "must be one line"),
    ("RABBITMQ_PASS", " \\\\ ", "Docker Compose would read another value"),
    ("RABBITMQ_PASS", "$x\\", "Docker Compose would read another value"),
    ("RABBITMQ_PASS", "", "should have at least 1 character"),
    ("RABBITMQ_PASS", "x" * 256, "should have at most 255 characters"),
    ("RABBITMQ_USER", "", "should match pattern"),
    ("RABBITMQ_USER", "a:b", "should match pattern"),
    ("RABBITMQ_USER", "..", "should match pattern"),
    ("RABBITMQ_USER", "guest", "must be another name"),
    ("PRODUCER_WORKERS", "many", "should be a valid integer"),
    ("CONSUMER_PREFETCH", "0", "should be greater than or equal to 1"),
    ("LOG_LEVEL", "info", "should be 'DEBUG'"),
    ("RABBITMQ_HOST", "", "should have at least 1 character"),
    ("PRODUCER_BIND", "192.0.2.1", "should be '127.0.0.1'"),
    ("COMPOSE_PROJECT_NAME", "My Lab", "should match pattern"),
    ("LAB_RUN_DIR", "", "must be a folder of the lab's own"),
    ("LAB_RUN_DIR", "..", "must be a folder of the lab's own"),
    ("LAB_RUN_DIR", "/", "must be a folder of the lab's own"),
    ("LAB_RUN_DIR", "/dev/null/run", "/dev/null is not a folder"),
    ("LAB_RUN_DIR", "x" * 300, "File name too long"),
    ("LAB_RUN_DIR", "scenarios", "must be in .lab or outside the repository"),
    ("LAB_RUN_DIR", ".lab/../lab", "must be in .lab or outside the repository"),
    ("LAB_RUN_DIR", "~/run", "must be in .lab or outside the repository"),
    ("PRODUCER_PORT", "5_000", "in digits only"), ("PRODUCER_PORT", "5000.0", "in digits only"),
    ("PRODUCER_PORT", " 5000", "in digits only"), ("PRODUCER_PORT", "+5000", "in digits only"),
    ("PRODUCER_PORT", "٥٠٠٠", "in digits only"), ("LAB_LOAD_WORKERS", "1.0", "in digits only"),
    ("LAB_REPORTS_DIR", ".lab/run/reports", "LAB_REPORTS_DIR must not be in LAB_RUN_DIR"),
    ("PRODUCER_PORT", "5672", "PRODUCER_PORT both need port 5672"),
    ("CONSUMER_PORT", "9090", "PROMETHEUS_PORT and CONSUMER_PORT both need port 9090"),
])
def test_a_value_that_cannot_work_is_refused_at_once(env_file, key, value, says):
    with pytest.raises(LabError, match=re.escape(says)):
        settings.change(key, value)
    assert not env_file.exists()


@pytest.mark.parametrize("consumers, port, says", [(3, 8078, "CONSOLE_PORT and CONSUMER_PORT both need port 8080"),
                                                   (2, 65535, "leaves no ports for 2 consumers")])
def test_every_consumer_has_a_port_of_its_own(env_file, consumers, port, says):
    env_file.write_text(f"LAB_CONSUMERS={consumers}\nCONSUMER_PORT={port}\n", encoding="utf-8")
    assert says in refusal()


@pytest.mark.parametrize("line", [
    "RABBITMQ_PASS=pa$ss", 'RABBITMQ_PASS="pa$ss"', r"RABBITMQ_PASS='a\\b'", r'RABBITMQ_PASS="a\\b"',
    "RABBITMQ_PASS=a\t# no comment to Compose", "COMPOSE_PROJECT_NAME= # no comment to anybody",
])
def test_a_line_that_compose_reads_differently_is_named(env_file, line):
    env_file.write_text(f"LOG_LEVEL=INFO\n{line}\n", encoding="utf-8")
    assert refusal().startswith(f"{env_file}, line 2: {line.partition('=')[0]}: Docker Compose would read another value")


@pytest.mark.parametrize("line", ["RABBITMQ_PASS=pa$$ # mine", 'RABBITMQ_PASS="a\\\\b"', "RABBITMQ_PASS=bad\t# tab"])
def test_a_line_that_is_read_differently_can_be_set(env_file, line):
    env_file.write_text(f"{line}\nLOG_LEVEL=INFO\n", encoding="utf-8")
    settings.change("RABBITMQ_PASS", "pa$$")
    assert env_file.read_text(encoding="utf-8") == "RABBITMQ_PASS='pa$$'\nLOG_LEVEL=INFO\n"


@pytest.mark.parametrize("line, value", [
    ("RABBITMQ_PASS=two words # comment", "two words"), ("RABBITMQ_PASS = it's", "it's"),
    (r"RABBITMQ_PASS='it\'s $5' # comment", "it's $5"), ('export RABBITMQ_PASS="a # b"', "a # b"),
    (r"RABBITMQ_PASS=a\\b\n", r"a\\b\n"), ("RABBITMQ_PASS=pa#ss", "pa#ss"),
])
def test_a_line_that_all_read_alike_is_kept_in_a_change_of_another(env_file, line, value):
    env_file.write_text(f"{line}\n", encoding="utf-8")
    settings.change("LAB_CONSUMERS", "2")
    assert settings.load().rabbitmq_pass == compose_2_reads(line) == value
    settings.change("RABBITMQ_PASS", "other")
    assert settings.load().rabbitmq_pass == "other"
    assert ("# comment" in env_file.read_text(encoding="utf-8")) == ("# comment" in line)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.text("a \\'\"$#{}\t", min_size=1, max_size=8))
def test_what_is_written_is_read_alike_by_every_reader(value):
    try:
        text = settings_file.with_value("RABBITMQ_PASS=old # comment\nLOG_LEVEL=INFO\n", "RABBITMQ_PASS", value)
    except LabError:
        return
    first, *_rest = text.splitlines()
    assert dotenv_values(stream=StringIO(text)) == {"RABBITMQ_PASS": value, "LOG_LEVEL": "INFO"}
    assert compose_2_reads(first) == value
    assert first.endswith(" # comment")


def compose_2_reads(line: str) -> str:
    """What Compose 2 makes of a line: its parser's rules for one value.

    https://github.com/compose-spec/compose-go/blob/v2.6.0/dotenv/parser.go
    """
    text = line.partition("=")[2].lstrip()
    if text[:1] not in ("'", '"'):
        value = text.partition(" #")[0].rstrip()
        assert "$" not in value, "it expands variables"
        return value
    quote, value, escaped = text[0], "", False
    for char in text[1:]:
        if char == quote and not escaped:
            break
        if char == "\\" and not escaped:
            escaped = True
            continue
        value += ("\\" if escaped and char != quote else "") + char
        escaped = False
    assert quote == "'" or not set(value) & set("\\$"), "it expands escapes and variables"
    return value


COMPOSES = {"1": ["docker-compose"], "2": ["docker", "compose"]}


@pytest.mark.parametrize("version", COMPOSES)
def test_compose_itself_reads_what_is_written(version, tmp_path):
    command = COMPOSES[version]
    if shutil.which(command[0]) is None or not subprocess.run([*command, "version"], capture_output=True).stdout:
        pytest.skip(f"Compose {version} is not installed")
    source, text, expected = random.Random(1), "", {}
    for number in range(2000):
        value = "".join(source.choices(" \t'\"\\$#{}%=<:;`!&|()~é☃abn", k=source.randint(0, 8)))
        try:
            text = settings_file.with_value(text, f"V{number}", value)
        except LabError:
            continue
        expected[f"V{number}"] = value
    assert len(expected) > 1000
    (tmp_path / "env").write_text(text, encoding="utf-8")
    (tmp_path / "docker-compose.yml").write_text(json.dumps({"services": {"a": {
        "image": "a", "environment": {name: f"${{{name}}}" for name in expected}}}}), encoding="utf-8")
    assert dotenv_values(tmp_path / "env") == expected
    done = subprocess.run([*command, "--env-file", "env", "--project-name", "a", "config"], cwd=tmp_path, check=True,
                          capture_output=True, encoding="utf-8")
    found = yaml.load(done.stdout, docker.Configuration)["services"]["a"]["environment"]
    assert {name: str(value).replace("$$", "$") for name, value in found.items()} == expected


# -- the example ----------------------------------------------------------------------------------


def test_the_example_has_every_setting_and_no_other():
    fields = {name.upper() for kind in KINDS for name in kind.model_fields}
    assert set(dotenv_values(EXAMPLE_FILE)) == fields - SET_BY_THE_STACK


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_values_are_the_defaults(kind):
    assert kind(_env_file=EXAMPLE_FILE) == kind(_env_file=None)


def test_the_example_is_a_good_settings_file(env_file):
    shutil.copy(EXAMPLE_FILE, env_file)
    assert settings.load() == LabSettings(_env_file=None)
