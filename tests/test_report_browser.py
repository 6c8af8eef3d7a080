"""The page in a browser: dark, on a phone, printed, sorted, explained, without a network."""

from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page
from records import NETWORK
from test_headline import walked
from test_report_evidence import evidence_record
from visiting import PATIENCE

from filtergan.config.fields import StudyConfig
from filtergan.figures.style import page as figure
from filtergan.figures.style import save
from filtergan.report import write_report
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record

pytestmark = pytest.mark.browser
RESULTS = Path(__file__).parents[1] / "results"
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
    known = read_record(RESULTS / "mnist_natural" / "seed0").sites["conv4@bn5/natural"]
    site.ceilings = known.ceilings
    record.figures = {"ceilings": "map.png", "depth": "map.png"}
    record.cnn = NETWORK.model_copy(update={"figures": {"curves": "curves.png"}})
    return write_report(RunDirectory(folder, config, record)).as_uri()


@pytest.fixture
def page(browser: Browser, address: str):
    """The page, opened on a desktop; nothing may be asked of a network, and nothing may fail."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
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


def test_every_table_and_figure_says_how_it_is_read(page: Page) -> None:
    parts = page.evaluate(
        """() => [...document.querySelectorAll(".read, table:not(.pairs), figure")]
            .map((part) => part.matches(".read") ? "read" : part.tagName)"""
    )
    assert (parts.count("FIGURE"), parts.count("TABLE")) == (12, 5)
    assert parts[0] == "read"
    assert all(before == "read" for before, part in pairwise(parts) if part != "read")
    for said in page.locator(".read").all_text_contents():
        assert said.startswith("How to read it: ")
        assert said.endswith(".")


def column(table: Locator, place: int) -> list[str]:
    """What a column is sorted by, from above."""
    return table.evaluate(
        "(t, place) => [...t.tBodies[0].rows].map((r) => r.cells[place].dataset.key)", place
    )


def test_all_measures_are_sorted_by_any_column(page: Page) -> None:
    page.locator("details.all summary").click()
    table = page.get_by_role("region", name="Table of measures").get_by_role("table")
    values = [float(v) for v in column(table, 2)]
    head = table.locator("thead th")
    head.nth(2).get_by_role("button").click()
    assert [float(v) for v in column(table, 2)] == sorted(values)
    assert head.nth(2).get_attribute("aria-sort") == "ascending"
    head.nth(2).get_by_role("button").press("Enter")
    assert [float(v) for v in column(table, 2)] == sorted(values, reverse=True)
    head.nth(5).get_by_role("button", name="Sort by Null").click()
    nulls = column(table, 5)  # a measure without a null comes last
    known = [float(null) for null in nulls if null]
    assert known == sorted(known)
    assert nulls[: len(known)] == [null for null in nulls if null]
    assert head.nth(2).get_attribute("aria-sort") is None
    head.nth(0).get_by_role("button").click()
    names = column(table, 0)
    assert names[:1] == [min(names)]
    assert names.index("slope_area_z1") < names.index("slope_area_z7")


@pytest.mark.parametrize(
    ("fold", "name", "place"), [("All measures", "Kinds of change", 2), ("Ceilings", "Ceilings", 3)]
)
def test_other_tables_are_sorted_alike(page: Page, fold: str, name: str, place: int) -> None:
    page.locator("summary", has_text=fold).click()
    table = page.get_by_role("region", name=name).get_by_role("table")
    head = table.locator("thead th").nth(place)
    before = column(table, place)
    head.locator(".term").click()  # the word is explained, and nothing sorted
    assert page.locator(".word:popover-open").count() == 1
    assert column(table, place) == before
    page.keyboard.press("Escape")
    head.locator(".sort").click()
    assert [float(v) for v in column(table, place)] == sorted(map(float, before))
    head.click(position={"x": 1, "y": 1})
    assert [float(v) for v in column(table, place)] == sorted(map(float, before), reverse=True)


def test_printed_it_is_light_and_has_its_words_and_the_papers_address(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    ground, _ = colours(page)
    assert min(ground) == 255
    assert page.locator(".word").first.is_visible()
    assert not page.locator("details.all").is_visible()
    shown = page.evaluate("getComputedStyle(document.querySelector('a'), '::after').content")
    assert "arxiv.org" in shown or "attr(href)" in shown
    assert page.pdf().startswith(b"%PDF")
