"""A page of headless Chromium, for tests of what a browser shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser; tests are skipped where there is none."""
    reason = "playwright is not installed (requirements-dev.txt)"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium (tests/install_browser.sh)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium: Browser) -> Iterator[Page]:
    """A new page, which knows nothing of the others."""
    page = chromium.new_page()
    yield page
    page.close()


def listen(page: Page) -> list[str]:
    """Return what a page complains of and asks for, as it comes."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    return heard


def find_violations(page: Page) -> list[tuple[str, str, list[str]]]:
    """Return the rules of accessibility that a page breaks, by axe-core."""
    reason = "axe-playwright-python is not installed (requirements-dev.txt)"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    return [
        (rule["id"], rule["help"], [node["html"][:200] for node in rule["nodes"][:3]])
        for rule in axe.Axe().run(page).response["violations"]
    ]
