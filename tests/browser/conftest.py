"""A real browser: Debian's Chromium, driven by Playwright. What its console says, and what it asks of others, is a failure."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
TIMEOUT = 60_000  # milliseconds; only a broken page takes that long
PICTURES = os.environ.get("SCREENSHOTS")  # the folder that gets the README's pictures


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        # Root has no sandbox; the pages are the lab's own.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def person(browser: Browser) -> Iterator[Callable[..., Page]]:
    """`person()` opens a page of its own browser; whatever goes wrong in any of them fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(**options) -> Page:
        context = browser.new_context(**{"viewport": SIZE, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda message: message.type in {"error", "warning"} and wrong.append(
            f"{page.url}: {message.text}") if not _is_expected(message.text) else None)
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.on("request", lambda request: _is_outside(request.url) and wrong.append(f"{page.url} asks {request.url}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def _is_outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in {"data", "blob", "about"} and parts.hostname not in {"localhost", "127.0.0.1"}


def _is_expected(text: str) -> bool:
    """The browser itself notes every answer that is no success, those which a test wants too."""
    return "Failed to load resource" in text


def accessible(page: Page) -> None:
    """axe-core (https://github.com/dequelabs/axe-core) finds nothing serious, in light and in dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        serious = [f"{page.url} ({scheme}): {one['id']}: {one['help']}: {one['nodes'][0]['html']}"
                   for one in found if one["impact"] in {"serious", "critical"}]
        assert not serious, "\n".join(serious)
    page.emulate_media(color_scheme="light")


def fits_a_phone(page: Page) -> None:
    """Nothing has to be moved sideways."""
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url
    page.set_viewport_size(SIZE)


def picture(page: Page, name: str, height: int = SIZE["height"]) -> None:
    """For the README, where pictures are wanted."""
    if PICTURES:
        size = page.viewport_size
        page.set_viewport_size({"width": size["width"], "height": height})
        page.screenshot(path=Path(PICTURES) / f"{name}.png")
        page.set_viewport_size(size)
