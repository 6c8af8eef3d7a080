"""How much of an image change transformations of known families explain."""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from filtergan.families.brightness import after_levels
from filtergan.families.catalogue import explained
from filtergan.families.registration import Problem, Warp, register
from filtergan.families.transformations import coordinates, spline_basis, width_table
from filtergan.measures.definition import AS_LARGE, Measure

MEASURES = tuple(
    Measure(
        f"explained_{name}",
        f"Share of the squared image change that {family.meaning} can explain.",
        0.0,
        1.0,
        "neither",
        AS_LARGE,
        "share",
        "own",
    )
    for name, family in explained().items()
)

Shares = list[tuple[Tensor, dict[str, Tensor]]]
"""Of some pairs: which, and the share that each family explains of each."""

_RADII = torch.arange(-6, 9) / 4  # pixels: stroke widths from which the others are mixed
_OWNERS, _PAIRS = 16, 128  # in memory at once, of images of 28x28 or larger
_COARSE = 2 / 28  # width of the blur of the coarse start, in image widths


def in_turn(function: Callable[[Tensor], Shares], parts: Sequence[Tensor]) -> list[Shares]:
    """What a function makes of each part, one after the other."""
    return [function(part) for part in parts]


def explained_all(
    x: Float[Tensor, "n c h w"],
    x_k: Float[Tensor, "m c h w"],
    owner: Int64[Tensor, " m"],
    *,
    families: Sequence[str] | None = None,
    widths: Float[Tensor, "n r 1 h w"] | None = None,
    over: Callable[[Callable[[Tensor], Shares], Sequence[Tensor]], list[Shares]] = in_turn,
) -> dict[str, Float[Tensor, " m"]]:
    """Share of each image change that each family explains.

    It is 1 - min over T of ||x_k - T x||^2 / ||x_k - x||^2, where T x is not clipped. Gain and
    offset are the best for each warp. Families are nested: none explains less than those within it.
    There is no gamma: on images that are nearly black and white it moves the grey edges of strokes
    as stroke width does, and would take width's part. Stroke widths between the rows of
    `width_table` are mixtures of two rows. Warps start at the best of a smaller family and at a fit
    of blurred images.

    White noise of p pixels is explained to about 34 / p by the spline's free parameters: little in
    28 x 28 pixels, a third in 8 x 8. Noise that is clipped at a black ground is to a quarter an
    offset, so a share must be read beside that of the null.

    Args:
        x: Images in [0, 1].
        x_k: Recovered images.
        owner: Index into `x` for each of them; what is made of an image is made once.
        families: Names in the record; by default all that apply to such images.
        widths: `stroke_widths` of `x`, where they are used more than once.
        over: Applies the fit to every part of the images; `distributed.spread` lets several
            processes share them.

    Returns:
        Per family one number for each recovered image; NaN where x_k is x.

    Raises:
        UserError: Stroke width of images in colour.
    """
    families = tuple(explained(x.shape[1]) if families is None else families)
    strokes = "width" in families
    if strokes and widths is None:
        widths = stroke_widths(x)
    # In single precision a search may end elsewhere when a sum is rounded otherwise.
    x, x_k = x.double(), x_k.double()
    fits = {name: family.fit for name, family in explained().items()}
    closed = {f: fit for f in families if (fit := fits[f]) is not None}
    several = max(1, 28 * 28 // x[0, 0].numel())  # times as many, where images are small

    def explain(owners: Tensor) -> list[tuple[Tensor, dict[str, Tensor]]]:
        table, done = widths[owners] if strokes and widths is not None else None, []
        for pairs in torch.isin(owner, owners).nonzero()[:, 0].split(several * _PAIRS):
            own = torch.searchsorted(owners, owner[pairs])
            left = _left(x[owners], table, own, x_k[pairs])
            others = {f: fit for f, fit in closed.items() if f not in left}
            left |= {f: fit(x[owner[pairs]], x_k[pairs]) for f, fit in others.items()}
            change = (x_k[pairs] - x[owner[pairs]]).flatten(1).square().sum(1)
            shares = {f: (1 - left[f] / change).clamp(min=0) for f in families}
            nan = torch.nan
            done.append((pairs, {f: s.where(change > 0, nan) for f, s in shares.items()}))
        return done

    found = {family: x_k.new_full((len(x_k),), torch.nan) for family in families}
    parts = owner.unique().split(several * _OWNERS)
    for pairs, shares in chain.from_iterable(over(explain, parts)):
        for family in families:
            found[family][pairs] = shares[family]
    return {family: values.float() for family, values in found.items()}


def stroke_widths(x: Float[Tensor, "n c h w"]) -> Float64[Tensor, "n r 1 h w"]:
    """Images at all the stroke widths that are searched, in double precision (`width_table`).

    Raises:
        UserError: The images are in colour.
    """
    return width_table(x.double(), _RADII)


def _left(
    x: Float[Tensor, "n c h w"],
    table: Float[Tensor, "n r 1 h w"] | None,
    owner: Int64[Tensor, " m"],
    target: Float[Tensor, "m c h w"],
) -> dict[str, Float[Tensor, " m"]]:
    """Squared norm of what each family leaves of each target; without a table no stroke widths."""
    change = (target - x[owner]).flatten(1).square().sum(1)
    size = (x.shape[2], x.shape[3])
    basis, splines = _affine_basis(size).to(x), _spline_basis(size).to(x)
    fine = (x[:, None], owner, target, change)
    coarse = (_blurred(x)[:, None], owner, _blurred(target), change)
    still, first = change.new_zeros(len(change), 2, 3), torch.zeros_like(change)

    rough = register(Problem(*coarse, basis, photometric=False), still, first)
    alone = _search(Problem(*fine, basis, photometric=False), (still, first), (rough.theta, first))
    rough = register(Problem(*coarse, basis, photometric=True), still, first)
    bright = _search(
        Problem(*fine, basis, photometric=True), (alone.theta, first), (rough.theta, first)
    )
    # A fit with free grey levels may have met a better place than one without.
    alone = alone.better(register(Problem(*fine, basis, photometric=False), bright.theta, first))
    lifted = bright.theta @ _in_splines(basis, splines)
    rough = register(Problem(*coarse, splines, photometric=True), lifted, first)
    smooth = _search(
        Problem(*fine, splines, photometric=True), (lifted, first), (rough.theta, first)
    )
    left = {"photometric": after_levels(x[owner], target), "affine": alone.residual}
    left["photometric_affine"] = torch.stack([bright.residual, *left.values()]).amin(0)
    left["spline"] = torch.minimum(smooth.residual, left["photometric_affine"])
    if table is None:
        return left

    left["width"], _ = _best_width(table, owner, target)
    both, row = _best_width(table, owner, target, photometric=True)
    left["photometric_width"] = torch.stack([both, left["width"], left["photometric"]]).amin(0)
    unchanged = first + float((_RADII == 0).nonzero())
    every = _search(
        Problem(table, owner, target, change, basis, photometric=True),
        (bright.theta, unchanged),
        (still, row),
    )
    parts = (left["photometric_width"], left["photometric_affine"])
    left["photometric_affine_width"] = torch.stack([every.residual, *parts]).amin(0)
    return left


def _search(problem: Problem, *starts: tuple[Tensor, Tensor]) -> Warp:
    return reduce(Warp.better, (register(problem, theta, row) for theta, row in starts))


def _best_width(
    table: Float[Tensor, "n r 1 h w"],
    owner: Int64[Tensor, " m"],
    target: Float[Tensor, "m 1 h w"],
    *,
    photometric: bool = False,
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """What the best stroke width leaves, and the row of the table (with a fraction) that it is.

    Between two rows the images are mixtures, so the best one of each interval has a closed form:
    the projection onto a segment, or with free gain onto the cone of two rows.
    """
    rows, wanted = table.double().flatten(2), target.double().flatten(1)
    if photometric:
        rows, wanted = (v - v.mean(-1, keepdim=True) for v in (rows, wanted))
    products = (rows @ rows.mT)[owner]
    lengths, across = products.diagonal(dim1=1, dim2=2), products.diagonal(1, dim1=1, dim2=2)
    towards = torch.einsum("mrp,mp->mr", rows[owner], wanted)
    low, high, to_low, to_high = lengths[:, :-1], lengths[:, 1:], towards[:, :-1], towards[:, 1:]
    if photometric:  # coefficients of two rows; where they are of one sign, a gain of a mixture
        first, second = to_low * high - to_high * across, to_high * low - to_low * across
        part = torch.where(first * second > 0, second / (first + second), 0)
    else:
        part = (to_high - to_low + low - across) / (low + high - 2 * across).clamp(min=1e-12)
    part = part.clamp(0, 1)
    part = torch.stack([part, torch.zeros_like(part), torch.ones_like(part)], dim=1)
    low, high, across, to_low, to_high = (v[:, None] for v in (low, high, across, to_low, to_high))
    square = (1 - part) ** 2 * low + 2 * part * (1 - part) * across + part**2 * high
    along = (1 - part) * to_low + part * to_high
    undone = along**2 / square.clamp(min=1e-12) if photometric else 2 * along - square
    most, where = undone.flatten(1).max(1)
    row = where % low.shape[-1] + part.flatten(1).gather(1, where[:, None])[:, 0]
    return (wanted.square().sum(1) - most).clamp(min=0).to(target), row.to(target)


def _affine_basis(size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """Flows of affine warps: a translation, and displacements linear in position."""
    return torch.cat([torch.ones(1, *size), coordinates(size) / (max(size) / 2)])


def _spline_basis(size: tuple[int, int]) -> Float[Tensor, "16 h w"]:
    """Flows of spline warps, one for each control point."""
    rows, columns = (spline_basis(length) for length in size)
    return torch.einsum("hi,wj->ijhw", rows, columns).flatten(0, 1)


def _in_splines(basis: Float[Tensor, "k h w"], splines: Tensor) -> Float[Tensor, "k 16"]:
    """Control points of flows; exact for those of affine warps, since splines hold these."""
    return torch.linalg.lstsq(splines.flatten(1).T, basis.flatten(1).T).solution.T


def _blurred(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Images without their details, for a start that details cannot mislead."""
    sigma = _COARSE * max(x.shape[2:])
    reach = int(3 * sigma) + 1
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(x) / sigma) ** 2)
    bell = (bell / bell.sum()).expand(x.shape[1], 1, 1, -1)
    across = F.conv2d(x, bell, padding=(0, reach), groups=x.shape[1])
    return F.conv2d(across, bell.mT, padding=(reach, 0), groups=x.shape[1])
