"""What is seen, as files: a picture, an animation, and the numbers behind them."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from filtergan.explorer import rasters
from filtergan.explorer.looks import Look
from filtergan.explorer.panels import Panel

GAP, WORDS = 16, 20  # pixels beside and above pictures
PACE = 80  # milliseconds of a frame


def picture(panels: Sequence[Panel]) -> bytes:
    """Panels side by side on white, as PNG."""
    tiles = [rasters.on_white(rasters.magnified(one.picture)) for one in panels]
    height = max(len(tile) for tile in tiles)
    width = sum(tile.shape[1] + GAP for tile in tiles) + GAP
    whole = Image.new("RGB", (width, height + WORDS + 2 * GAP), "white")
    draw, x = ImageDraw.Draw(whole), GAP
    for panel, tile in zip(panels, tiles, strict=True):
        draw.text((x, GAP), panel.title, fill="#222222")
        whole.paste(Image.fromarray(tile), (x, GAP + WORDS))
        x += tile.shape[1] + GAP
    return rasters.png(np.asarray(whole))


def animation(images: Float[Tensor, "n c h w"]) -> bytes:
    """Images as a GIF that goes there and back, again and again."""
    tiles = [rasters.magnified(rasters.of_image(image))[..., :3] for image in images]
    frames = [Image.fromarray(tile) for tile in (*tiles, *tiles[-2:0:-1])]
    content = io.BytesIO()
    frames[0].save(
        content, format="gif", save_all=True, append_images=frames[1:], duration=PACE, loop=0
    )
    return content.getvalue()


def numbers(look: Look, real: Float[Tensor, "o i *k"], drawn: Float[Tensor, "o i *k"]) -> bytes:
    """All arrays of a look with both sets of filters, as .npz."""
    arrays = {
        "z": look.z,
        "image": look.image,
        "moved": look.moved,
        "real_filters": real,
        "filters": drawn,
        **look.fields,
        **{f"{one.who.replace(' ', '_')}_before": one.before for one in look.opinions},
        **{f"{one.who.replace(' ', '_')}_after": one.after for one in look.opinions},
    }
    found: dict[str, Any] = {name: tensor.numpy() for name, tensor in arrays.items()}
    found |= {"site": np.array(str(look.site))}
    found |= {"residual_before": np.array(look.before), "residual_after": np.array(look.after)}
    content = io.BytesIO()
    np.savez_compressed(content, **found)
    return content.getvalue()
