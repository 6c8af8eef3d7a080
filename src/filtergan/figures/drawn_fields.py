"""Figure of a transformer's fields: by what each latent moves and changes an image's pixels."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from filtergan.figures.grids import headed
from filtergan.figures.strips import CHANGED
from filtergan.figures.style import array, bare, fitted, signed, styled, width
from filtergan.figures.tiles import (
    changes,
    image_canvas,
    limit_of,
    magnified,
    plot_changes,
    plot_images,
    steps,
)
from filtergan.images.palette import GREY, INK

NAMES = 0.25  # inches left of the rows, for the latents
ARROWS = 9  # along a side
FAINT = 0.25  # of an image's contrast below arrows
NAMED = {"gain": "log gain", "brightness": "log brightness"}


@styled
def fields_figure(
    source: Float[Tensor, "c h w"],
    moved: Float[Tensor, "k c h w"],
    fields: Mapping[str, Float[Tensor, "k m h w"]],
    latents: Sequence[int],
    offset: float,
    title: str,
    failures: Sequence[str] = (),
) -> Figure:
    """What one image becomes along each latent, and beside it the fields that make it so.

    Args:
        source: The image x, in [0, 1].
        moved: x' of each latent.
        fields: Of each kind and latent, at every pixel; the flow, in pixels, says where each is
            taken from.
        latents: Their numbers.
        offset: How far along each, in standard deviations of z.
        title: Above the figure.
        failures: What speaks against believing the images; written above them.
    """
    tile = (width() - NAMES) / (1 + len(fields)) - 0.1
    high = len(latents) * tile * source.shape[-2] / source.shape[-1]
    whole, figure = headed(high + 0.9, title, failures)
    first, *others = figure.subplots(1, 1 + len(fields), squeeze=False)[0]
    plot_images(first, moved[:, None])
    first.set_title(CHANGED, fontsize=6.5, pad=2)
    down, _ = steps(moved[:, None])
    middles = [(row + 0.5) * down for row in range(len(latents))]
    first.set_yticks(middles, [f"z{latent}" for latent in latents])
    first.tick_params(length=0, pad=1.5)
    for axes, (kind, field) in zip(others, fields.items(), strict=True):
        if kind == "flow":
            ends = f"longest {_plot_flow(axes, field, source):.2g} px"
        else:
            change = changes(field, field.new_zeros(()).expand_as(field))
            limit = limit_of(change)
            plot_changes(axes, change[:, None], limit)
            ends = f"±{limit:.2g}"
        words = f"{NAMED.get(kind, kind)}\n{ends}"
        axes.set_title(fitted(words, 6.5, tile + 0.1), fontsize=6.5, pad=2)
    of_channels = any(field.shape[1] == 3 for field in fields.values())
    coloured = "; of each channel, grey: none" if of_channels else ""
    says = f"at {signed(offset)} standard deviations of z; red: more, blue: less{coloured}"
    figure.supxlabel(fitted(says, 6.5), fontsize=6.5, color=GREY)
    return whole


def _plot_flow(axes: Axes, flow: Float[Tensor, "k 2 h w"], source: Float[Tensor, "c h w"]) -> float:
    """Arrows to some pixels from where they are taken, on the faint image, below each other.

    They do not reach each other: the longest stands for the number of pixels that is returned.
    """
    h, w = source.shape[-2:]
    large, tiles = magnified(h, w), source.expand(len(flow), 1, *source.shape)
    down, _ = steps(tiles)
    axes.imshow(1 - FAINT * (1 - image_canvas(tiles)))
    bare(axes)
    apart = max(1.0, max(h, w) / ARROWS)
    y, x = np.meshgrid(np.arange(apart / 2, h, apart), np.arange(apart / 2, w, apart))
    right, below = array(flow).transpose(1, 0, 2, 3)[..., y.astype(int), x.astype(int)]
    rows, longest = down * np.arange(len(flow))[:, None, None], np.hypot(right, below).max()
    scale = large * apart / max(longest, 1e-6)
    axes.quiver(
        np.broadcast_to(large * x, right.shape).ravel(),
        (large * y + rows).ravel(),
        -scale * right.ravel(),
        -scale * below.ravel(),
        color=INK,
        pivot="tip",
        angles="xy",
        scale_units="xy",
        scale=1,
        units="inches",
        width=0.007,
    )
    return float(longest)
