"""The figure of the study of metamers: sets beside each other, with what has changed."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from filtergan.figures.style import page, styled
from filtergan.figures.tiles import changes, plot_changes, plot_images, plot_scale
from filtergan.images.palette import INK

SHOWN = {
    "Metamer, from noise": "Metamer,\nfrom noise",
    "Metamer, from the image with noise": "Metamer, from\nx with noise",
    "Metamer, from the nearest real images": "Metamer, from\nreal images",
    "ours, the most different": "ours, most\ndifferent",
    "ours, then Metamer": "ours, then\nMetamer",
    "random fields, then Metamer": "random fields,\nthen Metamer",
}
DIRECTIONS = {"least": "least noticed\ndirections", "ours": "our latents"}
ACROSS = 6  # images of a set
ROW = 0.42  # inches


@styled
def pictured(
    x: Float[Tensor, "n c h w"],
    sets: Mapping[str, Float[Tensor, "n p c h w"]],
    directions: Mapping[str, Float[Tensor, "n q c h w"]],
    chosen: Sequence[int],
) -> Figure:
    """A few images, each with its sets and directions, and beside them all changes.

    Args:
        x: The images.
        sets: By the words of their way.
        directions: Images at the same change along directions, by kind.
        chosen: Which images are shown.
    """
    named = [(words, sets[way]) for way, words in SHOWN.items()]
    named += [(words, directions[kind]) for kind, words in DIRECTIONS.items()]
    figure = page(len(chosen) * (len(named) * ROW + 0.15) + 0.3)
    rows = figure.subplots(len(chosen), 2, squeeze=False)
    limit = 1.0
    for i, (left, right) in zip(chosen, rows, strict=True):
        own = torch.stack([torch.cat([x[i : i + 1], one[i, :ACROSS]]) for _, one in named])
        plot_images(left, own)
        plot_changes(right, changes(own, x[i]), limit)
        height = left.get_ylim()[0] / len(named)
        for row, (words, _) in enumerate(named):
            place = height * (row + 0.5)
            left.text(-4, place, words, ha="right", va="center", fontsize=6, color=INK)
    rows[0, 0].set_title("x, then its set")
    rows[0, 1].set_title("what has changed")
    plot_scale(figure, list(rows[:, 1]), limit, x.shape[1], shrink=0.3, aspect=26, pad=0.02)
    return figure
