"""Pictures of the page: figures as addresses that hold them, and one image with what it becomes."""

import base64
import io
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from filtergan.figures.style import MINUS, signed
from filtergan.images.palette import COLOURS
from filtergan.report.text import brief
from filtergan.runs.record import SiteRecord

QUALITY = 75
"""Of figures as WebP, a quarter of a PNG's bytes: the page is to be sent. The folder keeps PNG."""
LONGEST = 16383
"""Pixels a side that WebP can have."""
SEEN = 0.1
"""A difference of pixels that an eye sees at once."""


def inline(folder: Path, name: str | None) -> str | None:
    """A figure of the run as a data URL; None where there is none, or where it is damaged."""
    if name is None or not (folder / name).is_file():
        return None
    with suppress(OSError):  # which is also what Pillow says of no image
        return data_url((folder / name).read_bytes())
    return None


def data_url(content: bytes) -> str:
    """A PNG as an address that holds its content, as WebP."""
    small, picture = io.BytesIO(), Image.open(io.BytesIO(content)).convert("RGB")
    picture.thumbnail((LONGEST, LONGEST))  # of very many images
    picture.save(small, "WEBP", quality=QUALITY, method=2)
    return _address("webp", small.getvalue())


class Example(NamedTuple):
    """One image, what it becomes under other filters, and the difference.

    Attributes:
        panels: Title, data URL and what is seen, of each of the three.
        caption: Which image and filters, how far the change goes, and how it was chosen.
    """

    panels: list[tuple[str, str, str]]
    caption: str


def example(folder: Path, site: SiteRecord) -> Example | None:
    """The most typical point of a site's grids: its numbers are nearest the site's.

    No eye chooses it, so that it flatters nobody.

    Args:
        folder: The run directory.
        site: A part of its record.

    Returns:
        None where the traversals or their numbers are not there.
    """
    path = folder / site.files.get("traversal", "")
    undone, change = (site.measures.get(name) for name in ("compensation", "image_change"))
    if not path.is_file() or undone is None or change is None:
        return None
    with safe_open(path, "pt") as file:
        there = {name: file.get_tensor(f"grid_{name}") for name in _KEPT}
    off = (there["image_change"] / (change.value or 1.0) - 1).abs()
    off += (there["compensation"] - (undone.value or 0.0)).abs()
    off[:, off.shape[1] // 2] = float("inf")  # the image itself
    n, place = divmod(int(off.nan_to_num(float("inf")).argmin()), off.shape[1])
    x, x_k = (_pixels(there["images"][n, p]) for p in (off.shape[1] // 2, place))
    step = [there["offsets"][p] for p in divmod(place, len(there["offsets"]))]
    moved = " and ".join(
        f"z{int(dim)} by {signed(float(by))}"
        for dim, by in zip(there["dims"][n], step, strict=True)
        if by
    )
    kept = "keeps its label" if there["labels_kept"][n, place] else "gives it another label"
    number = int(there["index"][n])
    changed, undone_here = (float(there[k][n, place]) for k in ("image_change", "compensation"))
    caption = (
        f"Test image {number}, and what it becomes when the filters change (latent {moved}). The "
        f"image changes by {brief(changed)} of its norm, and this undoes {brief(undone_here)} of "
        f"what the other filters do to the response; the network {kept}. No eye chose it: of all "
        "points of the grids, its change and the share undone are nearest those of the whole site."
    )
    difference, told = _difference(x, x_k)
    panels = [
        ("the image", _png(x), f"Test image {number}. {_seen(x)}"),
        ("what it becomes", _png(x_k), f"The same image under other filters. {_seen(x_k)} {told}"),
        ("the difference", difference, f"Orange where brighter, blue where darker. {told}"),
    ]
    return Example(panels, caption)


_KEPT = (
    *("images", "index", "dims", "offsets"),
    *("image_change", "compensation", "labels_kept"),
)


def _pixels(image: Tensor) -> Float[np.ndarray, "h w c"]:
    return image.float().clamp(0, 1).permute(1, 2, 0).numpy()


def _png(image: Float[np.ndarray, "h w c"]) -> str:
    """Its pixels as they are, however few: the page makes them large."""
    content, grey = io.BytesIO(), image.shape[2] == 1
    pixels = (255 * image).round().astype("uint8")
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(content, "PNG")
    return _address("png", content.getvalue())


def _difference(x: Float[np.ndarray, "h w c"], x_k: Float[np.ndarray, "h w c"]) -> tuple[str, str]:
    """White where nothing changed, orange where brighter, blue where darker; and in words."""
    change = (x_k - x).mean(2)
    darker, brighter = (np.array(list(bytes.fromhex(c[1:]))) / 255 for c in COLOURS[:2])
    ends = np.where(change[..., None] > 0, brighter, darker)
    shade = np.abs(change)[..., None] / max(np.abs(change).max(), 1e-6)
    up, down = (change > SEEN).mean(), (change < -SEEN).mean()
    told = (
        f"{up:.0%} of the pixels grow brighter by more than {SEEN:g}, {down:.0%} darker; at most "
        f"by {change.max():+.2f} and {change.min():+.2f}."
    )
    return _png(1 - shade * (1 - ends)), told.replace("-", MINUS).replace("%", " %")


def _seen(image: Float[np.ndarray, "h w c"]) -> str:
    """Where the light of an image lies, in words."""
    light = image.mean(2)
    rows, columns = (np.flatnonzero(light.max(axis) > SEEN) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return "It is dark."
    return (
        f"Light covers {(light > SEEN).mean():.0%} of it, {columns[-1] - columns[0] + 1} pixels "
        f"wide and {rows[-1] - rows[0] + 1} high of {light.shape[1]} by {light.shape[0]}; its mean "
        f"grey level is {light.mean():.2f}."
    ).replace("%", " %")


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
