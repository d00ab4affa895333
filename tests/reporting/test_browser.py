"""Tests of what a browser makes of a report."""

import pytest
from browser import find_violations, listen

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser_page, page_path):
    """The page in a browser, and what it complained of or asked for."""
    heard = listen(browser_page)
    browser_page.goto(page_path.as_uri())
    return browser_page, heard


def list_cut_off(page) -> list[str]:
    """The tables of numbers that do not fit, and the page itself if it does not."""
    return page.evaluate(
        "[document.documentElement, ...document.querySelectorAll('.stacked')]"
        ".map(e => e.closest('.scroll') || e)"
        ".filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => e.getAttribute('aria-label') || 'page')"
    )


def test_page_shows_all_and_breaks_no_rule_of_accessibility(opened):
    page, heard = opened
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_function("[...document.images].every(image => image.complete)")

    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        assert list_cut_off(page) == []
        assert find_violations(page) == []
    assert [text for text in heard if not text.startswith(("file:", "data:"))] == []


def test_every_part_opens_by_the_keyboard(opened):
    page, _ = opened
    page.evaluate("document.querySelectorAll('.run').forEach(d => d.open = true)")
    find = "[...document.querySelectorAll('summary')].indexOf(document.activeElement)"
    unreached = set(range(page.locator("summary").count()))

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(300):
        page.keyboard.press("Tab")
        unreached.discard(page.evaluate(find))
        if not unreached:
            break
    assert unreached == set()
    page.keyboard.press("Enter")  # on the last one
    assert page.evaluate("document.activeElement.parentElement.open")


def test_paper_shows_what_is_folded_and_cuts_nothing_off(opened):
    page, _ = opened
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
    page.emulate_media(media="print")

    page.wait_for_function(
        "[...document.querySelectorAll('details')].every("
        "d => d.lastElementChild.checkVisibility({contentVisibilityAuto: true})"
        " && d.lastElementChild.getBoundingClientRect().height > 0)",
        timeout=10_000,
    )

    assert list_cut_off(page) == []
    assert not page.locator("nav").is_visible()
