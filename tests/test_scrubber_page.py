"""The scrubber as a reader uses it, in a browser: pick, drag, draw, bring an image, by keyboard."""

import base64
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import movable
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from torch import Tensor

from filtergan.natural.natural_gan import NaturalGAN
from filtergan.report import scrubber
from filtergan.sites.wrappers import Classifier

pytestmark = pytest.mark.browser
SIDE = 8
GREYS = 0.6 / 255  # half a grey level, and rounding
Open = Callable[..., Page]

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


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return movable.page(tmp_path_factory.mktemp("grey") / "run")


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return movable.page(tmp_path_factory.mktemp("colour") / "run", 3, 32, movable.RESIDUAL)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page; in the end it must have asked for nothing and complained of nothing."""
    asked: list[str] = []
    said: list[str] = []
    contexts = []

    def visit(path: Path, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri())
        settle(page)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked)


def settle(page: Page) -> None:
    page.wait_for_function("document.querySelector('.scrubber').dataset.settled === 'true'")


def shown(page: Page, part: str) -> Tensor:
    """The pixels of a canvas: [4, h, w], from 0 to 1."""
    found = page.evaluate(
        """(part) => {
        const canvas = document.querySelector(`[data-part="${part}"]`), { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return [height, width, Array.from(data)];
        }""",
        part,
    )
    return torch.tensor(found[2]).reshape(found[0], found[1], 4).movedim(2, 0) / 255


def latents(page: Page) -> Tensor:
    values = page.locator(".slider input").evaluate_all("(all) => all.map((one) => one.value)")
    return torch.tensor([[float(value) for value in values]])


def box_of(page: Page, part: str) -> Any:
    """Where a part stands, now that it is in sight."""
    page.locator(part).scroll_into_view_if_needed()
    return page.locator(part).bounding_box()


def studied(colours: int, side: int) -> tuple[Classifier, NaturalGAN, Tensor]:
    """Network, generator and images of such a page."""
    cnn = movable.PAPER if colours == 1 else movable.RESIDUAL
    data = movable.images(colours, side)
    classifier = movable.network(cnn, data)
    index = scrubber.one_of_each_class(data.test, scrubber.IMAGES)
    return classifier, movable.gan(classifier, data, cnn), data.test.pixels(index)


def assert_moved(page: Page, gan: NaturalGAN, x: Tensor) -> Tensor:
    """The page shows the image, and what T makes of it by the sliders; returns that."""
    settle(page)
    z_k = latents(page)
    moved = gan.transform(x[None], torch.zeros_like(z_k), z_k)[0]
    for part, expected in (("image", x), ("moved", moved)):
        assert (shown(page, part)[: len(x)] - expected).abs().max() < GREYS + 1e-3
    return moved


def test_an_image_is_picked_and_moved_by_keyboard(opened: Open, grey: Path) -> None:
    classifier, gan, x = studied(1, SIDE)
    page = opened(grey)
    first = assert_moved(page, gan, x[0])
    assert (first - x[0]).abs().max() > 0.1  # something is seen at once
    expect(page.locator(".thumbs canvas")).to_have_count(scrubber.IMAGES)
    page.locator(".thumbs input").first.focus()
    page.keyboard.press("ArrowRight")
    assert_moved(page, gan, x[1])
    expect(page.get_by_label("<b>, image 2", exact=True)).to_be_checked()
    slider = page.get_by_label("Latent z1")
    slider.focus()
    before = float(slider.input_value())
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == pytest.approx(before + 7 * 0.05)
    page.keyboard.press("End")
    moved = assert_moved(page, gan, x[1])
    assert float(slider.input_value()) == scrubber.REACH

    probabilities = classifier(moved[None]).softmax(1)[0]
    said = page.locator("[data-part=labels] dd").all_inner_texts()
    assert said == [f"{round(100 * float(p))} %" for p in probabilities]
    assert page.locator("[data-part=labels] dt").all_inner_texts() == list(movable.CLASSES)
    label = movable.CLASSES[int(probabilities.argmax())]
    expect(page.get_by_role("status")).to_have_text(
        f"The network takes the moved image for {label}. The image shows <b>."
    )
    assert_residuals(page, gan, x[1], moved)


def assert_residuals(page: Page, gan: NaturalGAN, x: Tensor, moved: Tensor) -> None:
    z_k, site = latents(page), gan.site
    profile = site.respond(site.input(x[None]), gan.draw(torch.zeros_like(z_k)))
    values = []
    for part, image in (("before", x), ("after", moved)):
        expected = scrubber.residual(site, image[None], profile, gan.draw(z_k))
        values.append(float(page.locator(f"[data-part={part}]").inner_text()))
        assert values[-1] == pytest.approx(float(expected), abs=0.01)
    said = page.locator("[data-part=undone]").inner_text()
    undone = 1 - values[1] / values[0]
    if undone > 0.02:
        assert int(said.split(" %")[0].split()[-1]) == pytest.approx(100 * undone, abs=5)


def test_sliders_and_plane_are_dragged(opened: Open, grey: Path) -> None:
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    slider = box_of(page, ".slider input >> nth=0")
    page.mouse.move(slider["x"] + slider["width"] / 2, slider["y"] + slider["height"] / 2)
    page.mouse.down()
    page.mouse.move(slider["x"] + slider["width"] * 0.9, slider["y"] + slider["height"] / 2)
    page.mouse.up()
    assert latents(page)[0, 0] > 1.5
    assert_moved(page, gan, x[0])

    page.get_by_label("Up", exact=True).select_option("z2")
    box = box_of(page, "[data-part=plane]")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25, steps=4)
    assert_moved(page, gan, x[0])
    page.mouse.move(box["x"] + box["width"] + 60, box["y"] - 60)  # beyond its corner
    page.mouse.up()
    assert latents(page)[0, [0, 2]].tolist() == [scrubber.REACH, scrubber.REACH]
    page.locator("[data-part=plane]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert latents(page)[0, [0, 2]].tolist() == pytest.approx([2.75, 3.0])
    assert_moved(page, gan, x[0])
    page.get_by_role("button", name="Back to the image").click()
    moved = assert_moved(page, gan, x[0])
    assert not latents(page).any()
    assert torch.equal(moved, x[0])
    expect(page.locator("[data-part=undone]")).to_contain_text("nothing to undo")
    page.get_by_role("button", name="A random draw").click()
    assert_moved(page, gan, x[0])
    assert latents(page).any()


def test_a_drawing_is_moved_while_it_is_drawn(opened: Open, grey: Path) -> None:
    page = opened(grey)
    page.get_by_role("button", name="Draw one").click()
    paper = box_of(page, "[data-part=paper]")
    page.mouse.move(paper["x"] + paper["width"] * 0.5, paper["y"] + paper["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(paper["x"] + paper["width"] * 0.5, paper["y"] + paper["height"] * 0.8, steps=5)
    settle(page)
    drawn = shown(page, "image")[0]
    middle = drawn[:, SIDE // 2 - 1 : SIDE // 2 + 1].sum(1)  # a stroke on the border of two columns
    assert (middle[2:6] > 0.5).all()
    assert drawn[:, [0, 1, -2, -1]].sum() == 0
    assert (shown(page, "moved")[0] - drawn).abs().max() > 0.05
    page.mouse.up()
    expect(page.locator(".thumbs input:checked")).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    page.mouse.click(paper["x"] + paper["width"] * 0.2, paper["y"] + paper["height"] * 0.2)
    settle(page)
    dot = shown(page, "image")[0]
    assert dot[:3, :3].sum() > 0.3
    assert dot[3:].sum() == 0
    _, gan, x = studied(1, SIDE)
    page.locator(".thumbs label").nth(2).click()
    assert_moved(page, gan, x[2])


def png(pixels: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def bring(page: Page, name: str, content: bytes) -> None:
    page.locator("[data-part=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


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


def test_canvases_say_what_is_seen(opened: Open, grey: Path) -> None:
    classifier, gan, x = studied(1, SIDE)
    page = opened(grey)
    page.locator(".thumbs label").nth(2).click()
    change = assert_moved(page, gan, x[2]) - x[2]
    label = movable.CLASSES[int(classifier(change[None] + x[2:3]).argmax())]

    def said(part: str) -> str:
        return page.locator(f"[data-part={part}]").get_attribute("aria-label") or ""

    def shares(part: str) -> list[int]:
        return [int(share) for share in re.findall(r"(\d+) %", said(part))]

    assert said("image") == f"Image of class {movable.CLASSES[2]}."
    assert said("moved").endswith(f"changed; the network takes it for {label}.")
    seen = [float((part > 0.05).float().mean()) for part in (change, -change)]
    assert shares("difference") == pytest.approx([100 * share for share in seen], abs=2)
    assert shares("moved") == pytest.approx([100 * sum(seen)], abs=2)
    assert re.fullmatch(r"Gain: \d+ % of the image amplified, \d+ % dimmed\.", said("gain"))
    page.get_by_role("button", name="Back to the image").click()
    settle(page)
    assert said("difference") == "Difference: 0 % of the pixels are brighter, 0 % darker."
    assert said("flow") == "Flow: pixels move by 0.0 on average, by 0.0 at most."
    bring(page, "own.png", png((255 * x[4, 0]).round()))
    expect(page.locator("[data-part=image]")).to_have_attribute(
        "aria-label", "An image of one's own."
    )


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


def test_images_in_colour(opened: Open, colour: Path) -> None:
    classifier, gan, x = studied(3, 32)
    page = opened(colour)
    expect(page.get_by_role("button", name="Draw one")).to_have_count(0)
    assert_moved(page, gan, x[0])
    bring(page, "other.png", png((255 * x[5]).round().permute(1, 2, 0)))
    expect(page.get_by_role("status")).to_contain_text("made 32 by 32 pixels.")
    moved = assert_moved(page, gan, x[5])
    expect(page.get_by_label("Dark and bright exchanged")).to_be_hidden()
    probabilities = classifier(moved[None]).softmax(1)[0]
    said = page.locator("[data-part=labels] dd").all_inner_texts()
    assert said == [f"{round(100 * float(p))} %" for p in probabilities]


def test_sites_are_chosen_and_their_doubts_told(opened: Open, tmp_path: Path) -> None:
    page = opened(movable.page(tmp_path / "run", two=True))
    _, gan, x = studied(1, SIDE)
    doubt = page.locator("[data-doubt]")
    expect(doubt).to_be_hidden()
    page.locator(".thumbs label").nth(3).click()
    assert_moved(page, gan, x[3])
    page.get_by_label("Layer and reading").select_option("conv2 read at activation (natural)")
    settle(page)
    expect(doubt).to_contain_text("Not to be believed:")
    expect(page.locator(".slider")).to_have_count(1)
    for part, seen in (("plane", False), ("flow", False), ("gain", True)):
        expect(page.locator(f"[data-part={part}]")).to_be_visible(visible=seen)
    assert (shown(page, "image")[0] - x[3, 0]).abs().max() < GREYS
    assert not torch.equal(shown(page, "moved"), shown(page, "image"))
    page.get_by_label("Layer and reading").select_option("conv2 read at bn3 (natural)")
    assert_moved(page, gan, x[3])
    assert_residuals(page, gan, x[3], gan.transform(x[3:4], torch.zeros(1, 3), latents(page))[0])


def test_images_move_without_a_network_too(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubber, "MOST_WORK", 10)
    page = opened(movable.page(tmp_path / "run"))
    _, gan, x = studied(1, SIDE)
    page.get_by_label("Latent z2").focus()
    page.keyboard.press("Home")
    assert_moved(page, gan, x[0])
    expect(page.locator("[data-part=why]")).to_contain_text("Labels and residuals are not shown")
    expect(page.locator("[data-part=seen]")).to_be_hidden()


def test_maths_in_the_browser_are_those_of_torch(opened: Open, colour: Path) -> None:
    data = movable.images(3, 32)
    _, gan, _ = studied(3, 32)
    x, z, z_k = movable.moves(data, gan.latent)
    page = opened(colour)
    asked = {"x": x.flatten(1).tolist(), "z": z.tolist(), "zk": z_k.tolist()}
    found = page.evaluate(
        f"""(given) => {{
        given.data = JSON.parse(document.getElementById("scrubber-data").textContent);
        {movable.MOVED}
        }}""",
        asked,
    )
    moved = gan.transform(x, z, z_k).flatten(1)
    assert (torch.tensor([f["moved"] for f in found]) - moved).abs().max() < 1e-3


def test_on_a_phone_nothing_is_cut_off(opened: Open, grey: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = opened(grey, **phone)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    _, gan, x = studied(1, SIDE)
    box = box_of(page, "[data-part=plane]")
    page.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5)
    assert_moved(page, gan, x[0])
    assert latents(page)[0, 0] == pytest.approx(1.5, abs=0.1)
    # What is moved stays in sight while the last slider is.
    page.locator(".slider input").last.scroll_into_view_if_needed()
    expect(page.locator("[data-part=moved]")).to_be_in_viewport()
    page.get_by_role("button", name="Draw one").tap()
    paper = box_of(page, "[data-part=paper]")
    page.touchscreen.tap(paper["x"] + paper["width"] / 2, paper["y"] + paper["height"] / 2)
    settle(page)
    assert shown(page, "image")[0].max() > 0.1


def test_arrows_are_seen_in_the_dark(opened: Open, grey: Path) -> None:
    page = opened(grey, color_scheme="dark")
    ink = page.evaluate("getComputedStyle(document.querySelector('[data-part=flow]')).color")
    arrows = shown(page, "flow")
    drawn = arrows[:3, arrows[3] == 1].median(1).values
    wanted = [int(part) / 255 for part in ink.removeprefix("rgb(").rstrip(")").split(", ")[:3]]
    assert drawn.tolist() == pytest.approx(wanted, abs=0.02)
