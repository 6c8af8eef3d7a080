"""The leading directions of a site: smooth changes of images that its filters undo best.

With J_m the derivative of the response along the image field m, and A that by the filters, the
change of filters that best undoes the fields' mixture theta leaves

    residual(theta) = min over dF of E ||A dF + sum over m of theta_m J_m||^2,

a quadratic form. Its generalised eigenvectors against E ||sum theta_m J_m||^2 are the directions,
and 1 less their eigenvalues the shares that filters undo.

Three sets of images: filters are fitted on the first, directions and ridge chosen on the second,
shares told of the third.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from scipy.linalg import eigh
from torch import Tensor

from filtergan.config.values import FieldKind
from filtergan.errors import UserError
from filtergan.images.image_fields import FieldSpace
from filtergan.machine import telling
from filtergan.sites.site import Site
from filtergan.spectra.forms import CHUNK, EachFilter, Forms, slope
from filtergan.spectra.krylov import BLOCKS, krylov

FITTED, JUDGED = 500, 250
"""Images on which filters are fitted, and in either set on which they are judged. Half as many
where all filters are one system."""
SIZE = 0.3  # root mean square change of the images, in norms of an image, of a direction's fields
RIDGES = (1e-5, 1e-3, 1e-2, 1e-1, 1.0)  # of the mean variance of a system's inputs
MEMORY = 2**31  # bytes of the systems of single filters


@dataclass(frozen=True)
class Directions:
    """Directions of image change, the best undone first.

    Attributes:
        space: What the coefficients are of.
        shares: Share of each direction's response change that filters undo, of held-out images.
        nulls: The same for filters fitted to what the fields do to other images.
        fields: Coefficients of each direction, of a size at which images change by .3 of their
            norm to first order.
        filters: The change of the real filters that undoes it.
        ridge: Chosen, of the mean variance of a system's inputs.
    """

    space: FieldSpace
    shares: Float[Tensor, " d"]
    nulls: Float[Tensor, " d"]
    fields: Float[Tensor, "d m g g"]
    filters: Float[Tensor, "d o i kh kw"]
    ridge: float


def mostly(kinds: Mapping[Any, float]) -> str:
    """The two kinds of field that a direction has most of, with their shares."""
    most = sorted(kinds, key=lambda kind: -kinds[kind])[:2]
    return ", ".join(f"{kind} {kinds[kind]:.0%}" for kind in most)


def leading(
    site: Site,
    train: Float[Tensor, "n c h w"],
    test: Float[Tensor, "k c h w"],
    kinds: Sequence[FieldKind],
    grid: int,
    count: int,
) -> Directions:
    """The leading directions of a site.

    Args:
        site: Of a network of images, its convolution of two dimensions.
        train: Pixels in [0, 1], in random order; filters are fitted on the first of them.
        test: Others, on which directions are chosen and shares told.
        kinds: Of fields.
        grid: Coefficients of a field along each axis.
        count: How many are wanted.

    Raises:
        UserError: There are too few images, or the layer is too large.
    """
    if min(len(train), len(test)) < 4:
        raise UserError("A spectrum needs four images for each of training and test; give more.")
    separate = _separate(site, train[:2])
    less = 1 if separate else 2
    parts = (train[: FITTED // less], *test[: 2 * JUDGED // less].tensor_split(2))
    shape = (train.shape[1], train.shape[2], train.shape[3])
    space = FieldSpace(shape, tuple(kinds), grid)
    total = sum(map(len, parts)) + (0 if separate else (2 * BLOCKS - 1) * len(parts[0]))
    with telling.progress(total, f"spectrum of {site.name}", "images") as advance:
        unknowns = EachFilter(site) if separate else krylov(site, space, parts[0], advance)
        known, chosen, judged = (Forms.of(site, space, unknowns, x, advance) for x in parts)
    found = [_solved(known, chosen, judged, null) for null in (False, True)]
    (ridge, theta, solution, shares), (*_, nulls) = found
    theta, shares, nulls = theta[:, :count], shares[:count], nulls[:count]
    size = (theta * (known.images @ theta)).sum(0).sqrt() / known.norm**0.5
    theta = theta * SIZE / size
    theta = theta * _towards(space, train[:CHUNK], theta.mT.float())
    filters = -unknowns.filters(solution @ theta).float()
    fields = theta.mT.float().unflatten(1, space.size)
    return Directions(space, shares.float(), nulls.float(), fields, filters, ridge)


def _separate(site: Site, x: Float[Tensor, "n c h w"]) -> bool:
    """Whether every filter can have a system of its own, and these are not too large."""
    o, d = len(site.filters), site.filters[0].numel()
    if 3 * 4 * o * d * d > MEMORY:
        return False
    return slope(site, site.input(x)) is not None


def _towards(space: FieldSpace, x: Tensor, theta: Tensor) -> Float[Tensor, " d"]:
    """The sign of each direction that changes images more: grey levels end at 0 and at 1."""
    signs = []
    for own in theta.unflatten(1, space.size):
        moves = [space.apply(x, (s * own).expand(len(x), -1, -1, -1)) - x for s in (1, -1)]
        signs.append(1.0 if moves[0].norm() >= moves[1].norm() else -1.0)
    return torch.tensor(signs).to(theta)


def _solved(
    known: Forms, chosen: Forms, judged: Forms, null: bool
) -> tuple[float, Tensor, Tensor, Tensor]:
    """The best ridge, its directions [m, d], solutions of all fields [s, d, m], and shares told."""
    best = None
    for ridge in RIDGES:
        crosses = known.null if null else known.cross
        systems = zip(known.gram, crosses, strict=True)
        solution = torch.stack([_answered(gram, cross, ridge) for gram, cross in systems])
        floor = chosen.floor()
        values, theta = eigh(
            (chosen.residual(solution, null) + floor).cpu().numpy(),
            (chosen.energy + floor).cpu().numpy(),
        )
        worth = float((1 - values).clip(min=0).sum())
        if best is None or worth > best[0]:
            best = worth, ridge, torch.from_numpy(theta).to(solution), solution
    assert best is not None
    _, ridge, theta, solution = best

    def of(form: Tensor) -> Tensor:
        return (theta * (form @ theta)).sum(0)

    shares = 1 - of(judged.residual(solution, null)) / of(judged.energy)
    return ridge, theta, solution, shares


def _answered(gram: Tensor, cross: Tensor, ridge: float) -> Float[Tensor, "d m"]:
    """Solves one system."""
    raised = gram.to(torch.float64, copy=True)
    raised.diagonal().add_(ridge * raised.diagonal().mean() + 1e-12)
    return torch.linalg.solve(raised, cross.double())
