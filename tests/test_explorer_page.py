"""The live page in a browser: pick, move, upload, draw, search, cancel, keep; with a password."""

import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from explored import NATURAL, PAPER, served
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sent import bomb, encoded
from visiting import MOVED, PATIENCE, changed, move, pixels, seen, sides, stroke, upload, visited

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with visited(browser, address) as found:
        yield found


def test_pick_move_and_keep(page: Page) -> None:
    first = seen(page)
    page.locator(".fg-thumbnails button.thumbnail-item").nth(3).click()
    picked = changed(page, first)
    page.get_by_label("Any test image").fill("31")
    page.keyboard.press("Enter")
    expect(page.locator("#fg-note")).to_contain_text("Test image 31")
    picked = changed(page, picked)
    slider = page.get_by_label("range slider for z0")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    changed(page, picked)
    expect(page.locator("text=Profile residual").first).to_be_visible()
    expect(page.locator(".fg-opinions tbody tr")).to_have_count(4)

    page.get_by_role("tab", name="Grid").click()
    page.get_by_label("Latent across").click()
    page.get_by_role("option", name="2").click()
    page.get_by_role("button", name="Show the grid").click()
    expect(page.locator(".fg-grid img")).to_have_count(25)
    expect(page.locator(".fg-grid")).to_contain_text("z0 downwards and z2 across")

    page.get_by_role("tab", name="Keep").click()
    page.get_by_role("button", name="Make the files").click()
    links = page.locator("a[download]")
    expect(links).to_have_count(3)
    kept: dict[str, bytes] = {}
    for i in range(3):
        with page.expect_download() as coming:
            links.nth(i).click()
        kept[coming.value.suggested_filename] = Path(coming.value.path()).read_bytes()
    assert set(kept) == {"image.png", "walk_z0.gif", "arrays.npz"}
    Image.open(io.BytesIO(kept["image.png"])).load()
    assert getattr(Image.open(io.BytesIO(kept["walk_z0.gif"])), "n_frames", 0) > 20
    arrays = np.load(io.BytesIO(kept["arrays.npz"]))
    assert arrays["site"] == NATURAL
    assert arrays["z"][0] == pytest.approx(1.0)
    assert arrays["moved"].shape == (1, 8, 8)


def test_a_cell_of_the_grid_sets_both_latents(page: Page) -> None:
    """By a click, and by keys alone; what is seen then is what the cell shows."""
    numbers = [page.get_by_label(f"number input for z{i}") for i in range(3)]
    first = seen(page)
    move(page, 1, 0.5)
    before = changed(page, first)
    page.get_by_role("tab", name="Grid").click()
    page.get_by_label("Latent across").click()
    page.get_by_role("option", name="2").click()
    page.get_by_role("button", name="Show the grid").click()
    cells = page.locator(".fg-grid button")
    expect(cells).to_have_count(25)
    cells.nth(9).click()
    shown = pixels(str(cells.nth(9).locator("img").get_attribute("src"))).astype(int)
    clicked = changed(page, before)
    while abs(pixels(clicked) - shown).max() > 1:  # one latent may be there before the other
        clicked = changed(page, clicked)
    for number, at in zip(numbers, ("-1.5", "0.5", "3"), strict=True):
        expect(number).to_have_value(at)
    expect(cells.nth(9)).to_be_focused()
    for key in ("ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft"):  # none beyond the border
        page.keyboard.press(key)
    expect(cells.nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    changed(page, clicked)
    for number, at in zip(numbers, ("-3", "0.5", "1.5"), strict=True):
        expect(number).to_have_value(at)
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Show the grid")).to_be_focused()
    # It was of this image.
    page.locator(".fg-thumbnails button.thumbnail-item").nth(3).click()
    expect(cells).to_have_count(0)


def test_a_search_is_cancelled_and_another_ends(page: Page, place: Path) -> None:
    before = seen(page)
    move(page, 1, 2.5)
    changed(page, before)
    page.get_by_role("tab", name="Search").click()
    (place / "slowly").touch()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".progress-text").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#fg-found")).to_contain_text("The search was cancelled.")
    (place / "slowly").unlink()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#fg-found img[alt^='by the search']")).to_be_visible()
    expect(page.locator("#fg-found")).to_contain_text("is left by T")


def test_uploads_good_and_bad(page: Page) -> None:
    note, first = page.locator("#fg-note"), seen(page)
    noise = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", bytes(50 * 2**20))
    deep = Image.fromarray(np.zeros((8, 8), dtype=np.uint16))
    bad = {
        "no.png": (b"no image at all", "is no picture"),
        "huge.png": (encoded(Image.new("1", (10_000, 5_000))), "10000 x 5000 pixels"),
        "bomb.png": (bomb(5_000), "5000 x 5000 pixels"),
        "larger.png": (bomb(60_000), "far too many pixels"),
        "deep.png": (encoded(deep), "more than 8 bits"),
        "zip.png": (archive.getvalue(), "is no picture"),
    }
    for name, (content, said) in bad.items():
        upload(page, name, content)
        expect(note).to_contain_text(said)
        assert seen(page) == first
        page.get_by_label("Clear").first.click()
        expect(note).to_contain_text("Test image")
    good = encoded(Image.fromarray(noise))
    upload(page, "good.png", good)
    expect(note).to_contain_text("its middle was brought to 8 x 8 and its colours became grey")
    taken = changed(page, first)
    # On the ground that it has; exchanged and back it is what it was.
    exchanged = page.get_by_label("Dark and bright exchanged")
    was = exchanged.is_checked()
    exchanged.click()
    other = changed(page, taken)
    exchanged.click()
    assert changed(page, other) == taken
    assert exchanged.is_checked() == was
    page.get_by_label("Clear").first.click()
    expect(exchanged).to_be_hidden()


def test_a_latent_is_dragged(page: Page) -> None:
    """The image follows while the hand is still down, and where it ends counts."""
    before = seen(page)
    slider, told = (
        page.get_by_label("range slider for z0"),
        page.get_by_label("number input for z0"),
    )
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], middle, steps=8)
    on_the_way = changed(page, before)
    assert 1 < float(told.input_value()) < 2
    page.mouse.move(box["x"] + box["width"] - 1, middle, steps=8)
    changed(page, on_the_way)
    page.mouse.up()
    expect(told).to_have_value("3")


def test_an_image_is_drawn(page: Page) -> None:
    first, note = seen(page), page.locator("#fg-note")
    page.get_by_role("tab", name="Draw one").click()
    page.get_by_role("button", name="Brush").click()
    stroke(page, 0.3)
    expect(note).to_contain_text("Your drawing.")
    drawn = changed(page, first)
    left, right = sides(page)
    assert left > 10
    assert right == 0
    # It stays exchanged while it goes on.
    exchanged = page.get_by_label("Dark and bright exchanged")
    expect(exchanged).not_to_be_checked()
    exchanged.click()
    other = changed(page, drawn)
    stroke(page, 0.7)
    both = changed(page, other)
    expect(exchanged).to_be_checked()
    assert max(sides(page)) < 245
    # An image of the run takes its place; the next stroke goes on with it.
    page.locator(".fg-thumbnails button.thumbnail-item").nth(3).click()
    expect(note).to_contain_text("Test image")
    picked = changed(page, both)
    expect(exchanged).to_be_hidden()
    stroke(page, 0.5)
    expect(note).to_contain_text("Your drawing.")
    again = changed(page, picked)
    assert min(sides(page)) > 10
    page.get_by_role("button", name="Clear canvas").click()
    expect(note).to_contain_text("Nothing is drawn")
    changed(page, again)
    expect(exchanged).to_be_hidden()


def test_training_images(page: Page) -> None:
    note, first = page.locator("#fg-note"), seen(page)
    page.get_by_role("radio", name="training").click()
    expect(note).to_contain_text("Training image 0")
    training = changed(page, first)
    page.get_by_label("Any training image").fill("7")
    page.keyboard.press("Enter")
    expect(note).to_contain_text("Training image 7")
    changed(page, training)
    page.locator(".fg-thumbnails button.thumbnail-item").nth(3).click()
    expect(note).to_contain_text("Test image")
    expect(page.get_by_role("radio", name="test")).to_be_checked()


def test_a_site_of_the_papers_recipe(page: Page) -> None:
    page.get_by_label("Site").click()
    page.get_by_role("option", name=PAPER, exact=True).click()
    expect(page.locator("text=This site has no transformer")).to_be_visible()
    expect(page.locator(".fg-grids img")).to_have_count(9)
    drawn = page.locator("img[alt^='filters of the draw']")
    before = str(drawn.get_attribute("src"))
    move(page, 0, 3)
    expect(drawn).not_to_have_attribute("src", before)


@pytest.mark.usefixtures("address")  # which makes the run
def test_a_password(place: Path, browser: Browser) -> None:
    run = place / "run"
    with served(run, place / "slowly", FILTERGAN_PASSWORD="open sesame") as address:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        for password in ("wrong words", "open sesame"):
            page.get_by_label("username").fill("anybody")
            page.get_by_label("password").fill(password)
            page.get_by_role("button", name="Login").click()
            if password == "wrong words":
                expect(page.locator("text=Incorrect Credentials")).to_be_visible()
        page.wait_for_selector(MOVED)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/config", timeout=60)
    page.close()  # it was still open when the server ended
