"""What a visitor of the live page does in a browser, and sees."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect

PATIENCE = 60_000  # milliseconds, on a busy machine
MOVED = "figure img[alt^=moved]"


@contextmanager
def visited(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """The page, seen by a visitor of its own; it loads nothing from elsewhere and has no error."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 1000}, **options})
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector(MOVED)
    yield page
    page.close()
    assert errors == []
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)


def seen(page: Page) -> str:
    """The moved image."""
    return str(page.locator(MOVED).first.get_attribute("src"))


def changed(page: Page, before: str) -> str:
    """What is seen once it is something else."""
    expect(page.locator(MOVED).first).not_to_have_attribute("src", before)
    return seen(page)


def move(page: Page, latent: int, to: float) -> None:
    """Set a latent by its number."""
    page.get_by_label(f"number input for z{latent}").fill(str(to))
    page.keyboard.press("Enter")


def upload(page: Page, name: str, content: bytes) -> None:
    """Choose a file."""
    box = page.locator("input[type=file]").first
    box.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def line(page: Page, across: float) -> tuple[float, float, float]:
    """Where a line across the paper lies on the screen: its x, its top and its bottom."""
    paper = page.locator("#fg-paper canvas").first
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    assert box is not None
    x = box["x"] + across * box["width"]
    return x, box["y"] + 0.2 * box["height"], box["y"] + 0.8 * box["height"]


def stroke(page: Page, across: float) -> None:
    """From top to bottom of the paper."""
    x, top, bottom = line(page, across)
    page.mouse.move(x, top)
    page.mouse.down()
    page.mouse.move(x, bottom, steps=8)
    page.mouse.up()


def finger(page: Page, across: float) -> None:
    """The same, by a finger."""
    x, top, bottom = line(page, across)
    hand = page.context.new_cdp_session(page)

    def touch(kind: str, *y: float) -> None:
        points = [{"x": x, "y": one} for one in y]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", top)
    for y in np.linspace(top, bottom, 9):
        touch("touchMove", float(y))
    touch("touchEnd")


def pixels(source: str) -> np.ndarray:
    """Grey values of a picture that stands in the page itself."""
    content = base64.b64decode(source.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def sides(page: Page) -> tuple[float, float]:
    """Mean brightness of the left and of the right half of the image."""
    source = str(page.locator("figure img[alt^=image]").first.get_attribute("src"))
    left, right = np.array_split(pixels(source), 2, axis=1)
    return float(left.mean()), float(right.mean())
