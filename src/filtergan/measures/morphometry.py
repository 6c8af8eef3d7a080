"""Size, shape, brightness and topology of strokes, and how the latents change them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from filtergan.errors import UserError
from filtergan.machine.telling import Tick
from filtergan.measures.definition import AS_LARGE, Measure
from filtergan.measures.statistics import ends, resample, summed
from filtergan.measures.strokes import SCALE, measure_strokes

MORPHOMETRY: tuple[str, ...] = (
    "area",
    "length",
    "thickness",
    "slant",
    "width",
    "height",
    "intensity",
    "euler",
    "ends",
)
"""Columns of `morphometry`."""

CELLS = 1_000_000
"""Pixels of the fine images worked on at a time."""

MEASURES = (
    Measure(
        "slope_{m}_z{z}",
        "By how much the {m} of the recovered image changes with latent z{z}: joint linear "
        "regression on all latents, in standard deviations of {m} among images of one class.",
        None,
        None,
        "neither",
        "zero: latents that change no shape",
        "within-class SD per unit of z",
        "own; morphometrics of Castro et al. 2019 (Morpho-MNIST)",
    ),
    Measure(
        "morphometry_r2_{m}",
        "Share of the mean square change of {m} that is linear in the step from z to z_k, the same "
        "for every image.",
        0.0,
        1.0,
        "neither",
        "zero; by chance it lies a little above",
        "share",
        "own; morphometrics of Castro et al. 2019 (Morpho-MNIST)",
    ),
    Measure(
        "topology_changed",
        "Share of recovered images whose strokes have another number of parts less holes than x; "
        "neither an affine warp nor a change of brightness and contrast can do that.",
        0.0,
        1.0,
        "neither",
        AS_LARGE,
        "share",
        "own",
    ),
)


@dataclass(frozen=True)
class Slopes:
    """How each morphometric follows each latent, with 95 % bootstrap intervals over clusters.

    Attributes:
        value: Slopes, in `scale` per unit of z.
        low: Lower ends of their intervals.
        high: Upper ends.
        r2: Share of the mean square change that the latents account for, by morphometric.
        r2_low: Lower ends of its intervals.
        r2_high: Upper ends.
    """

    value: Float[Tensor, "latents m"]
    low: Float[Tensor, "latents m"]
    high: Float[Tensor, "latents m"]
    r2: Float[Tensor, " m"]
    r2_low: Float[Tensor, " m"]
    r2_high: Float[Tensor, " m"]


def morphometry(images: Float[Tensor, "n c h w"], tick: Tick | None = None) -> Float[Tensor, "n 9"]:
    """What the strokes of each image measure, after Morpho-MNIST (Castro et al. 2019).

    The image is made 4 times finer; what exceeds half its own range of grey is stroke.
    Pixels of x outside its frame count as background. In the order of `MORPHOMETRY`:

    - area: of the stroke, in square pixels
    - length: of the medial axis, in pixels, diagonal steps counting sqrt(2)
    - thickness: twice the mean distance of the medial axis from the background, in pixels
    - slant: angle of the shear that would make x and y uncorrelated, in radians; positive leans
      to the right
    - width, height: of the parallelogram of that slant that holds 98 % of the ink along either
      axis, in pixels; ink is grey within a pixel of the stroke, so that faint noise far from it
      does not count (Morpho-MNIST has no such limit; on MNIST the two correlate by .995 and more)
    - intensity: mean grey level of the stroke (on MNIST thin strokes are fainter: within a class it
      goes with thickness, r = .9)
    - euler: parts less holes (parts joined at a corner are one)
    - ends: end points of a skeleton by Zhang and Suen 1984, of which one pixel of x was cut off
      at every end, as otherwise many corners of a stroke end in a spur of their own

    Grey levels count from the image's darkest, so a x + b with a > 0 changes the intensity alone.

    For MNIST's first training image Morpho-MNIST publishes 107.31, 50.27, 2.461, .2311, 14.54 and
    19.85; all six are met within 3 %. Today's `pyramid_expand` is not used, as scikit-image changed
    its interpolation from Keys' cubic to B-splines after they were published (with it the length
    is 47.8). The rest of the difference is the rounding of the finer image to whole grey levels,
    which would tie shape to brightness, and how ties between pixels of the axis are broken.

    Args:
        images: In [0, 1], grey.
        tick: Told of every image done.

    Returns:
        One row per image, in float64; NaN for an image without strokes, its grey levels all within
        half a level of 255.

    Raises:
        UserError: The images are coloured.
    """
    if images.shape[1] != 1:
        raise UserError("Strokes are measured on grey images; these have colours. Use grey ones.")
    pixels = images[:, 0].detach().cpu().double().numpy()
    values = np.full((len(pixels), len(MORPHOMETRY)), np.nan)
    inked = np.nonzero(np.ptp(pixels, axis=(1, 2)) > 0.5 / 255)[0]
    if tick is not None and len(inked) < len(pixels):
        tick(len(pixels) - len(inked))
    block = max(1, CELLS // (SCALE**2 * pixels[0].size)) if len(pixels) else 1
    for start in range(0, len(inked), block):
        rows = inked[start : start + block]
        values[rows] = measure_strokes(pixels[rows])
        if tick is not None:
            tick(len(rows))
    return torch.from_numpy(values)


def within_class_sd(
    values: Float[Tensor, "n m"], labels: Int64[Tensor, " n"]
) -> Float[Tensor, " m"]:
    """Standard deviation of each column within classes, pooled over them.

    Args:
        values: Morphometrics, of test images for example; NaN marks an undefined value.
        labels: Class of each row.

    Returns:
        NaN for a column of which no class has two values.
    """
    total, freedom = torch.zeros(2, values.shape[1], dtype=torch.float64)
    for label in labels.unique():
        rows = values[labels == label].double()
        total += (rows - rows.nanmean(dim=0)).square().nansum(dim=0)
        freedom += ((~rows.isnan()).sum(dim=0) - 1).clamp(min=0)
    return torch.where(freedom > 0, total / freedom, torch.nan).sqrt()


def topology_changed(
    values_x: Float[Tensor, "*#points 9"], values_xk: Float[Tensor, "*points 9"]
) -> Float[Tensor, "*points"]:
    """Whether x_k has another Euler number than x: 1 or 0 per point, NaN where one is blank.

    Args:
        values_x: Morphometrics of x; broadcast against the points.
        values_xk: Morphometrics of x_k.
    """
    column = MORPHOMETRY.index("euler")
    difference = values_xk[..., column] - values_x[..., column]
    return torch.where(difference.isnan(), difference, (difference != 0).to(difference))


def latent_slopes(
    offsets: Float[Tensor, "n p latents"],
    change: Float[Tensor, "n p m"],
    scale: Float[Tensor, " m"],
    clusters: Int64[Tensor, " n"] | None = None,
    *,
    resamples: int,
    seed: int,
) -> Slopes:
    """Regress the change of each morphometric on all latents jointly, without an intercept.

    There is none because z_k = z must not change the image: a change that comes whatever the
    direction is left unexplained, and lowers R².

    Args:
        offsets: z_k - z of each image's points.
        change: Morphometrics of x_k less those of x; points with NaN are left out, for that
            morphometric.
        scale: What a change is divided by, such as `within_class_sd`.
        clusters: Which images belong together. By default each is its own.
        resamples: Number of bootstrap resamples, of whole clusters.
        seed: Of the resampling.

    Returns:
        NaN for a morphometric that has no scale or no point; no interval where fewer than two
        clusters have points.
    """
    inputs, latents = offsets.detach().cpu().double(), offsets.shape[2]
    outputs = change.detach().cpu().double() / scale.cpu().double()
    columns = []
    for column in outputs.unbind(dim=2):
        defined = column.isfinite()
        kept = inputs * defined[..., None]
        y = torch.where(defined, column, 0.0)[..., None]
        sums = (kept.mT @ kept, (kept.mT @ y)[..., 0], y.square().sum(dim=(1, 2)))
        used = defined.any(dim=1)
        member = None if clusters is None else clusters.cpu()[used]
        columns.append(_regress([summed(part[used], member) for part in sums], resamples, seed))
    value, low, high = torch.stack(columns, dim=-1)
    return Slopes(
        value[:latents], low[:latents], high[:latents], value[latents], low[latents], high[latents]
    )


def _regress(
    sums: list[Float[Tensor, "n ..."]], resamples: int, seed: int
) -> Float[Tensor, "3 columns"]:
    """Slopes and R² from each cluster's sums of squares and products: value, then both ends."""
    n, latents = sums[1].shape
    if n == 0:
        return torch.full((3, latents + 1), torch.nan, dtype=torch.float64)

    def solve(weights: Float64[np.ndarray, "r n"]) -> Float[Tensor, "r columns"]:
        squares, products, total = (
            torch.tensordot(torch.from_numpy(weights), part, dims=1) for part in sums
        )
        # The pseudo-inverse: a latent along which no image moved has slope 0.
        slopes = (torch.linalg.pinv(squares, hermitian=True) @ products[..., None])[..., 0]
        return torch.cat([slopes, ((slopes * products).sum(dim=1) / total)[:, None]], dim=1)

    value = solve(np.ones((1, n)))
    if n == 1:
        return torch.cat([value, torch.full((2, latents + 1), torch.nan, dtype=torch.float64)])
    found = torch.cat([solve(counts) for counts in resample(n, resamples, seed)])
    return torch.cat([value, ends(found, n)])
