"""The scrubber as a reader uses it, in a browser: pick, drag, draw, bring an image, by keyboard."""

import re
from pathlib import Path

import movable
import pytest
import torch
from playwright.sync_api import Page, expect
from scrubbed import (
    GREYS,
    SIDE,
    Open,
    assert_moved,
    box_of,
    bring,
    latents,
    png,
    settle,
    shown,
    studied,
)
from torch import Tensor

from filtergan.explorer import looks, panels, rasters
from filtergan.images.palette import SIGNS
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.report import scrubber

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return movable.page(tmp_path_factory.mktemp("colour") / "run", 3, 32, movable.RESIDUAL)


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
    page.wait_for_function("document.querySelector('.slider input').value > 1.5")
    assert_moved(page, gan, x[0])

    page.get_by_label("Up", exact=True).select_option("z2")
    box = box_of(page, "[data-part=plane]")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25, steps=4)
    assert_moved(page, gan, x[0])
    page.mouse.move(box["x"] + box["width"] + 60, box["y"] - 60)  # beyond its corner
    page.mouse.up()
    settle(page)
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


def said(page: Page, part: str) -> str:
    """What a canvas tells those who hear the page."""
    return page.locator(f"[data-part={part}]").get_attribute("aria-label") or ""


def test_canvases_say_what_is_seen(opened: Open, grey: Path) -> None:
    classifier, gan, x = studied(1, SIDE)
    page = opened(grey)
    page.locator(".thumbs label").nth(2).click()
    change = assert_moved(page, gan, x[2]) - x[2]
    label = movable.CLASSES[int(classifier(change[None] + x[2:3]).argmax())]

    def shares(part: str) -> list[int]:
        return [int(share) for share in re.findall(r"(\d+) %", said(page, part))]

    assert said(page, "image") == f"Image of class {movable.CLASSES[2]}."
    assert said(page, "moved").endswith(f"changed; the network takes it for {label}.")
    seen = [float((part > 0.05).float().mean()) for part in (change, -change)]
    assert shares("difference") == pytest.approx([100 * share for share in seen], abs=2)
    assert shares("moved") == pytest.approx([100 * sum(seen)], abs=2)
    page.get_by_role("button", name="Back to the image").click()
    settle(page)
    assert said(page, "difference") == "Difference: 0 % of the pixels are brighter, 0 % darker."
    assert said(page, "flow") == "Flow: pixels move by 0.0 on average, by 0.0 at most."
    bring(page, "own.png", png((255 * x[4, 0]).round()))
    expect(page.locator("[data-part=image]")).to_have_attribute(
        "aria-label", "An image of one's own."
    )


def test_every_field_is_drawn_as_on_the_live_page(opened: Open, grey: Path) -> None:
    _, gan, x = studied(1, SIDE)
    page = opened(grey)
    page.get_by_label("Latent z1").focus()
    page.keyboard.press("End")
    assert_moved(page, gan, x[0])
    fields = looks.fields_of(gan, x[:1], latents(page))
    assert set(fields) == {"flow", "gain", "blur"}
    for kind in ("gain", "blur"):
        values = fields[kind][0].mean(0)
        limit = max(panels.FULL, float(values.abs().max()))
        drawn = rasters.of_signed(values, limit)
        wanted = torch.from_numpy(drawn.astype("float32") / 255).movedim(2, 0)
        seen = shown(page, kind)
        assert (seen[3] - wanted[3]).abs().max() < 0.01
        full = wanted[3] > 0.3  # colours of what is nearly transparent are rounded
        assert full.any()
        assert (seen - wanted)[:3, full].abs().max() < 0.02
        figure = page.locator("figure", has=page.locator(f"[data-part={kind}]"))
        above, below = SIGNS[kind]
        told = f"orange: {above}, blue: {below}; up to {limit:.2g}"
        expect(figure.locator("figcaption > span")).to_have_text(told)
        assert re.fullmatch(
            rf"{kind.title()}: \d+ % of the image {above}, .*{below}\.", said(page, kind)
        )
    expect(page.locator("[data-part=offset]")).to_be_hidden()


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
    untested, doubt = (page.locator(f"[data-doubt='{place}']") for place in (0, 1))
    expect(untested).to_contain_text("No invariance is shown: not tested:")
    expect(doubt).to_be_hidden()
    page.locator(".thumbs label").nth(3).click()
    assert_moved(page, gan, x[3])
    page.get_by_label("Layer and reading").select_option("conv2 read at activation (natural)")
    settle(page)
    expect(doubt).to_contain_text("Not to be believed:")
    expect(untested).to_be_hidden()
    expect(page.locator(".slider")).to_have_count(1)
    for part, seen in (("plane", False), ("flow", False), ("gain", True), ("offset", True)):
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
