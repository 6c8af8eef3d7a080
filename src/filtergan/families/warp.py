"""Smooth warps: splines of 4 x 4 control points; as a reference, without their affine part."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.families.family import Explained, Family, Fixed, Reference, Transform
from filtergan.families.transformations import (
    CONTROL_POINTS,
    coordinates,
    displace,
    spline_flow,
)


def bent(x: Float[Tensor, "n c h w"], pixels: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Every image moved by the same smooth flow, of such a root mean square length."""
    drawn = torch.Generator().manual_seed(0)
    control = torch.randn(1, 2, CONTROL_POINTS, CONTROL_POINTS, generator=drawn).to(x)
    flow = spline_flow(control, (x.shape[2], x.shape[3]))
    flow = flow / flow.square().sum(1).mean().sqrt()
    return displace(x, (pixels * min(x.shape[2:]) / 28)[:, None, None, None] * flow)


def _warped(
    x: Float[Tensor, "n c h w"], member: Int64[Tensor, " n"], generator: torch.Generator
) -> tuple[Transform, float]:
    """Gaussian displacements whose correlation falls to exp(-1/2) over a control spacing.

    What an affine map could follow is projected out in the metric of the group's images: a flow
    counts by how much it changes them, to first order the sum of (gradient . flow)^2.
    """
    count, (height, width) = int(member.max()) + 1, x.shape[2:]
    rows, columns = (_correlated(length).to(x) for length in (height, width))
    white = torch.randn(count, 2, height, width, generator=generator).to(x)
    flow = torch.einsum("ai,ncij,bj->ncab", rows, white, columns)

    slopes = torch.stack(torch.gradient(x, dim=(3, 2)))  # horizontal first, as flows
    slopes = slopes / slopes.square().mean((0, 2, 3, 4), keepdim=True).sqrt().clamp(min=1e-6)
    metric = x.new_zeros(count, 2, 2, height, width)
    metric.index_add_(0, member, torch.einsum("anchw,bnchw->nabhw", slopes, slopes))
    place = coordinates((height, width)).to(x) / max(height, width)
    linear = torch.cat([torch.ones_like(place[:1]), place])
    normal = torch.einsum("nabhw,khw,lhw->nakbl", metric, linear, linear).reshape(count, 6, 6)
    seen = torch.einsum("nabhw,khw,nbhw->nak", metric, linear, flow).flatten(1)
    ridge = 1e-6 * normal.diagonal(dim1=1, dim2=2).mean(1) + 1e-6
    followed = torch.linalg.solve(normal + ridge[:, None, None] * torch.eye(6).to(x), seen)
    flow = flow - torch.einsum("nak,khw->nahw", followed.view(count, 2, 3), linear)
    flow = (flow / flow.square().mean((1, 2, 3), keepdim=True).sqrt())[member]
    return lambda s: displace(x, s[:, None, None, None] * flow), 0.1


def _correlated(length: int) -> Float[Tensor, "length length"]:
    """A square root of the covariance of the displacements along one axis."""
    place = torch.arange(length, dtype=torch.float64)
    spacing = (length - 1) / (CONTROL_POINTS - 1)
    covariance = torch.exp(-0.5 * ((place[:, None] - place) / spacing) ** 2)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()


WARP = Family(
    name="warp",
    words="smooth warp",
    reference=Reference("warp", _warped),
    explained=Explained(
        "spline",
        meaning="gain, offset and a smooth warp (a spline with 4 x 4 control points)",
        words="brightness and a smooth warp",
        title="smooth\nwarp",
        symbol="spline",
    ),
    fixed=(Fixed("warp 1.5 px", bent, 1.5),),
)
