"""Arrays as pictures: images, signed maps that are transparent at 0, flows as arrows."""

import base64
import io
import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from filtergan.images.palette import COLOURS

BELOW, ABOVE = (tuple(bytes.fromhex(colour.removeprefix("#"))) for colour in COLOURS[:2])
"""Blue and orange, as in the report: colour-blind readers can tell them apart."""
GREY = (125, 125, 125)  # seen on black and on white
SIDE = 256  # pixels of a picture of arrows
ARROWS = 9  # along a side
FILTERS = 8  # of filters, and channels of each, that are shown

Picture = UInt8[np.ndarray, "_ _ 4"]
"""RGBA."""


def of_image(image: Float[Tensor, "c h w"]) -> Picture:
    """An image; channels that are no colours are averaged."""
    pixels = image.numpy()
    if len(pixels) != 3:
        pixels = pixels.mean(axis=0, keepdims=True).repeat(3, axis=0)
    opaque = np.ones_like(pixels[:1])
    return _bytes(np.concatenate([pixels, opaque]).transpose(1, 2, 0))


def of_signed(values: Float[Tensor, "h w"], limit: float) -> Picture:
    """Numbers about 0: orange above, blue below, transparent at 0, opaque from the limit on."""
    array = values.numpy()
    colours = np.where(array[..., None] < 0, np.array(BELOW) / 255, np.array(ABOVE) / 255)
    alpha = np.minimum(np.abs(array) / max(limit, 1e-12), 1)
    return _bytes(np.concatenate([colours, alpha[..., None]], axis=2))


def of_change(
    image: Float[Tensor, "c h w"], moved: Float[Tensor, "c h w"]
) -> tuple[Picture, float]:
    """What was added and taken away, averaged over channels, and the end of its scale."""
    change = (moved - image).mean(0)
    limit = max(0.1, float(change.abs().max()))  # so that rounding does not fill the scale
    return of_signed(change, limit), limit


def of_flow(flow: Float[Tensor, "2 h w"]) -> Picture:
    """Arrows from where pixels of the image were to where they are.

    Args:
        flow: In pixels: the pixel at p is taken from p + flow(p).
    """
    _, h, w = flow.shape
    scale = 2 * SIDE / max(h, w)  # twice as large, then averaged: smooth lines
    canvas = Image.new("RGBA", (round(scale * w), round(scale * h)), (*GREY, 0))
    draw = ImageDraw.Draw(canvas)
    right, down = flow.numpy()
    step = max(1.0, max(h, w) / ARROWS)
    for y in np.arange(step / 2, h, step):
        for x in np.arange(step / 2, w, step):
            place = int(y), int(x)
            to = (x * scale, y * scale)
            way = (-right[place] * scale, -down[place] * scale)
            _arrow(draw, (to[0] - way[0], to[1] - way[1]), to)
    half = (math.ceil(canvas.width / 2), math.ceil(canvas.height / 2))
    return np.asarray(canvas.resize(half, Image.Resampling.BOX))


def _arrow(draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y)
    if length < 3:
        draw.ellipse([end[0] - 2, end[1] - 2, end[0] + 2, end[1] + 2], fill=(*GREY, 255))
        return
    x, y = x / length, y / length
    tip = min(16.0, 0.7 * length)
    draw.line([start, end], fill=(*GREY, 255), width=4)
    for side in (0.5, -0.5):
        barb = (end[0] - tip * (x + side * y), end[1] - tip * (y - side * x))
        draw.line([end, barb], fill=(*GREY, 255), width=4)


def of_filters(filters: Float[Tensor, "o i *k"], limit: float) -> Picture:
    """Some filters, a row each, with some of their channels; `of_signed` by that limit."""
    flat = filters[:FILTERS, :FILTERS]
    flat = flat.reshape(*flat.shape[:2], -1, flat.shape[-1])  # volumes and signals as planes
    o, i, h, w = flat.shape
    whole = np.zeros((o * (h + 1) - 1, i * (w + 1) - 1, 4), dtype=np.uint8)
    for row in range(o):
        for column in range(i):
            y, x = row * (h + 1), column * (w + 1)
            whole[y : y + h, x : x + w] = of_signed(flat[row, column], limit)
    return whole


def magnified(picture: Picture, side: int = SIDE) -> Picture:
    """A picture enlarged by a whole factor, so that its longer side has about so many pixels."""
    factor = max(1, side // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def on_white(picture: Picture) -> UInt8[np.ndarray, "_ _ 3"]:
    """The picture as it is seen on paper."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    return (picture[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def png(picture: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A picture as a file."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="png")
    return content.getvalue()


def address(picture: Picture) -> str:
    """A picture as an address that holds it, for a page."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"


def _bytes(values: np.ndarray) -> Picture:
    return (255 * values.clip(0, 1)).round().astype(np.uint8)
