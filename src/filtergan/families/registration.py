"""Finding the warp that carries one image into another, for many pairs at once.

The warp is linear in its parameters: flow(p) = sum over k of theta_k basis_k(p), for either axis.
Gauss-Newton steps with Levenberg and Marquardt's damping, each pair with a damping of its own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.transformations import displace

_STEPS = 25
_ENOUGH = 1e-3  # a step that explains less than this share of the change is the last
_FIRST_DAMPING, _MOST_DAMPING = 1e-2, 1e2
_EASE, _STIFFEN = 0.2, 6.0  # what a step that helped, or did not, multiplies the damping with


@dataclass(frozen=True)
class Warp:
    """A warp for each pair, and what it leaves over.

    Attributes:
        theta: Parameters of the flow in pixels: axis, basis function.
        row: Row of the source's table, between rows a mixture of two; 0 where there is one row.
        residual: Squared norm of what is left of the target.
    """

    theta: Float[Tensor, "m 2 k"]
    row: Float[Tensor, " m"]
    residual: Float[Tensor, " m"]

    def better(self, other: "Warp") -> "Warp":
        """Of each pair the one that leaves less."""
        first = self.residual <= other.residual
        return Warp(
            torch.where(first[:, None, None], self.theta, other.theta),
            torch.where(first, self.row, other.row),
            torch.minimum(self.residual, other.residual),
        )


@dataclass(frozen=True)
class Problem:
    """What is to be carried into what.

    Attributes:
        source: For each owner a table of images, such as one image at several stroke widths; one
            row where there is nothing to choose.
        owner: Whose table each pair starts from.
        target: The images to be reached.
        change: Squared distance of the target from the source; what a step gains is read by it.
        basis: Functions of position that the flow is made of.
        photometric: Whether gain and offset are free; their best values are always used then
            (variable projection, Golub and Pereyra 1973).
    """

    source: Float[Tensor, "o r c h w"]
    owner: Int64[Tensor, " m"]
    target: Float[Tensor, "m c h w"]
    change: Float[Tensor, " m"]
    basis: Float[Tensor, "k h w"]
    photometric: bool


def register(problem: Problem, theta: Float[Tensor, "m 2 k"], row: Float[Tensor, " m"]) -> Warp:
    """Warps that carry source images into target images, from a given start.

    Args:
        problem: What is to be carried into what.
        theta: Where the search starts.
        row: The same, for the row of the table.

    Returns:
        Warps that leave no more than those at the start.
    """
    theta, row = theta.clone(), row.clone()
    residual, normal, slope = _linearise(problem, torch.arange(len(theta)), theta, row)
    damping = torch.full_like(residual, _FIRST_DAMPING)
    active = torch.arange(len(theta))
    for _ in range(_STEPS):
        step = _solve(normal[active], slope[active], damping[active])
        moves = step[:, : theta[0].numel()].unflatten(1, theta.shape[1:])
        tried = theta[active] + moves
        row_tried = row[active]
        if problem.source.shape[1] > 1:
            last = problem.source.shape[1] - 1
            row_tried = (row_tried + step[:, theta[0].numel()]).clamp(0, last)
        left, normal_tried, slope_tried = _linearise(problem, active, tried, row_tried)
        gain = residual[active] - left
        helped = gain > 0
        chosen = active[helped]
        theta[chosen], row[chosen], residual[chosen] = (
            tried[helped],
            row_tried[helped],
            left[helped],
        )
        normal[chosen], slope[chosen] = normal_tried[helped], slope_tried[helped]
        damping[active] *= torch.where(helped, _EASE, _STIFFEN)
        going = (gain > _ENOUGH * problem.change[active]) | (
            ~helped & (damping[active] < _MOST_DAMPING)
        )
        active = active[going]
        if not len(active):
            break
    return Warp(theta, row, residual)


def _solve(
    normal: Float[Tensor, "m q q"], slope: Float[Tensor, "m q"], damping: Float[Tensor, " m"]
) -> Float[Tensor, "m q"]:
    """Damped steps; a parameter without any effect stays where it is."""
    diagonal = normal.diagonal(dim1=1, dim2=2)
    stiff = damping[:, None] * diagonal + 1e-6 * diagonal.amax(1, keepdim=True) + 1e-12
    return torch.linalg.solve_ex(normal + torch.diag_embed(stiff), slope).result


def _linearise(
    problem: Problem, pairs: Int64[Tensor, " m"], theta: Float[Tensor, "m 2 k"], row: Tensor
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m q q"], Float[Tensor, "m q"]]:
    """Residual, normal matrix and its right-hand side at given parameters.

    The parameters are theta (horizontal, then vertical), the row, gain and offset, as far as free.
    A parameter's image is a field times a basis function; sums over pixels of products of fields
    meet those of basis functions in one matrix product.
    """
    source, target = problem.source[problem.owner[pairs]], problem.target[pairs]
    image, across = _mixture(source, row)
    flow = torch.einsum("mck,khw->mchw", theta, problem.basis)
    now, *flows = _sampled(image, flow)
    whole = [] if across is None else [displace(across, flow)]  # images of single parameters
    if problem.photometric:
        gain, offset = levels(now, target)
        flows, whole = [gain * f for f in flows], [gain * f for f in whole]
        whole += [now, torch.ones_like(now)]
        now = gain * now + offset
    left = target - now
    normal, slope = _normal(problem.basis, flows, whole, left)
    return left.square().flatten(1).sum(1), normal, slope


def _sampled(
    image: Float[Tensor, "m c h w"], flow: Float[Tensor, "m 2 h w"]
) -> tuple[Tensor, Tensor, Tensor]:
    """A displaced image, and its derivatives by the horizontal and the vertical displacement.

    These are those of bilinear sampling itself. Slopes of the image, sampled likewise, are smoother
    but stop short of the best affine warp by up to two hundredths of the change.
    """
    channels = image.shape[1]
    own = flow.repeat_interleave(channels, dim=0)
    with torch.enable_grad():  # a pixel depends on its own displacement only
        own.requires_grad_(True)
        moved = displace(image.flatten(0, 1)[:, None], own)
        (slopes,) = torch.autograd.grad(moved.sum(), own)
    across, down = slopes.unflatten(0, (-1, channels)).unbind(2)
    return moved.detach().view_as(image), across, down


def _normal(
    basis: Tensor, flows: list[Tensor], whole: list[Tensor], left: Tensor
) -> tuple[Tensor, Tensor]:
    """Inner products of all parameters' images with each other and with what is left."""
    m, k = len(left), len(basis)
    flat = basis.flatten(1)
    squares = (flat[:, None] * flat).flatten(0, 1)
    size = 2 * k + len(whole)
    normal, slope = left.new_zeros(m, size, size), left.new_zeros(m, size)
    for i, first in enumerate(flows):
        mine = slice(i * k, (i + 1) * k)
        slope[:, mine] = (first * left).sum(1).flatten(1) @ flat.T
        for j in range(i, 2):
            block = ((first * flows[j]).sum(1).flatten(1) @ squares.T).unflatten(1, (k, k))
            normal[:, mine, j * k : (j + 1) * k] = block
            normal[:, j * k : (j + 1) * k, mine] = block
        for j, other in enumerate(whole, start=2 * k):
            column = (first * other).sum(1).flatten(1) @ flat.T
            normal[:, mine, j] = column
            normal[:, j, mine] = column
    for i, first in enumerate(whole, start=2 * k):
        slope[:, i] = (first * left).flatten(1).sum(1)
        for j, other in enumerate(whole, start=2 * k):
            normal[:, i, j] = (first * other).flatten(1).sum(1)
    return normal, slope


def _mixture(
    source: Float[Tensor, "m r c h w"], row: Float[Tensor, " m"]
) -> tuple[Float[Tensor, "m c h w"], Float[Tensor, "m c h w"] | None]:
    """The image between two rows of each table, and its change from row to row."""
    if source.shape[1] == 1:
        return source[:, 0], None
    below = row.floor().clamp(max=source.shape[1] - 2).long()
    pair = torch.arange(len(row))
    low, high = source[pair, below], source[pair, below + 1]
    return low + (row - below)[:, None, None, None] * (high - low), high - low


def levels(
    x: Float[Tensor, "m c h w"], target: Float[Tensor, "m c h w"]
) -> tuple[Float[Tensor, "m 1 1 1"], Float[Tensor, "m 1 1 1"]]:
    """Gain and offset that fit the target best; an image without contrast has gain 0."""
    mean, wanted = (image.mean((1, 2, 3), keepdim=True) for image in (x, target))
    variance = ((x - mean) ** 2).mean((1, 2, 3), keepdim=True)
    together = ((x - mean) * (target - wanted)).mean((1, 2, 3), keepdim=True)
    gain = torch.where(variance > 1e-12, together / variance.clamp(min=1e-12), 0)
    return gain, wanted - gain * mean
