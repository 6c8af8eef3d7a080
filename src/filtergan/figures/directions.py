"""Figure of a spectrum: every direction on a few images."""

from collections.abc import Sequence

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from filtergan.figures.style import array, bare, page, styled
from filtergan.images.palette import BLUE

ROW = 0.5  # inches
WORDS, GAP = 3.2, 0.25  # widths of what is told, and of the gap between images, in those of one


@styled
def directions_figure(walks: Float[Tensor, "d s n c h w"], told: Sequence[str]) -> Figure:
    """Each direction of image change in a row: images walked along it, themselves in the middle.

    Args:
        walks: By direction, step and image; pixels in [0, 1].
        told: What is written beside each row.
    """
    directions, steps, images = walks.shape[:3]
    figure = page(0.1 + ROW * directions)
    widths = [*([1.0] * steps), GAP] * images
    cells = figure.subplots(
        directions, 1 + len(widths), squeeze=False, width_ratios=[WORDS, *widths]
    )
    for row, walk in enumerate(walks):
        words, *places = cells[row]
        words.axis("off")
        words.text(1, 0.5, told[row], ha="right", va="center", fontsize=6)
        for column, axes in enumerate(places):
            image, step = divmod(column, steps + 1)
            if step == steps:
                axes.axis("off")
                continue
            bare(axes)
            pixels = array(walk[step, image]).transpose(1, 2, 0)
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
            if step == steps // 2:
                for spine in axes.spines.values():
                    spine.set(visible=True, color=BLUE, linewidth=1.2)
    return figure
