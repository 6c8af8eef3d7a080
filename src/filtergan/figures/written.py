"""Figures as files for papers and talks: their width, formats, fonts and captions."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from filtergan.errors import UserError

FINE = 600
"""Pixels in an inch of a PNG, and of the images in a PDF or SVG."""
PACE = 80  # milliseconds that a frame is shown, at most
TURN = 4.0  # seconds of an animation, there and back, at least
UNITS = {"mm": 25.4, "cm": 2.54, "in": 1.0, "pt": 72.0}
"""How many make an inch."""
NARROWEST, WIDEST = 2.3, 40.0
"""Inches: below, letters of a readable size find no room; above is no page."""
EMBEDDED: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType, which journals ask for, whole letters of which are embedded
    "svg.fonttype": "path",  # letters as outlines, so that they look the same everywhere
    "svg.hashsalt": "filtergan",  # the same figure gives the same bytes
}


def inches(width: str) -> float:
    """A width with its unit, as in `85mm`, in inches.

    Raises:
        UserError: It cannot be read, or no figure can be so wide.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", width.lower())
    if found is None or found[2] not in UNITS:
        raise UserError(
            f"The width {width!r} cannot be read; give a number and its unit ({', '.join(UNITS)}), "
            "as in 85mm."
        )
    size = float(found[1]) / UNITS[found[2]]
    if not NARROWEST <= size <= WIDEST:
        least, most = (UNITS["mm"] * end for end in (NARROWEST, WIDEST))
        raise UserError(
            f"A figure cannot be {width.strip()} wide; give a width from {least:.0f}mm to "
            f"{most:.0f}mm."
        )
    return size


def written(figure: Figure, ending: str, title: str = "", caption: str = "") -> bytes:
    """A figure as the bytes of a file; the same figure gives the same bytes.

    Args:
        figure: As wide as the file will be.
        ending: Its format: pdf, svg or png.
        title: Of the file, among what the format knows about it.
        caption: The same.
    """
    content, about = io.BytesIO(), _about(ending, title, caption)
    with matplotlib.rc_context(EMBEDDED):
        figure.savefig(content, format=ending, dpi=FINE, metadata=dict(about))
    return content.getvalue()


def animated(frames: Sequence[np.ndarray], ending: str) -> bytes:
    """Frames as an animation that goes there and back, again and again.

    Args:
        frames: [y, x, 3] bytes each, in their order.
        ending: Its format: gif or webp.
    """
    there = [Image.fromarray(frame) for frame in frames]
    whole = [*there, *there[-2:0:-1]]
    pause = max(PACE, int(1000 * TURN / len(whole)))
    content, first, options = io.BytesIO(), whole[0], {}
    if ending == "webp":
        options = {"lossless": True, "method": 4}
    first.save(
        content,
        format=ending,
        save_all=True,
        append_images=whole[1:],
        duration=pause,
        loop=0,
        **options,
    )
    return content.getvalue()


def _about(ending: str, title: str, caption: str) -> Mapping[str, str | None]:
    """What a file says about itself, by the names that its format has for it; no date."""
    if ending == "pdf":
        return {"Title": title, "Subject": caption, "CreationDate": None}
    if ending == "svg":
        return {"Title": title, "Description": caption, "Date": None}
    return {"Title": title, "Description": caption, "Software": None}
