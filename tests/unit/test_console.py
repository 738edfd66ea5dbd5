"""The console without a lab: what it lets in, what it shows in an exam, what it makes of hostile forms."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lab.console import tasks
from lab.console.app import NAVIGATION, create_app
from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.grading import facts
from tests.conftest import private_settings

ADDRESS = "http://localhost:8080"
HOSTILE = ["<script>alert(1)</script>", "' OR 1=1 --", "../../etc/passwd", "\x00\x01", "{{7*7}}", "%s%n", "‮abc", "9" * 400,
           "A" * 20_000, "🙂" * 3000]


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with private_settings(tmp_path / "env", tmp_path) as path:
        monkeypatch.setenv("ENV_FILE", str(path))
        yield path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The `lab` commands that pages would have started."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "_start", lambda _settings, _kind, _title, arguments, said="": commands.append(arguments))
    return commands


@pytest.fixture
def client(env_file: Path, started: list) -> FlaskClient:
    return create_app().test_client()


@pytest.fixture
def records(env_file: Path, tmp_path: Path) -> Records:
    return Records(tmp_path / "run")


def get(client: FlaskClient, path: str, **options) -> TestResponse:
    return client.get(path, base_url=ADDRESS, **options)


def post(client: FlaskClient, path: str, origin: str | None = ADDRESS, **options) -> TestResponse:
    return client.post(path, base_url=ADDRESS, headers={"Origin": origin} if origin else {}, **options)


def post_with_key(client: FlaskClient, path: str, **data: str) -> TestResponse:
    """A form of the interviewer's page, which is good for once."""
    once = re.search(r'name="once" value="([^"]+)"', get(client, "/interviewer").text)
    return post(client, path, data={"once": once[1] if once else "", **data})


def injected(records: Records, number: int = 2, sealed: bool = False) -> int:
    """A run that is on, as an engine leaves it after the injection."""
    run = records.begin(0 if sealed else number, 0, "")
    if sealed:
        records.add(run.id, "exam", sealed="opaque", brief="The shop is slow.", time_limit=600)
    records.add(run.id, "begun")
    records.add(run.id, "injected")
    records.set_state(run.id, "running")
    return run.id


def kinds(records: Records) -> list[str]:
    return [event.kind for event in records.latest().events]


# -- the border -----------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["http://evil.example", "http://localhost.evil.example:8080", "http://192.168.0.1:8080"])
def test_another_name_of_this_machine_is_refused(client, address):
    assert client.get("/", base_url=address).status_code == 403


@pytest.mark.parametrize("address", ["http://localhost:8080", "http://127.0.0.1:9999", "http://[::1]:8080", "http://localhost"])
def test_loopback_is_let_in(client, address):
    assert client.get("/", base_url=address).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost:8081", "https://localhost:8080"])
@pytest.mark.parametrize("path", ["/run/detect", "/run/hint", "/run/submit", "/run/grade", "/run/reset", "/run/resume",
                                  "/scenarios/2/start", "/interviewer/start", "/interviewer/open"])
def test_only_the_consoles_own_pages_may_change_anything(client, records, path, origin):
    injected(records)
    assert post(client, path, origin).status_code == 403
    assert kinds(records) == ["begun", "injected"]


@pytest.mark.parametrize("path", ["/", "/run", "/reports", "/interviewer", "/scenarios/1", "/nothing"])
def test_every_page_forbids_what_is_not_its_own(client, path):
    answer = get(client, path)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "http" not in answer.text.replace("http-equiv", "").replace("http://localhost", "")


def test_nothing_is_changed_by_asking(client):
    assert get(client, "/run/reset").status_code == 405


def test_bad_settings_are_told(client, env_file):
    env_file.write_text("NONSENSE=1\n", encoding="utf-8")
    answer = get(client, "/")
    assert answer.status_code == 503
    assert "NONSENSE is not a setting" in answer.text


# -- exams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/scenarios/2", "/reports", "/reports/some", "/walkthroughs/2"])
def test_an_exam_hides_what_could_give_it_away(client, records, path):
    injected(records, sealed=True)
    answer = get(client, path)
    assert answer.status_code == 403
    assert not [scenario for number in scenarios.folders() if (scenario := scenarios.load(number)).title in answer.text]


def test_an_exam_shows_its_page_and_no_hint(client, records):
    injected(records, sealed=True)
    page = get(client, "/run").text
    assert "The shop is slow." in page
    assert "int 1 of" not in page and "par " not in page
    assert [endpoint for endpoint, label in NAVIGATION if f">{label}</a>" in page] == [
        "run.page", "dashboards.index", "documents.runbook", "interviewer.page"]
    assert "no hints in an exam" in get_after(client, post(client, "/run/hint", data={"seen": "0"}))


def test_a_scenario_cannot_be_started_in_an_exam(client, records):
    injected(records, sealed=True)
    assert post(client, "/scenarios/2/start").status_code == 403


def test_an_exam_is_opened_by_its_own_key_only(client, records, tmp_path):
    injected(records, sealed=True)
    answer = post_with_key(client, "/interviewer/open", key="A" * 43)
    assert answer.status_code == 400
    assert "sealed with another key" in answer.text


def test_a_form_with_a_key_cannot_be_sent_again(client, records):
    injected(records, sealed=True)
    once = re.search(r'name="once" value="([^"]+)"', get(client, "/interviewer").text)[1]
    form = {"once": once, "key": "A" * 43}
    assert "another key" in post(client, "/interviewer/open", data=form).text
    assert "sent already" in post(client, "/interviewer/open", data=form).text


# -- forms ----------------------------------------------------------------------------------


def get_after(client: FlaskClient, answer: TestResponse) -> str:
    """The page that a form leads to."""
    assert answer.status_code == 303, answer.text
    return get(client, answer.headers["Location"]).text


def test_what_a_candidate_does_is_in_the_record(client, records, monkeypatch):
    monkeypatch.setattr(facts, "first_symptom", lambda *_: 0.0)
    injected(records)
    get_after(client, post(client, "/run/detect"))
    page = get_after(client, post(client, "/run/hint", data={"seen": "0"}))
    assert scenarios.load(2).hints[0].text[:20] in page
    page = get_after(client, post(client, "/run/submit", data={
        "seen": "0", "component": ["broker", ""], "cause": ["latency", ""], "notes": "<b>notes</b>\r\nmore"}))
    assert "latency at broker" in page
    assert records.latest().last("submission").data == {
        "findings": [{"component": "broker", "cause": "latency"}], "notes": "<b>notes</b>\nmore"}
    assert kinds(records) == ["begun", "injected", "detection", "hint", "submission"]


def test_a_second_click_does_nothing(client, records):
    injected(records)
    for path, data in (("/run/hint", {"seen": "0"}),
                       ("/run/submit", {"seen": "0", "component": "broker", "cause": "latency"})):
        post(client, path, data=data)
        post(client, path, data=data)
    assert kinds(records) == ["begun", "injected", "hint", "submission"]


def test_an_answer_that_is_refused_keeps_what_was_typed(client, records):
    injected(records)
    answer = post(client, "/run/submit", data={"seen": "0", "component": "broker", "cause": "", "notes": "long thoughts"})
    assert answer.status_code == 400
    assert "needs both" in answer.text and "long thoughts" in answer.text
    assert '<option value="broker" selected>' in answer.text
    assert kinds(records) == ["begun", "injected"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_forms_are_refused_and_nothing_is_done(client, records, started, text):
    injected(records)
    answers = {
        "submit": post(client, "/run/submit", data={"seen": "0", "component": text, "cause": text, "notes": text}),
        "hint": post(client, "/run/hint", data={"seen": text}),
        "open": post_with_key(client, "/interviewer/open", key=text),
        "verify": post_with_key(client, "/interviewer/verify", key=text, report=text),
        "start": post_with_key(client, "/interviewer/start", key="A" * 43, candidate="Ada", minutes=text),
        "again": post(client, "/interviewer/open", data={"once": text})}
    for path, answer in answers.items():
        assert answer.status_code in {303, 400, 413}, path
        assert "<script>alert" not in answer.text
    records.set_state(records.latest().id, "reset")
    answer = post(client, "/scenarios/2/start", data={"seed": text})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert not started
    assert kinds(records) == ["begun", "injected"]


@pytest.mark.parametrize("name", ["Zoë O'Neil", "<script>alert(1)</script>", "--help", "; rm -rf /"])
def test_a_name_is_one_word_of_the_command_whatever_it_is(client, records, started, name):
    assert post(client, "/scenarios/2/start", data={"candidate": name, "seed": "7"}).status_code == 303
    assert started == [("scenario", "2", "--seed", "7", f"--candidate={name}")]


@pytest.mark.parametrize("name", ["a\x00b", "a\u202eb", "N" * 200, "two\nlines"])
def test_a_name_that_cannot_be_shown_is_refused(client, records, started, name):
    assert post(client, "/scenarios/2/start", data={"candidate": name}).status_code == 400
    assert not started


@pytest.mark.parametrize("path", ["/scenarios/999", "/scenarios/x", "/reports/..%2f..%2fetc", "/reports/nothing/grade.json",
                                  "/reports/nothing/report.html", "/static/../app.py", "/reports/nothing/charts"])
def test_what_is_not_there_is_told(client, path):
    assert get(client, path).status_code in {404, 503}


def test_a_body_that_is_too_large_is_refused(client):
    assert post(client, "/interviewer/open", data={"key": "A" * 100_000}).status_code == 413


def test_a_run_whose_engine_is_gone_can_be_taken_up(client, records):
    injected(records)
    assert "engine gone" not in get(client, "/run").text
    pid = os.fork()
    if not pid:  # an engine that dies
        try:
            records.take_over(records.latest().id)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert "Take the run up again" in get(client, "/run").text


def test_it_says_so_when_prometheus_does_not_answer(client, records):
    injected(records)
    answer = get(client, "/run/live")
    assert answer.status_code == 200
    assert "Prometheus does not answer" in answer.text
    assert "Prometheus does not answer" in get(client, "/run/charts").json["problem"]
