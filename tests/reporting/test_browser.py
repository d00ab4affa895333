"""Tests of what a browser makes of a report."""

import pytest
from browser import find_violations

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser_page, page_path):
    """The page in a browser, and what it complained of or asked for."""
    heard: list[str] = []
    browser_page.on("console", lambda message: heard.append(message.text))
    browser_page.on("pageerror", lambda error: heard.append(str(error)))
    browser_page.on("request", lambda request: heard.append(request.url))
    browser_page.goto(page_path.as_uri())
    return browser_page, heard


def open_all(page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


def list_cut_off(page) -> list[str]:
    """The tables of numbers that do not fit, and the page itself if it does not."""
    return page.evaluate(
        "[document.documentElement, ...document.querySelectorAll('.stacked')]"
        ".map(e => e.closest('.scroll') || e)"
        ".filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => e.getAttribute('aria-label') || 'page')"
    )


def test_browser_shows_every_picture_and_complains_of_nothing(opened):
    page, heard = opened
    open_all(page)

    page.wait_for_function("[...document.images].every(image => image.complete)")

    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert [text for text in heard if not text.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_and_breaks_no_rule_of_accessibility(opened, width, scheme):
    page, _ = opened
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    open_all(page)

    assert list_cut_off(page) == []
    assert find_violations(page) == []


def test_every_part_opens_by_the_keyboard(opened):
    page, _ = opened
    page.evaluate("document.querySelectorAll('.run').forEach(d => d.open = true)")
    wanted = page.locator("summary").count()
    find = "[...document.querySelectorAll('summary')].indexOf(document.activeElement)"
    reached = set()

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(6 * wanted + 100):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(find))
        if len(reached - {-1}) == wanted:
            break

    assert len(reached - {-1}) == wanted
    summary = page.locator("summary").nth(wanted - 1)
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("summary => summary.parentElement.open")


def test_paper_shows_what_is_folded_and_cuts_nothing_off(opened):
    page, _ = opened
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
    page.emulate_media(media="print")

    visible = page.evaluate(
        "[...document.querySelectorAll('details')].every("
        "d => d.lastElementChild.checkVisibility({contentVisibilityAuto: true})"
        " && d.lastElementChild.getBoundingClientRect().height > 0)"
    )

    assert visible
    assert list_cut_off(page) == []
    assert not page.locator("nav").is_visible()
