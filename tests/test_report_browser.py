"""The page in a browser: dark, on a phone, printed, sorted, explained, without a network."""

import pytest
from playwright.sync_api import Browser, Page
from test_headline import walked
from test_report_evidence import evidence_record

from filtergan.config.fields import StudyConfig
from filtergan.figures.style import page as figure
from filtergan.figures.style import save
from filtergan.report import write_report
from filtergan.runs.directory import RunDirectory

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with all that a page has."""
    folder = tmp_path_factory.mktemp("run")
    config = StudyConfig(preset="mnist", seed=3)
    record = evidence_record(config)
    site = record.sites["conv4@activation"]
    walked(folder)
    site.files = {"traversal": "traversal.safetensors"}
    for key in ("traversal", "filters", "map", "curves"):
        save(figure(1.0), folder / f"{key}.png")
        site.figures[key] = f"{key}.png"
    return write_report(RunDirectory(folder, config, record)).as_uri()


@pytest.fixture
def page(browser: Browser, address: str):
    """The page, opened on a desktop; nothing may be asked of a network, and nothing may fail."""
    context = browser.new_context()
    opened = context.new_page()
    asked, faults = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(address)
    yield opened
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert faults == []
    context.close()


def colours(page: Page) -> tuple[list[int], list[int]]:
    """Of the ground and of the ink."""
    found = page.evaluate(
        """() => ["backgroundColor", "color"].map(
            (name) => getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))"""
    )
    return found[0], found[1]


def wide(page: Page) -> list[str]:
    """What is wider than the window, but for what scrolls by itself."""
    return page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((e) => !e.closest(".scroll"))
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
            .map((e) => e.outerHTML.slice(0, 80))"""
    )


def test_light_and_dark(page: Page) -> None:
    ground, ink = colours(page)
    assert min(ground) > 200
    assert max(ink) < 60
    page.emulate_media(color_scheme="dark")
    ground, ink = colours(page)
    assert max(ground) < 60
    assert min(ink) > 200


def test_the_finding_and_the_image_come_first(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    assert "this network ignores" in page.locator(".findings li").first.inner_text()
    box = page.locator(".example img").first.bounding_box()
    assert box is not None
    assert box["y"] < 600
    assert box["width"] > 200
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


def test_nothing_scrolls_sideways_on_a_phone_but_tables(page: Page) -> None:
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true })")
    assert wide(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.locator(".term").first.click()
    assert wide(page) == []


def test_a_word_is_explained_by_keyboard(page: Page) -> None:
    explained = page.locator(".word:popover-open")
    page.locator(".term").first.focus()
    page.keyboard.press("Enter")
    assert explained.count() == 1
    assert "does not care" in explained.inner_text()
    page.keyboard.press("Escape")
    assert explained.count() == 0
    page.keyboard.press("Tab")  # the next word, and from there on
    page.keyboard.press("Space")
    assert explained.count() == 1


def test_all_measures_are_sorted_by_any_column(page: Page) -> None:
    table = page.locator("table.sorted")
    page.locator("details.all summary").click()

    def column(place: int) -> list[str]:
        return table.evaluate(
            "(t, place) => [...t.tBodies[0].rows].map((r) => r.cells[place].dataset.key)", place
        )

    values = [float(v) for v in column(2)]
    head = table.locator("thead th")
    head.nth(2).get_by_role("button").click()
    assert [float(v) for v in column(2)] == sorted(values)
    assert head.nth(2).get_attribute("aria-sort") == "ascending"
    head.nth(2).get_by_role("button").press("Enter")
    assert [float(v) for v in column(2)] == sorted(values, reverse=True)
    head.nth(5).get_by_role("button").click()
    nulls = column(5)  # a measure without a null comes last
    known = [float(null) for null in nulls if null]
    assert known == sorted(known)
    assert nulls[: len(known)] == [null for null in nulls if null]
    assert head.nth(2).get_attribute("aria-sort") is None
    head.nth(0).get_by_role("button").click()
    assert column(0)[:1] == [min(column(0))]
    assert column(0).index("slope_area_z1") < column(0).index("slope_area_z7")


def test_printed_it_is_light_and_has_its_words_and_the_papers_address(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    ground, _ = colours(page)
    assert min(ground) == 255
    assert page.locator(".word").first.is_visible()
    assert not page.locator("details.all").is_visible()
    shown = page.evaluate("getComputedStyle(document.querySelector('a'), '::after').content")
    assert "arxiv.org" in shown or "attr(href)" in shown
    assert page.pdf().startswith(b"%PDF")
