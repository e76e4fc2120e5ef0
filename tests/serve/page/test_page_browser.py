"""The page in a browser: with and without scripts, by keyboard, on a phone, in the dark, and for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.serve.page.conftest import SCRIPT
from tests.support.browser import Watched, chromium, visiting
from tests.support.live import Live

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
EVIL = quote(f"evil/{SCRIPT}")
PAGES = [
    ("/", 200),
    ("/?q=apples", 200),
    ("/?q=apples&explain=1&k=20", 200),
    ("/?q=apples&explain=1&lang=ko&f.lang=en&filter=year+%3E+2000", 200),
    ("/?q=zzzz&mode=lexical&f.lang=ko", 200),
    ("/?q=apples&filter=lang+%3D", 400),
    ("/?like=good", 200),
    ("/document?id=good&at=0", 200),
    (f"/document?id={EVIL}", 200),
    ("/document?id=long", 200),
    ("/document?id=guide.md&at=0", 200),
    ("/builds", 200),
    ("/nothing", 404),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests here."""
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Any, evil: Live) -> Iterator[Watched]:
    """A window at the hostile collection, which must not complain."""
    with visiting(browser, evil.url) as found:
        yield found
    assert found.complaints == []


def active(visit: Watched) -> str:
    """What has the focus: its id, or the id of the hit that it is in."""
    script = "(document.activeElement.closest('.hit') ?? document.activeElement).id"
    found: str = visit.page.evaluate(script)
    return found


def test_a_search_by_the_form_has_a_short_address(visit: Watched) -> None:
    visit.goto("/")
    assert active(visit) == "q"
    visit.page.keyboard.type("apples in spring")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(".hit")
    assert visit.page.url.endswith("/?q=apples+in+spring")
    assert "Apples in spring" in visit.page.inner_text(".hits")
    assert visit.page.locator("mark").count() > 0
    assert visit.page.title().startswith("apples in spring")


def test_the_way_back_has_the_form_as_it_was(visit: Watched) -> None:
    visit.goto("/?q=apples")
    visit.page.fill("#q", "pears")
    visit.page.click(".box button")
    visit.page.wait_for_url("**q=pears*")
    visit.page.go_back()
    visit.page.wait_for_url("**q=apples*")
    assert visit.page.locator("form input:disabled").count() == 0


def test_a_facet_narrows_and_its_chip_widens(visit: Watched) -> None:
    visit.goto("/?q=apples&k=20")
    before = visit.page.locator(".hit").count()
    visit.page.click(".facets a:has-text('2023')")
    visit.page.wait_for_selector(".chips")
    assert visit.page.locator(".hit").count() == 1 < before
    assert parse_qs(urlsplit(visit.page.url).query) == {"q": ["apples"], "f.year": ["2023"]}
    visit.page.click(".chips a")
    visit.page.wait_for_selector(".chips", state="detached")
    assert visit.page.locator(".hit").count() == before


def test_the_keyboard_is_enough(visit: Watched) -> None:
    visit.goto("/?q=apples")
    press = visit.page.keyboard.press
    press("/")
    assert active(visit) == "q"
    press("End")
    press("/")
    assert visit.page.input_value("#q") == "apples/", "in the box it is a character"
    press("Backspace")
    press("Escape")
    assert active(visit) == ""
    press("ArrowDown")
    assert active(visit) == "hit-1"
    press("ArrowDown")
    assert active(visit) == "hit-2"
    press("ArrowUp")
    press("ArrowUp")
    assert active(visit) == "q"
    press("ArrowDown")
    last = visit.page.locator(".hit").count()
    for _ in range(last + 3):
        press("ArrowDown")
    assert active(visit) == f"hit-{last}"
    title = visit.page.locator(f"#hit-{last} h2").inner_text()
    press("Enter")
    visit.page.wait_for_selector(".passages")
    assert visit.page.locator("h1").inner_text() == title


def test_arrows_stay_what_they_are_elsewhere(visit: Watched) -> None:
    visit.goto("/?q=apples")
    visit.page.click(".options summary")
    visit.page.focus("#filter")
    visit.page.keyboard.press("ArrowDown")
    assert active(visit) == "filter"
    visit.page.focus(".hit .context summary")
    visit.page.keyboard.press("ArrowDown")
    assert active(visit) == "hit-1"
    assert visit.page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_the_text_around_a_hit_unfolds_in_place(visit: Watched) -> None:
    visit.goto("/?q=apples")
    text = visit.page.locator(".hit .context .text").first
    assert not text.is_visible()
    visit.page.locator(".hit .context summary").first.click()
    assert text.is_visible()
    assert visit.page.url.endswith("/?q=apples")


def test_everything_works_without_scripts(browser: Any, evil: Live) -> None:
    with visiting(browser, evil.url, java_script_enabled=False, locale="ko-KR") as visit:
        visit.goto("/")
        visit.page.fill("#q", "사과")
        visit.page.click(".box button")
        visit.page.wait_for_selector(".hit")
        assert "가장 가까운 구절" in visit.page.inner_text("h1")
        visit.page.click(".options summary")
        visit.page.fill("#filter", "lang = 'ko'")
        visit.page.click(".box button")
        visit.page.wait_for_selector(".chips")
        assert visit.page.locator(".hit").count() == 1
        visit.page.click(".toggle")
        visit.page.wait_for_selector(".why")
        visit.page.click(".language a")
        visit.page.wait_for_selector("html[lang=en]")
        assert visit.page.locator(".why").count() == 1
        visit.page.click(".hit h2 a")
        visit.page.wait_for_selector(".passages")
        assert visit.complaints == []


@pytest.mark.parametrize(("path", "status"), PAGES)
def test_no_page_complains_or_breaks_rules_of_accessibility(visit: Watched, path: str, status: int) -> None:
    """axe-core finds no violation: contrast in light and dark, names, roles, landmarks, order of headings."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    assert visit.goto(path) == status
    visit.unfold()
    for scheme, size in (("light", WIDE), ("dark", PHONE)):
        visit.page.emulate_media(color_scheme=scheme)
        visit.page.set_viewport_size(size)
        found = axe.run(visit.page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize(("path", "status"), PAGES)
def test_no_width_needs_scrolling_to_the_side(visit: Watched, path: str, status: int) -> None:
    assert visit.goto(path) == status
    visit.unfold()
    for width in (320, 360, 390, 600, 800, 1000, 1200, 1600):
        visit.page.set_viewport_size({"width": width, "height": 800})
        assert visit.overflow <= 0, width


def test_the_dark_is_dark(browser: Any, evil: Live) -> None:
    def lightness(scheme: str, element: str, property_: str) -> int:
        with visiting(browser, evil.url, color_scheme=scheme) as visit:
            visit.goto("/?q=apples")
            script = f"getComputedStyle(document.querySelector('{element}'))['{property_}']"
            colour = visit.page.evaluate(script)
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    for element in ("body", ".hit"):
        assert (
            lightness("light", element, "backgroundColor")
            > 600
            > 200
            > lightness("dark", element, "backgroundColor")
        )
        assert lightness("light", element, "color") < 200 < 600 < lightness("dark", element, "color")


def test_the_policy_keeps_scripts_of_others_from_running(visit: Watched) -> None:
    visit.goto("/?q=apples")
    ran = visit.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            const link = document.createElement("a");
            link.setAttribute("onclick", "window.ran = true");
            document.body.append(link);
            link.click();
            return window.ran === true;
        }"""
    )
    assert not ran
    assert len([one for one in visit.complaints if "Content Security Policy" in one]) == 2
    visit.complaints.clear()
