"""Images and files of a reader's own on the page's scrubber, in a browser."""

import base64
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from scrubbed import SIDE, Open, assert_moved, bring, png, settle, shown, studied

pytestmark = pytest.mark.browser

HALF = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="80">'
    '<rect width="40" height="80" fill="white"/></svg>'
)
DROP = """async ([name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const event = { dataTransfer: transfer, bubbles: true, cancelable: true };
  const over = new DragEvent('dragover', event), drop = new DragEvent('drop', event);
  const section = document.querySelector('.scrubber');
  section.dispatchEvent(over);
  section.dispatchEvent(drop);
  return over.defaultPrevented && drop.defaultPrevented;
}"""


def test_an_image_file_is_moved(opened: Open, grey: Path) -> None:
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    bring(page, "same.png", png((255 * x[4, 0]).round()))
    expect(page.get_by_role("status")).to_contain_text("same.png”, made 8 by 8 pixels and grey.")
    assert_moved(page, gan, x[4])
    # Larger, not square, in colour, dark on a bright ground: its middle, averaged, grey, inverted.
    large = np.full((40, 60, 3), 255, dtype=np.uint8)
    large[10:20, 20:40] = (0, 60, 200)
    bring(page, "large.jpg", png(large))
    invert = page.get_by_label("Dark and bright exchanged")
    expect(invert).to_be_checked()
    settle(page)
    wanted = torch.zeros(SIDE, SIDE)
    wanted[2:4, 2:6] = 1 - (0.587 * 60 + 0.114 * 200) / 255
    assert (shown(page, "image")[0] - wanted).abs().max() < 0.02
    invert.uncheck()
    settle(page)
    assert (shown(page, "image")[0] - (1 - wanted)).abs().max() < 0.02


def zipped() -> bytes:
    """A zip of a megabyte of zeros."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(2**20))
    return content.getvalue()


def saved(picture: Image.Image, kind: str) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind)
    return content.getvalue()


def test_files_and_images_that_are_too_large_are_refused(opened: Open, grey: Path) -> None:
    page = opened(grey)
    before = shown(page, "image")
    for name, content, says in (
        ("many.png", saved(Image.new("1", (10_000, 5_000)), "PNG"), "10000 by 5000 pixels, more"),
        ("long.bin", bytes(20 * 2**20 + 1), "larger than 20 MiB; choose a smaller file."),
    ):
        bring(page, name, content)
        expect(page.get_by_role("status")).to_contain_text(f"“{name}” ")
        expect(page.get_by_role("status")).to_contain_text(says)
        assert torch.equal(shown(page, "image"), before)


def test_other_pixels_than_those_of_screens_are_read(opened: Open, grey: Path) -> None:
    """Grey of 16 bits, and a JPEG for printers."""
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    fine = Image.fromarray((65535 * x[4, 0]).round().numpy().astype(np.uint16))
    bring(page, "fine.png", saved(fine, "PNG"))
    expect(page.get_by_role("status")).to_contain_text("fine.png”, made 8 by 8")
    assert_moved(page, gan, x[4])
    half = np.zeros((80, 80), dtype=np.uint8)
    half[:, :40] = 255
    printed = Image.fromarray(half).convert("CMYK")
    bring(page, "printed.jpg", saved(printed, "JPEG"))
    expect(page.get_by_role("status")).to_contain_text("printed.jpg”, made 8 by 8")
    settle(page)
    page.get_by_label("Dark and bright exchanged").uncheck()
    settle(page)
    left, right = shown(page, "image")[0].chunk(2, dim=1)
    assert left.min() > 0.9
    assert right.max() < 0.2


SLOW = """() => {
  const { prototype } = HTMLImageElement, decode = prototype.decode;
  const gone = new Promise((resolve) => (window.goOn = resolve));
  prototype.decode = function () {
    window.waits = true;
    return gone.then(() => decode.call(this));
  };
}"""


def test_a_slow_file_does_not_come_after_a_later_choice(opened: Open, grey: Path) -> None:
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    page.evaluate(SLOW)
    bring(page, "slow.png", png((255 * x[4, 0]).round()))
    page.wait_for_function("window.waits")
    page.locator(".thumbs label").nth(2).click()
    page.evaluate("async () => { goOn(); await new Promise((done) => setTimeout(done, 300)); }")
    assert_moved(page, gan, x[2])
    expect(page.locator(".thumbs input").nth(2)).to_be_checked()
    expect(page.get_by_role("status")).not_to_contain_text("slow.png")


def test_a_file_dropped_beside_the_images_is_taken_too(
    opened: Open, grey: Path, tmp_path: Path
) -> None:
    """Dragged as from the desktop; a browser leaves the page for a file that nothing takes."""
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    (tmp_path / "own.png").write_bytes(png((255 * x[4, 0]).round()))
    page.evaluate("addEventListener('drop', (event) => { window.taken = event.defaultPrevented })")
    session = page.context.new_cdp_session(page)
    heading = page.locator("h1").bounding_box()
    assert heading is not None
    files = {"items": [], "files": [str(tmp_path / "own.png")], "dragOperationsMask": 1}
    at = {"x": heading["x"] + 9, "y": heading["y"] + 9, "data": files}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at})
    expect(page.get_by_role("status")).to_contain_text("own.png”, made 8 by 8")
    expect(page.get_by_role("status")).to_be_in_viewport()
    assert page.evaluate("window.taken")
    assert_moved(page, gan, x[4])


def test_an_image_is_dropped_and_what_is_none_is_told(opened: Open, grey: Path) -> None:
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    status = page.get_by_role("status")
    for name, content in (
        ("notes.txt", b"no image"),
        ("cut.png", png((255 * x[1, 0]).round())[:30]),
        ("empty.png", b""),
        ("zip.png", zipped()),
        ("<img src=x onerror=alert(1)>.png", b"\x89PNG"),
    ):
        before = shown(page, "image")
        bring(page, name, content)
        expect(status).to_have_text(
            f"“{name}” could not be read as an image; choose a PNG, JPEG, GIF or WebP file."
        )
        assert torch.equal(shown(page, "image"), before)
    content = base64.b64encode(HALF.encode()).decode()
    taken = page.evaluate(DROP, ["half.svg", "image/svg+xml", content])
    assert taken
    expect(status).to_contain_text("half.svg”, made 8 by 8")
    half = torch.zeros(1, SIDE, SIDE)
    half[..., : SIDE // 2] = 1
    if page.get_by_label("Dark and bright exchanged").is_checked():
        half = 1 - half
    assert_moved(page, gan, half)
