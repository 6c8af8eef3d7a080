"""Whether a change of image is decided close by: by how large a patch of x, and where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from filtergan.machine.runtime import generator
from filtergan.measures.definition import AS_LARGE, Measure
from filtergan.measures.ratios import ratio_interval

SIZES = (1, 3, 5, 9, 15)
ENOUGH = 0.9  # share of the change that a patch must explain to have decided it
HINGES = 48  # random hinge functions of the patch, added with each size
RIDGE = 1e-3  # penalty, in units of the mean square of a column times the number of pixels
MEASURES = (
    Measure(
        "locality_r2_k{k}",
        "Share of the change of a pixel that the {k} x {k} patch of x about it explains, by one "
        "rule for all pixels and images, in images that the rule was not fitted on.",
        None,
        1.0,
        "neither",
        AS_LARGE,
        "share",
        "own",
    ),
    Measure(
        "locality_size",
        "Side of the smallest patch of x that explains nine tenths of the change of the pixel in "
        "its middle; missing if none of those tried does.",
        1.0,
        None,
        "neither",
        AS_LARGE,
        "pixels",
        "own",
    ),
    Measure(
        "change_support",
        "Share of an image's pixels that hold nine tenths of its squared change.",
        0.0,
        1.0,
        "neither",
        AS_LARGE,
        "share of pixels",
        "own",
        lambda x, x_k: change_support(x, x_k),
    ),
    Measure(
        "change_frequency",
        "Mean spatial frequency of the change of image, weighted by its power: 0 for a flat "
        "change, .38 for white noise.",
        0.0,
        math.sqrt(0.5),
        "neither",
        AS_LARGE,
        "cycles per pixel",
        "spectral centroid; own",
        lambda x, x_k: change_frequency(x, x_k),
    ),
)


def locality(
    x: Float[Tensor, "n c h w"],
    x_k: Float[Tensor, "n p c h w"],
    groups: Int64[Tensor, " n"],
    *,
    seed: int,
) -> dict[str, tuple[float, tuple[float, float]]]:
    """Every `locality_r2_k{k}` and `locality_size`.

    All the change that patches of a size leave unexplained, at all points, over all the change; so
    points at which next to nothing changed have no weight.

    Args:
        x: Test images.
        x_k: Recovered images.
        groups: Which images share z and its points.
        seed: Of the random hinge functions.

    Returns:
        Values with 95 % intervals (jackknife over groups). The interval of the size is the range of
        sizes that those of R² allow, its upper end NaN where they allow none of those tried.
    """
    sizes = _fitting(x)
    left, whole = _unexplained(x, x_k, groups, sizes, RIDGE, seed)
    found, curves = {}, []
    for s, size in enumerate(sizes):
        share, (low, high) = ratio_interval(left[:, :, s].sum(dim=1), whole.sum(dim=1))
        curves.append((1 - share, 1 - high, 1 - low))
        found[f"locality_r2_k{size}"] = curves[-1][0], curves[-1][1:]
    value, most, least = locality_radius(torch.tensor(curves).T, sizes).tolist()
    return found | {"locality_size": (value, (least, most))}


def locality_r2(
    x: Float[Tensor, "n c h w"],
    x_k: Float[Tensor, "n p c h w"],
    groups: Int64[Tensor, " n"],
    sizes: Sequence[int] = SIZES,
    ridge: float = RIDGE,
    *,
    seed: int,
) -> Float[Tensor, "curves s"]:
    """R² of predicting the change of a pixel from patches of x about it.

    One rule for all pixels of all images of a group at one point, fitted on half of the images and
    scored on the other half, each half in turn. What is predicted and scored is the change
    d = x_k - x, and R² = 1 - sum (d - predicted)^2 / sum d^2: predicting x_k itself would give
    nearly 1 wherever little has changed.

    The rule is a ridge regression on the pixels of the patch and on hinge functions of random
    directions in it, those of all smaller patches included. Pixels alone would not do: brightening
    clips at white, and thickening takes the maximum of a patch. Beyond its edge an image is black.

    Args:
        x: Test images.
        x_k: Recovered images.
        groups: Which images share z and its points, and so the same filters.
        sizes: Odd sides of the patches, rising.
        ridge: Penalty, in units of the mean square of a column times the number of pixels.
        seed: Of the random hinge functions.

    Returns:
        A curve for every point of the first group (groups in rising order), then of the next; NaN
        for a group of a single image and where nothing changed.
    """
    left, whole = _unexplained(x, x_k, groups, sizes, ridge, seed)
    share = torch.where(whole == 0, torch.nan, whole).unsqueeze(2)
    return (1 - left / share).flatten(0, 1).float()


def locality_radius(
    r2: Float[Tensor, "*curves s"], sizes: Sequence[int] = SIZES
) -> Float[Tensor, "*curves"]:
    """Side of the smallest patch whose R² reaches .9.

    Args:
        r2: As from `locality_r2`.
        sizes: Sides of the patches.

    Returns:
        In pixels; NaN where no size does.
    """
    reached = r2 >= ENOUGH
    first = reached.int().argmax(dim=-1)
    sides = torch.tensor(sizes, dtype=torch.get_default_dtype(), device=r2.device)[first]
    return torch.where(reached.any(dim=-1), sides, torch.nan)


def change_support(
    x: Float[Tensor, "n c h w"], x_k: Float[Tensor, "n p c h w"]
) -> Float[Tensor, "n p"]:
    """Share of the pixels that hold nine tenths of the squared change.

    Returns:
        Per point, the fewest pixels that do, over all; NaN where nothing changed.
    """
    power = (x_k - x[:, None]).double().square().sum(dim=2).flatten(2)
    total = power.sum(dim=2)
    reached = power.sort(dim=2, descending=True).values.cumsum(dim=2)
    needed = (reached < 0.9 * total[:, :, None]).sum(dim=2) + 1
    return torch.where(total > 0, needed / power.shape[2], torch.nan).float()


def change_frequency(
    x: Float[Tensor, "n c h w"], x_k: Float[Tensor, "n p c h w"]
) -> Float[Tensor, "n p"]:
    """Spectral centroid of the change of image, in cycles per pixel.

    Returns:
        Per point, the mean length of the frequency weighted by power, channels together; NaN where
        nothing changed.
    """
    change = x_k - x[:, None]
    h, w = change.shape[-2:]
    power = torch.fft.fft2(change).abs().square().sum(dim=2)
    rows, columns = (torch.fft.fftfreq(m, device=change.device) for m in (h, w))
    length = (rows[:, None].square() + columns[None, :].square()).sqrt()
    total = power.sum(dim=(2, 3))
    return torch.where(total > 0, (power * length).sum(dim=(2, 3)) / total, torch.nan)


def _fitting(x: Float[Tensor, "n c h w"]) -> tuple[int, ...]:
    """The sizes no larger than the image: a larger patch would tell where in the image it is."""
    return tuple(size for size in SIZES if size <= min(x.shape[-2:]))


def _unexplained(
    x: Float[Tensor, "n c h w"],
    x_k: Float[Tensor, "n p c h w"],
    groups: Int64[Tensor, " n"],
    sizes: Sequence[int],
    ridge: float,
    seed: int,
) -> tuple[Float[Tensor, "g p s"], Float[Tensor, "g p"]]:
    """Squared change that each size leaves unexplained, and all of it, per group and point."""
    x, x_k, groups = x.cpu(), x_k.cpu(), groups.cpu()
    points = x_k.shape[1]
    members = [(groups == group).nonzero()[:, 0] for group in groups.unique()]
    left = torch.full((len(members), points, len(sizes)), torch.nan, dtype=torch.float64)
    whole = left[:, :, 0].clone()
    for g, rows in enumerate(members):
        if len(rows) > 1:
            columns, size_of = _columns(x[rows], sizes, generator(seed, "locality"))
            change = (x_k[rows] - x[rows, None]).flatten(3).permute(0, 3, 1, 2).flatten(2)
            middle = len(rows) // 2
            one = _Half.of(columns[:middle], change[:middle])
            other = _Half.of(columns[middle:], change[middle:])
            for s, size in enumerate(sizes):
                used = size_of <= size
                both = _left(one, other, used, ridge) + _left(other, one, used, ridge)
                left[g, :, s] = both.unflatten(0, (points, -1)).sum(dim=1)
            whole[g] = (one.energy + other.energy).unflatten(0, (points, -1)).sum(dim=1)
    return left, whole


def _columns(
    x: Float[Tensor, "m c h w"], sizes: Sequence[int], rng: torch.Generator
) -> tuple[Float[Tensor, "m hw f"], Int64[Tensor, " f"]]:
    """What the change of a pixel is regressed on, and from which size of patch on.

    For every size the pixels that it adds, and hinge functions max(0, w . patch - t) of its patch,
    with w Gaussian and t uniform over the range of w . patch. Columns have a mean square of 1.
    """
    largest = sizes[-1]
    patches = F.unfold(x, largest, padding=largest // 2).transpose(1, 2)
    offset = (torch.arange(largest) - largest // 2).abs()
    ring = torch.maximum(offset[:, None], offset[None, :]).flatten().repeat(x.shape[1])
    columns, size_of = [torch.ones(*patches.shape[:2], 1)], [0]
    covered = -1
    for size in sizes:
        reach = size // 2
        patch = patches[:, :, ring <= reach]
        projected = patch @ torch.randn(patch.shape[2], HINGES, generator=rng)
        low, high = projected.amin(dim=(0, 1)), projected.amax(dim=(0, 1))
        hinges = projected - (low + (high - low) * torch.rand(HINGES, generator=rng))
        columns += [patches[:, :, (ring > covered) & (ring <= reach)], hinges.relu()]
        size_of += [size] * (columns[-2].shape[2] + HINGES)
        covered = reach
    found = torch.cat(columns, dim=2)
    scale = found.square().mean(dim=(0, 1)).sqrt()
    return found / scale.clamp(min=1e-6), torch.tensor(size_of)


@dataclass(frozen=True)
class _Half:
    """Half of a group's images, as sums over its pixels: of all that a regression needs."""

    gram: Float[Tensor, "f f"]
    cross: Float[Tensor, "f o"]
    energy: Float[Tensor, " o"]
    pixels: int

    @classmethod
    def of(cls, columns: Float[Tensor, "m hw f"], change: Float[Tensor, "m hw o"]) -> "_Half":
        rows, wanted = columns.flatten(0, 1), change.flatten(0, 1)
        return cls(
            (rows.T @ rows).double(),
            (rows.T @ wanted).double(),
            wanted.double().square().sum(dim=0),
            len(rows),
        )


def _left(
    fitted: _Half, scored: _Half, columns: Bool[Tensor, " f"], ridge: float
) -> Float[Tensor, " o"]:
    """Squared change in one half that a regression fitted on the other leaves unexplained."""
    chosen = columns.nonzero()[:, 0]
    penalty = ridge * fitted.pixels * torch.eye(len(chosen), dtype=torch.float64)
    gram = fitted.gram[chosen][:, chosen] + penalty
    weights = torch.linalg.solve(gram, fitted.cross[chosen])
    predicted = (weights * (scored.gram[chosen][:, chosen] @ weights)).sum(dim=0)
    error = scored.energy - 2 * (weights * scored.cross[chosen]).sum(dim=0) + predicted
    return error.clamp(min=0)  # what rounding may leave below
