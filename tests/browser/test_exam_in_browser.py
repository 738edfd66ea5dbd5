"""An exam in a real browser: started, taken up, opened and verified with the key; its candidate learns nothing of it."""

import json
import re

import psutil
import pytest
from playwright.sync_api import Page, expect

from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.exam.exam import draw
from lab.exam.key import Key
from tests.browser.conftest import accessible, fits_a_phone, picture
from tests.conftest import wait_until

SCENARIO = 2
CANDIDATE = "Ada Lovelace"
UP_MILLISECONDS = 300_000
GRADE_MILLISECONDS = 240_000


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "interviewer.key"
    Key.create(path)
    return path


def submit_with_key(page: Page, button: str, key_file) -> None:
    form = page.locator("form", has=page.get_by_role("button", name=button, exact=True))
    form.get_by_label("The key's file").set_input_files(key_file)
    form.get_by_role("button", name=button, exact=True).click()


def test_an_exam_from_the_interviewers_page_to_the_verified_report(running_lab, person, key_file, tmp_path):
    console = running_lab.settings.console_url
    truth = scenarios.load(SCENARIO)
    key = Key.read(key_file)
    seed = next(seed for seed in range(1000) if draw(key, "", 45, seed, None).scenario_number == SCENARIO)
    other_key = tmp_path / "other.key"
    Key.create(other_key)
    interviewer, candidate = person(), person()

    interviewer.goto(f"{console}/interviewer")
    accessible(interviewer)
    interviewer.get_by_label("Candidate").fill(CANDIDATE)
    interviewer.get_by_label("Minutes").fill("20")
    interviewer.get_by_label("Seed").fill(str(seed))
    submit_with_key(interviewer, "Start the exam", key_file)
    candidate.goto(f"{console}/run")
    expect(candidate.get_by_text("since the start")).to_be_visible(timeout=UP_MILLISECONDS)
    wait_until(lambda: Records(running_lab.settings.run_dir).active().first("fault"), what="the injection")

    # The candidate's pages tell nothing that the page that woke them does not.
    expect(candidate.locator(".brief")).to_contain_text("cannot place orders")
    accessible(candidate)
    fits_a_phone(candidate)
    picture(candidate, "exam")
    secrets = [truth.title, truth.name, truth.truth.explanation.split(".")[0], CANDIDATE, "int 1 of"]
    for path in ("/run", "/run/live", "/run/charts", "/", f"/scenarios/{SCENARIO}", "/reports", f"/walkthroughs/{SCENARIO}",
                 "/search?q=shutdown", "/dashboards", "/runbook", "/interviewer"):
        candidate.goto(console + path)
        content = candidate.content()
        assert not [secret for secret in secrets if secret in content], path
        assert not re.search(rf"[Ss]cenario {SCENARIO}\b", content), path

    # The interviewer opens it with the key, and with no other; nothing of it stays.
    interviewer.goto(f"{console}/interviewer")
    submit_with_key(interviewer, "Open", other_key)
    expect(interviewer.locator(".notice.bad")).to_contain_text("sealed with another key")
    submit_with_key(interviewer, "Open", key_file)
    expect(interviewer.locator("#opened")).to_contain_text(truth.title)
    accessible(interviewer)
    interviewer.goto(f"{console}/interviewer")
    expect(interviewer.get_by_text(truth.title)).to_have_count(0)

    # Its engine dies: the candidate cannot take it up, the interviewer can.
    psutil.Process(Records(running_lab.settings.run_dir).active().engine_pid).kill()
    candidate.goto(f"{console}/run")
    expect(candidate.get_by_text("The interviewer takes it up with the key")).to_be_visible()
    expect(candidate.get_by_role("button", name="Take the run up again")).to_have_count(0)
    interviewer.reload()
    submit_with_key(interviewer, "Take it up", key_file)
    wait_until(lambda: Records(running_lab.settings.run_dir).active().engine_is_alive, 60, "another engine")

    candidate.goto(f"{console}/run")
    candidate.get_by_label("Component").first.select_option(truth.truth.component)
    candidate.get_by_label("Cause").first.select_option(truth.truth.cause)
    candidate.get_by_role("button", name="Submit").click()
    candidate.get_by_role("button", name="Grade the run").click()  # nothing is mended, and that is graded
    expect(candidate.get_by_role("link", name="The grade and its evidence")).to_be_visible(timeout=GRADE_MILLISECONDS)

    # The report is as it was signed, until somebody edits it.
    wait_until(lambda: Records(running_lab.settings.run_dir).active() is None, 120, "the reset")
    interviewer.goto(f"{console}/interviewer")
    submit_with_key(interviewer, "Verify", key_file)
    expect(interviewer.locator(".badge.good", has_text="valid")).to_be_visible()
    [report] = running_lab.settings.reports_dir.glob("*-exam/grade.json")
    report.write_text(json.dumps(json.loads(report.read_text(encoding="utf-8")) | {"candidate": "Somebody Else"}), encoding="utf-8")
    submit_with_key(interviewer, "Verify", key_file)
    expect(interviewer.get_by_text("candidate was changed")).to_be_visible()
