"""Tests of what a browser makes of a report."""

import pytest
from browser import find_violations

VIEWS = [(1366, 900), (390, 844)]
pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser_page, page_path):
    """The page in a browser, and what it complained of or asked for."""
    heard: list[str] = []
    browser_page.on("console", lambda message: heard.append(message.text))
    browser_page.on("pageerror", lambda error: heard.append(str(error)))

    def note(request):
        if request.url.split(":")[0] not in ("file", "data"):
            heard.append(request.url)

    browser_page.on("request", note)
    browser_page.goto(page_path.as_uri())
    return browser_page, heard


def open_all(page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


def test_browser_shows_every_picture_and_complains_of_nothing(opened):
    page, heard = opened
    open_all(page)

    page.wait_for_function("[...document.images].every(image => image.complete)")

    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert heard == []


@pytest.mark.parametrize(("width", "height"), VIEWS)
def test_page_fits_its_width(opened, width, height):
    page, _ = opened
    page.set_viewport_size({"width": width, "height": height})
    open_all(page)

    edges = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )

    assert edges[0] <= edges[1]


def test_every_part_opens_by_the_keyboard(opened):
    page, _ = opened
    open_outer = "document.querySelectorAll('details.run').forEach(d => d.open = true)"
    page.evaluate(open_outer)
    wanted = page.locator("summary").count()
    reached = set()

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(6 * wanted + 100):
        page.keyboard.press("Tab")
        where = "[...document.querySelectorAll('summary')]"
        index = page.evaluate(f"{where}.indexOf(document.activeElement)")
        if index >= 0:
            reached.add(index)
        if len(reached) == wanted:
            break

    assert len(reached) == wanted
    summary = page.locator("summary").nth(wanted - 1)
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("summary => summary.parentElement.open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_breaks_no_rule_of_accessibility(opened, scheme):
    page, _ = opened
    page.emulate_media(color_scheme=scheme)
    open_all(page)

    assert find_violations(page) == []


def test_print_shows_what_is_folded(opened):
    page, _ = opened
    page.emulate_media(media="print")

    visible = page.evaluate(
        "[...document.querySelectorAll('details')].every("
        "d => d.lastElementChild.checkVisibility({contentVisibilityAuto: true})"
        " && d.lastElementChild.getBoundingClientRect().height > 0)"
    )

    assert visible
    assert not page.locator("nav").is_visible()
