"""All filters of a site together: changes of them, within the space that matters to what is asked.

Where a response hangs on many filters, all weights are unknowns of one system, too large to be
written down. Solutions are sought in a Krylov space: spanned by the gradients of what fields do to
the response, and then by the gradients of what the best filters of that space leave of it.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.errors import UserError
from filtergan.images.image_fields import FieldSpace
from filtergan.machine.telling import Tick
from filtergan.sites.convolution import convolve, unfolded
from filtergan.sites.site import Site
from filtergan.spectra.forms import PASS, Forms, Seen, Unknowns, derivatives, of_others, parts_of

BLOCKS = 2  # of the space, each of a change of filters for every field, and one for its null
MEMORY = 2**31  # bytes of the space
RIDGE = 1e-3  # of the mean diagonal, of the systems that are solved on the way
WHITE = 1e-3  # of the mean variance of unfolded inputs, below which directions are not stretched
SMALL = 0.002  # change of the convolution's output in central differences, in standard deviations


class Together(Unknowns):
    """All filters one system, whose unknowns are the coefficients of some changes of filters.

    Args:
        site: The site.
        basis: The changes of filters.
    """

    def __init__(self, site: Site, basis: Float[Tensor, "p o i kh kw"]) -> None:
        self.site, self.basis = site, basis
        self.count = 1, len(basis)

    def seen(self, inputs: Float[Tensor, "n c h w"]) -> Iterator[Seen]:
        """What each change of filters does to all numbers of the response."""
        yield along(self.site, inputs, self.basis).flatten(1), _all

    def filters(self, solution: Float[Tensor, "1 p k"]) -> Float[Tensor, "k o i kh kw"]:
        """The mixtures of the changes."""
        return torch.tensordot(solution[0].to(self.basis).mT, self.basis, dims=1)


def krylov(site: Site, space: FieldSpace, x: Float[Tensor, "n c h w"], advance: Tick) -> Together:
    """The space in which fields, and their nulls, are undone.

    Args:
        site: The site.
        space: Of the fields.
        x: Images, whose responses are to be undone.
        advance: Told how many images have been done, `BLOCKS` times each and once less.

    Raises:
        UserError: The layer is too large.
    """
    fields = space.size[0] * space.grid**2
    size = 2 * BLOCKS * fields * site.filters.nbytes
    if size > MEMORY:
        raise UserError(
            f"The spectrum of {site.name} would take {size / 2**30:.0f} GiB, of which "
            f"{MEMORY / 2**30:.0f} are allowed; choose a smaller layer, or a coarser grid."
        )
    white = _white(site, x)
    found = _gradients(site, space, x, white, None, advance)
    for _ in range(BLOCKS - 1):
        so_far = Together(site, found)
        forms = Forms.of(site, space, so_far, x, advance)
        gram = forms.gram[0].to(torch.float64, copy=True)
        gram.diagonal().add_(RIDGE * gram.diagonal().mean())
        wanted = torch.cat([forms.cross[0], forms.null[0]], dim=1).double()
        best = so_far.filters(torch.linalg.solve(gram, wanted)[None])
        found = torch.cat([found, _gradients(site, space, x, white, best, advance)])
    return Together(site, found)


@torch.no_grad()
def along(
    site: Site, inputs: Float[Tensor, "n c h w"], changes: Float[Tensor, "p o i kh kw"]
) -> Float[Tensor, "p n r"]:
    """Central differences of the response along changes of the filters, each of any size."""
    out = convolve(inputs, site.filters, site.bias, site.geometry, site.backend)
    found = []
    for some in changes.split(max(1, PASS // len(inputs))):
        moves = torch.stack([convolve(inputs, own, None, site.geometry) for own in some])
        sizes = moves.flatten(1).std(dim=1).clamp(min=1e-12) / (SMALL * out.std())
        steps = moves / sizes.reshape(-1, *[1] * out.ndim)
        ends = [site.answer((out + s * steps).flatten(0, 1)).flatten(1) for s in (1, -1)]
        slopes = (ends[0] - ends[1]).unflatten(0, (len(some), len(inputs))) / 2
        found.append(slopes * sizes[:, None, None])
    return torch.cat(found)


def gradient(
    site: Site, inputs: Float[Tensor, "n c h w"], weights: Float[Tensor, "m n r"]
) -> Float[Tensor, "m o i kh kw"]:
    """The gradients by the filters, at W, of some weighted sums of the numbers of the response."""
    out = convolve(inputs, site.filters, site.bias, site.geometry, site.backend)
    rows = unfolded(inputs, site.filters.shape[2:], site.geometry).movedim(0, 2).flatten(2)
    found = []
    for some in weights.split(max(1, PASS // len(inputs))):
        with torch.enable_grad():
            many = out.detach().expand(len(some), *out.shape).flatten(0, 1).requires_grad_()
            answer = site.answer(many).flatten(1)
            (grad,) = torch.autograd.grad((answer * some.flatten(0, 1)).sum(), [many])
        grad = grad.unflatten(0, (len(some), len(inputs))).flatten(3)  # [m, n, o, l]
        by_group = grad.unflatten(2, (len(rows), -1)).movedim(2, 0).movedim(3, 2)
        found.append((by_group.flatten(3) @ rows.mT[:, None]).movedim(0, 1).flatten(1, 2))
    return torch.cat(found).unflatten(2, site.filters.shape[1:])


@torch.no_grad()
def _gradients(
    site: Site,
    space: FieldSpace,
    x: Tensor,
    white: Callable[[Tensor], Tensor],
    best: Tensor | None,
    advance: Tick,
) -> Float[Tensor, "p o i kh kw"]:
    """White gradients of what is left of every field's response, and of every null's, over images.

    Args:
        site: The site.
        space: Of the fields.
        x: Images.
        white: Takes gradients to coordinates in which inputs are uncorrelated, and back.
        best: The filters found so far, of all fields and then of all nulls; None: none.
        advance: Told how many images have been done.
    """
    total = None
    for part in parts_of(x):
        change = derivatives(site, part, space.tangents(part))
        wanted, inputs = torch.cat([change, of_others(change)]), site.input(part)
        if best is not None:
            wanted = wanted - along(site, inputs, best)
        found = gradient(site, inputs, wanted)
        total = found if total is None else total + found
        advance(len(part))
    assert total is not None, "there are images"
    total = white(total)
    return total / total.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None, None]


@torch.no_grad()
def _white(site: Site, x: Tensor) -> Callable[[Tensor], Tensor]:
    """What divides gradients by the covariance of unfolded site inputs."""
    rows = unfolded(site.input(x), site.filters.shape[2:], site.geometry).movedim(0, 2).flatten(2)
    gram = (rows @ rows.mT).double()
    mean = gram.diagonal(dim1=1, dim2=2).mean(1)
    gram.diagonal(dim1=1, dim2=2).add_(WHITE * mean[:, None] + 1e-12)
    root = torch.linalg.cholesky(gram)

    def white(gradients: Tensor) -> Tensor:
        by_group = gradients.unflatten(1, (len(root), -1)).movedim(1, 0).flatten(3)
        right = by_group.flatten(1, 2).mT.double()
        solved = torch.cholesky_solve(right, root).mT.to(gradients)
        return solved.unflatten(1, by_group.shape[1:3]).movedim(0, 1).reshape(gradients.shape)

    return white


def _all(change: Float[Tensor, "m n r"]) -> Float[Tensor, "m q"]:
    return change.flatten(1)
