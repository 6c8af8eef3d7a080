"""Images of a visitor's own: read within bounds, and brought to what the network takes."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from filtergan.config.fields import Interpolation
from filtergan.errors import UserError
from filtergan.images.dataset import COLOUR_MODES, GREY_MODES

MOST_BYTES = 8 * 2**20
MOST_PIXELS = 16 * 2**20
"""Refused before anything is decoded: what Pillow calls a decompression bomb is ten times more."""
MOST_SECONDS = 10.0
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def read_upload(
    content: bytes, shape: tuple[int, int, int], interpolation: Interpolation = "bilinear"
) -> tuple[Float[Tensor, "c h w"], str]:
    """The middle of a picture, as an image of the network's size and channels.

    Args:
        content: The file.
        shape: Channels (1: grey, 3: RGB), height and width.
        interpolation: Pillow's filter to bring it to that size.

    Returns:
        Pixels in [0, 1], and a sentence that says what was done to the picture.

    Raises:
        UserError: It is too large, no picture, damaged, or has pixels of more than 8 bits; or
            reading it takes too long.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"The file is larger than {MOST_BYTES // 2**20} MiB; choose a smaller one.")
    found: Future[tuple[Float[Tensor, "c h w"], str]] = Future()

    def read() -> None:
        try:
            found.set_result(_fitted(_decoded(content), shape, interpolation))
        except Exception as error:  # raised below, by whoever waits
            found.set_exception(error)

    # A thread of its own, which ends with the server: one that hangs keeps nobody else waiting.
    threading.Thread(target=read, daemon=True).start()
    try:
        return found.result(MOST_SECONDS)
    except TimeoutError as error:
        raise UserError(
            f"Reading the picture takes longer than {MOST_SECONDS:g} seconds; save it anew in "
            "another format, or make it smaller."
        ) from error


def opened(content: bytes, most: int = MOST_PIXELS) -> Image.Image:
    """A picture of which nothing is decoded yet.

    Args:
        content: The file.
        most: Pixels.

    Raises:
        UserError: It is no picture, damaged, or too large.
    """
    with _told():
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = picture.size
    if width * height > most:
        said = f"{most // 2**20} million" if most >= 2**20 else f"{most:,}"
        raise UserError(
            f"The picture has {width} x {height} pixels, more than {said}; make it smaller first."
        )
    return picture


def _decoded(content: bytes) -> Image.Image:
    picture = opened(content)
    if picture.mode not in GREY_MODES | COLOUR_MODES:
        raise UserError(
            f"The picture has pixels of more than 8 bits (mode {picture.mode}); convert it to "
            "8 bits first."
        )
    with _told():
        picture.load()
    with suppress(Exception):  # where notes of how a camera was held are damaged, pixels are not
        picture = ImageOps.exif_transpose(picture)
    return picture


@contextmanager
def _told() -> Iterator[None]:
    """What Pillow raises at files, as sentences."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise UserError(
            f"The file is no picture in one of the formats {', '.join(FORMATS)}."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError("The picture has far too many pixels; make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError("The picture is damaged and cannot be read.") from error


def ink(drawn: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w"]:
    """How much dark ink lies at each place of a paper, white or transparent, to 255."""
    grey, alpha = drawn[..., :3].mean(2), drawn[..., 3] / 255
    return ((255 - grey) * alpha).round().astype(np.uint8)


def reduced(
    covered: UInt8[np.ndarray, "rows columns"], shape: tuple[int, int, int]
) -> Float[np.ndarray, "1 h w"]:
    """A drawing, as an image of the network's size: each pixel is the mean of what it covers.

    Args:
        covered: How much ink lies at each place of the paper, to 255.
        shape: Channels, height and width of the image.
    """
    _, height, width = shape
    small = Image.fromarray(covered).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)[None] / 255


def on_bright(images: Float[Tensor, "*n 1 h w"]) -> bool:
    """Whether grey images lie on a bright ground: the middle of their borders' values says so."""
    sides = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
    return float(torch.cat([side.flatten() for side in sides]).median()) > 0.5


def _fitted(
    picture: Image.Image, shape: tuple[int, int, int], interpolation: Interpolation
) -> tuple[Float[Tensor, "c h w"], str]:
    channels, height, width = shape
    was, colour = picture.size, picture.mode not in GREY_MODES
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")  # Pillow warns of a transparent palette otherwise
    picture = picture.convert("L" if channels == 1 else "RGB")
    resampling = Image.Resampling[interpolation.upper()]
    picture = ImageOps.fit(picture, (width, height), resampling)
    pixels = np.asarray(picture, dtype=np.float32) / 255
    pixels = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    done = [] if was == (width, height) else [f"its middle was brought to {width} x {height}"]
    if colour and channels == 1:
        done.append("its colours became grey")
    told = f"Your picture: {' and '.join(done)}." if done else "Your picture, as it is."
    return torch.from_numpy(np.ascontiguousarray(pixels)), told
