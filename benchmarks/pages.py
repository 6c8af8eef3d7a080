"""The report's scrubber and the live page, as a reader waits for them, in headless Chromium."""

import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from programme import FILTERGAN
from timing import Spread

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 5  # of dragging
ANSWERS, OPENINGS, GRIDS = 20, 5, 7
MOVED = "figure img[alt^=moved]"

# A callback asked for after the page's own comes behind it in the same frame: the image is drawn.
DRAGGED = """async ([answers, seconds]) => {
  const root = document.querySelector(".scrubber"), slider = root.querySelector(".slider input");
  const frame = () => new Promise(requestAnimationFrame);
  const move = async (value) => {
    const begun = performance.now();
    slider.value = value;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
    return performance.now() - begun;
  };
  const reach = Number(slider.max), drawn = [], seen = [];
  for (let i = 0; i < answers; i++) {
    const begun = performance.now();
    drawn.push(await move(((i % 7) / 3.5 - 1) * reach));
    while (root.dataset.settled !== "true") await new Promise((resolve) => setTimeout(resolve, 1));
    seen.push(performance.now() - begun);
  }
  const begun = performance.now();
  let images = 0;
  while (performance.now() - begun < 1000 * seconds) await move(Math.sin(0.1 * images++) * reach);
  return { drawn, seen, rate: images / (performance.now() - begun) * 1000 };
}"""


def run(finished: Path, data: str) -> dict[str, Any]:
    """Of a finished run with natural sites: its report's scrubber, and its live page.

    Args:
        finished: The run directory.
        data: Its images.
    """
    with _chromium() as page:
        return {"scrubber": _scrubber(page, finished), "explorer": _explorer(page, finished, data)}


@contextmanager
def _chromium() -> Iterator[Page]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SystemExit(f"Install one of {', '.join(BROWSERS)} for the part `pages`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1280, "height": 1000})
        browser.close()


def _scrubber(page: Page, finished: Path) -> dict[str, Any]:
    """Seconds until a moved image is drawn and until labels are there, images while dragging."""
    page.goto((finished / "report.html").resolve().as_uri())
    page.wait_for_selector(".slider input")
    found = page.evaluate(DRAGGED, [ANSWERS, SECONDS])
    return {
        "first_seconds": found["drawn"][0] / 1000,
        "drawn_seconds": Spread.of(v / 1000 for v in found["drawn"]).as_record(),
        "labels_seconds": Spread.of(v / 1000 for v in found["seen"]).as_record(),
        "images_per_second": found["rate"],
    }


def _explorer(page: Page, finished: Path, data: str) -> dict[str, Any]:
    """Seconds from the command to its page, and to a moved image; of a grid asked for there."""
    served, shown, grids = [], [], []
    for opening in range(OPENINGS):
        begun = time.perf_counter()
        with _served(finished, data) as address:
            served.append(time.perf_counter() - begun)
            page.goto(address)
            page.wait_for_selector(MOVED)
            shown.append(time.perf_counter() - begun)
            if opening == OPENINGS - 1:
                page.get_by_role("tab", name="Grid").click()
                grids = [_grid(page, n) for n in range(1, GRIDS + 1)]
    return {
        "served_seconds": statistics.median(served),
        "shown_seconds": statistics.median(shown),
        "grid_seconds": Spread.of(grids).as_record(),
    }


def _grid(page: Page, across: int) -> float:
    """Seconds from the click until a 5x5 grid over two latents is seen."""
    page.get_by_label("Latent across").click()
    page.get_by_role("option", name=str(across), exact=True).click()
    begun = time.perf_counter()
    page.get_by_role("button", name="Show the grid").click()
    page.get_by_text(f"z0 downwards and z{across} across").wait_for()
    return time.perf_counter() - begun


@contextmanager
def _served(finished: Path, data: str) -> Iterator[str]:
    command = [FILTERGAN, "explore", str(finished), "--data", data, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        found = re.search(r"http://\S+", server.stdout.readline())
        if found is None:
            raise SystemExit(f"`{' '.join(command)}` did not open.")
        yield found[0]
    finally:
        server.terminate()
        server.wait()
