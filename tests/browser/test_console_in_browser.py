"""The console in a real browser: the dashboards, Locust's page, and a whole scenario played through the page."""

import re

import psutil
import pytest
from playwright.sync_api import Page, expect

from lab.engine import reports
from lab.engine import scenario as scenarios
from lab.engine.record import Records
from lab.grading import ledger
from tests.browser.conftest import accessible, fits_a_phone, picture
from tests.conftest import Lab, missed, wait_until

SCENARIO = 2
SEED = 7
CANDIDATE = "Zoë <b>O'Neil</b>"
UP_MILLISECONDS = 300_000  # from the start of a run to its injection
GRADE_MILLISECONDS = 240_000


@pytest.fixture(scope="module")
def console(running_lab: Lab) -> str:
    return running_lab.settings.console_url


def values_of(page: Page) -> list[str]:
    """What the charts of a page say of themselves."""
    return [chart.get_attribute("aria-label") for chart in page.locator("[data-chart] [role=img]").all()]


def test_every_page_is_accessible_and_fits_a_phone(console, person):
    page = person()
    for path in ("/", f"/scenarios/{SCENARIO}", "/run", "/reports", "/dashboards", "/runbook", "/walkthroughs",
                 "/walkthroughs/1", "/search?q=queue", "/interviewer", "/nothing"):
        page.goto(console + path)
        accessible(page)
        fits_a_phone(page)
    page.goto(console)
    picture(page, "scenarios")


def test_all_can_be_done_with_the_keyboard(console, person):
    page = person()
    page.goto(console)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{console}/scenarios/1")
    page.get_by_role("searchbox").press_sequentially("queue without consumers")
    page.keyboard.press("Enter")
    expect(page.locator("mark").first).to_be_visible()


@pytest.mark.racing
@pytest.mark.parametrize("name", ["overview", "consumer"])
def test_a_dashboard_draws_what_prometheus_has(console, person, name):
    page = person(viewport={"width": 1400, "height": 1000})
    page.goto(f"{console}/dashboards/{name}")
    wait_until(lambda: len(values_of(page)) >= 5, what="charts")
    wait_until(lambda: (drawn := values_of(page)) and
               len([label for label in drawn if re.search(r"\d", label)]) >= 0.7 * len(drawn), what="values in the charts")
    if name == "overview":
        picture(page, "dashboard")


def test_load_is_driven_on_locusts_page(running_lab, person):
    terminal = running_lab.engine("load", "--workers", "2")
    address = f"http://127.0.0.1:{running_lab.settings.locust_port}"
    try:
        page = person()
        wait_until(lambda: _opens(page, address), what="Locust's page")
        _choose(page, "spike")
        wait_until(lambda: _starts(page), what="the workers")
        expect(page.get_by_role("cell", name="/produce", exact=True).first).to_be_visible()
        picture(page, "locust")
        page.get_by_role("button", name="Stop").first.click()
        expect(page.get_by_role("button", name="New").first).to_be_visible()
    finally:
        psutil.Process(terminal.pid).terminate()
        terminal.wait(30)
    folder = running_lab.settings.ledger_dir
    assert len(list(folder.glob("acknowledged-load-*.jsonl"))) == 2
    assert any(line["event"] == "acknowledged" for line in ledger.lines(folder, "acknowledged-load-*.jsonl"))
    running_lab.command("ledger", "--minutes", "1")


def _opens(page: Page, address: str) -> bool:
    try:
        page.goto(address)
    except Exception:  # it does not listen yet
        return False
    return page.get_by_role("button", name="Start").count() > 0


def _choose(page: Page, shape: str) -> None:
    page.get_by_text("Custom parameters").click()
    choice = page.locator("select[name=shape]")
    [label] = [text for text in choice.locator("option").all_inner_texts() if text.startswith(shape)]
    choice.select_option(label=label)


def _starts(page: Page) -> bool:
    page.get_by_role("button", name="Start").click()
    try:
        expect(page.get_by_role("button", name="Stop").first).to_be_visible(timeout=3000)
    except AssertionError:
        return False
    return True


@pytest.mark.racing
def test_a_scenario_is_played_through_the_page(running_lab, console, person):
    scenario = scenarios.load(SCENARIO, SEED)
    page, other = person(), person(color_scheme="dark")

    # It is started, once.
    page.goto(console)
    page.get_by_role("link", name=scenario.title).click()
    page.get_by_label("Your name").fill(CANDIDATE)
    page.get_by_label("Seed").fill(str(SEED))
    other.goto(f"{console}/scenarios/{SCENARIO + 1}")
    page.get_by_role("button", name="Start").click()
    other.get_by_role("button", name="Start").click()
    expect(other.locator(".notice.bad")).to_contain_text(re.compile("at work already|is on"))
    expect(page.get_by_text("is at work")).to_be_visible()
    accessible(page)
    expect(page.get_by_text("since the start")).to_be_visible(timeout=UP_MILLISECONDS)

    # The page is live, in both browsers.
    other.goto(f"{console}/run")
    expect(page.locator(".badge", has_text="broken").first).to_be_visible(timeout=60_000)
    expect(other.locator(".badge", has_text="broken").first).to_be_visible()
    page.get_by_role("button", name="Declare the incident").click()
    page.get_by_role("button", name="Hint 1").click()
    expect(page.locator(".notice.good")).to_contain_text(scenario.hints[0].text[:20])
    expect(other.get_by_text("incident declared")).to_be_visible()
    other.get_by_role("button", name="Hint 1").click()  # what that page shows is old
    expect(other.locator(".notice.bad")).to_contain_text("look again")
    wait_until(lambda: values_of(page), what="charts")
    accessible(page)
    fits_a_phone(page)

    # An alert leads to the runbook.
    alert = page.locator("a[id^=alert-]").first
    expect(alert).to_be_visible()
    picture(page, "run")
    name = alert.inner_text()
    alert.click()
    expect(page.locator(f"#{name.lower()}")).to_be_in_viewport()
    page.goto(f"{console}/walkthroughs/{SCENARIO}")
    expect(page.get_by_text("gives the answer away")).to_be_visible()

    # The engine dies while the page is open; what is typed stays, and the run goes on.
    page.goto(f"{console}/run")
    page.get_by_label("Notes").fill("the log ends without a shutdown")
    engine = Records(running_lab.settings.run_dir).active().engine_pid
    psutil.Process(engine).kill()
    expect(other.get_by_text("The engine of this run was killed")).to_be_visible()
    expect(page.get_by_text("The run has changed")).to_be_visible()
    expect(page.get_by_label("Notes")).to_have_value("the log ends without a shutdown")
    other.get_by_role("button", name="Take the run up again").click()
    wait_until(lambda: Records(running_lab.settings.run_dir).active().engine_is_alive, 60, "another engine")

    # It is answered, mitigated and graded.
    page.get_by_label("Component").first.select_option("broker")
    page.get_by_label("Cause").first.select_option("process-down")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".notice.good")).to_contain_text("submitted: process-down at broker")
    for command in scenario.oracle.commands:
        if command.split()[0] not in {"detect", "submit"}:
            running_lab.command(*command.split())
    page.get_by_role("link", name="The grade and its evidence").click(timeout=GRADE_MILLISECONDS)
    grade = reports.read_grade(running_lab.settings, Records(running_lab.settings.run_dir).latest())["grade"]
    assert missed(grade) == [] and {"title": "Hint 1", "points": -5}.items() <= grade["lines"][-1].items()
    expect(page.locator(".score")).to_have_text(f"{grade['score']} of 100")
    expect(page.get_by_text(CANDIDATE)).to_be_visible()
    drawn = wait_until(lambda: values_of(page), what="charts")
    for mark in ("injected", "first alert", "detection", "hint", "submission", "SLO restored"):
        assert mark in drawn[0]
    accessible(page)
    fits_a_phone(page)
    picture(page, "grade", height=1500)
    page.get_by_role("link", name="The report, to print").click()
    expect(page.get_by_role("heading", name=f"Scenario {SCENARIO}")).to_be_visible()
    accessible(page)
    fits_a_phone(page)
    picture(page, "report", height=1500)
    page.goto(console)
    expect(page.get_by_text(f"last: {grade['score']}")).to_be_visible()


def test_a_run_is_dropped_through_the_page(running_lab, console, person):
    records = Records(running_lab.settings.run_dir)
    wait_until(lambda: records.active() is None, 120, "the reset of the run before")
    page = person()
    page.goto(f"{console}/run")
    page.get_by_text("Reset the lab").first.click()
    page.get_by_role("button", name="Reset the lab").click()
    expect(page.get_by_text("The reset is at work")).to_be_visible()
    expect(page.get_by_text("The reset is at work")).to_have_count(0, timeout=GRADE_MILLISECONDS)


def test_a_console_that_was_killed_comes_back(running_lab, console, person):
    page = person()
    page.goto(f"{console}/run")
    running_lab.command("down")
    expect(page.locator("#trouble")).to_contain_text("The console does not answer")
    running_lab.command("up")
    expect(page.locator("#trouble")).to_be_hidden()
