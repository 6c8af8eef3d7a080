"""A page with a scrubber in a browser: what is seen there, and files brought to it."""

import io
from collections.abc import Callable
from typing import Any

import movable
import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page
from torch import Tensor

from filtergan.natural.natural_gan import NaturalGAN
from filtergan.report import scrubber
from filtergan.sites.wrappers import Classifier

SIDE = 8
GREYS = 0.6 / 255  # half a grey level, and rounding
Open = Callable[..., Page]


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
    settle(page)  # sliders follow a key or a drag at the next frame
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


def png(pixels: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def bring(page: Page, name: str, content: bytes) -> None:
    page.locator("[data-part=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
