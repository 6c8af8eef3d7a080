"""Fields that change images smoothly: a flow, gains, blur and offsets at every pixel.

Fields are given by coefficients on a coarse grid, in units in which 1 is a clear but moderate
change, and spread over the pixels by cubic interpolation. What is linear in the coefficients is
linear in the fields; the flow that moves pixels is the exponential of the field, so that minus
the coefficients moves them back, and twice as much moves them twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from filtergan.config.values import SPECIAL, FieldKind
from filtergan.errors import UserError
from filtergan.families.transformations import displace

KINDS: tuple[FieldKind, ...] = get_args(FieldKind)
APART: tuple[FieldKind, ...] = tuple(kind for kind in KINDS if kind not in SPECIAL)
"""Of which none is a special case of another: what they can do together, all can."""
SQUARINGS = 4  # of an exponential: from a sixteenth of the flow
SLOPE = 0.75  # of torch's bicubic interpolation at a pixel, over the step between its neighbours
PIXEL = 28  # sides of an image on which a flow of 1 is a pixel


@dataclass(frozen=True)
class FieldSpace:
    """Which fields images of one shape are changed with, and how.

    Attributes:
        shape: Channels, height and width of an image.
        kinds: Of fields: `flow` (two of them: right and down), log `gain` (one a channel) or
            `brightness` (one for all channels, so that no tint comes of it), `blur` (the share of
            the blurred image that takes the image's place; below 0 it sharpens), and `offset` (one
            a channel) or `ground` (one for all).
        grid: Coefficients along each axis of a field.
    """

    shape: tuple[int, int, int]
    kinds: tuple[FieldKind, ...] = ("flow", "gain", "blur")
    grid: int = 7

    @property
    def channels(self) -> dict[FieldKind, int]:
        """Fields of each kind."""
        of_kind: Mapping[FieldKind, int] = {
            "flow": 2,
            "gain": self.shape[0],
            "brightness": 1,
            "blur": 1,
            "offset": self.shape[0],
            "ground": 1,
        }
        return {kind: of_kind[kind] for kind in self.kinds}

    def require(self, images: Tensor) -> None:
        """See that they are images of this shape, one or a batch.

        Raises:
            UserError: They are not.
        """
        if images.shape[-3:] != self.shape or images.ndim not in (3, 4):
            given, wanted = ("x".join(map(str, shape)) for shape in (images.shape, self.shape))
            raise UserError(
                f"The images are {given}, but the transformer moves images of {wanted} (channels, "
                "height, width), one or a batch of them."
            )

    @property
    def count(self) -> int:
        """Fields of all kinds."""
        return sum(self.channels.values())

    @property
    def size(self) -> tuple[int, int, int]:
        """Shape of one image's coefficients: fields, rows and columns of the grid."""
        return self.count, self.grid, self.grid

    @property
    def pixel(self) -> float:
        """Pixels to a flow of 1, and to the standard deviation of the blur."""
        return max(self.shape[1:]) / PIXEL

    def fields(
        self, coefficients: Float[Tensor, "n m g g"]
    ) -> dict[FieldKind, Float[Tensor, "n k h w"]]:
        """The field of each kind at every pixel, the flow in pixels (before its exponential)."""
        rows, columns = (spreading(side, self.grid).to(coefficients) for side in self.shape[1:])
        spread = (rows @ coefficients @ columns.mT).split(list(self.channels.values()), dim=1)
        named = dict(zip(self.channels, spread, strict=True))
        if "flow" in named:
            named["flow"] = named["flow"] * self.pixel
        return named

    def drawn(self, coefficients: Float[Tensor, "n m g g"]) -> dict[str, Float[Tensor, "n k h w"]]:
        """The same with the flow as it moves pixels: each is taken from so many pixels away."""
        found = self.fields(coefficients)
        return {
            kind: exponential(field) if kind == "flow" else field for kind, field in found.items()
        }

    def apply(
        self, x: Float[Tensor, "n c h w"], coefficients: Float[Tensor, "n m g g"]
    ) -> Float[Tensor, "n c h w"]:
        """The images, changed: blurred, moved, amplified, offset, and held within [0, 1].

        Args:
            x: Pixels in [0, 1].
            coefficients: Of each image; zeros leave it as it is.
        """
        fields = self.fields(coefficients)
        if "blur" in fields:
            x = x + fields["blur"] * (_blurred(x, self.pixel) - x)
        if "flow" in fields:
            flow = exponential(fields["flow"])
            # Sampling rounds; where nothing moves the image is to remain what it is exactly.
            places = flow, torch.zeros_like(flow)
            moved, still = (displace(x, place, between="bicubic") for place in places)
            x = x + (moved - still)
        for gain in _those(fields, "gain", "brightness"):
            x = x * gain.clamp(max=3).exp()
        for offset in _those(fields, "offset", "ground"):
            x = x + offset
        return x.clamp(0, 1)

    def tangents(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "d n c h w"]:
        """How images begin to change with each coefficient in turn; nothing holds them in [0, 1].

        Args:
            x: Pixels in [0, 1].
        """
        size = self.size[0] * self.grid**2
        fields = self.fields(torch.eye(size).to(x).unflatten(1, self.size))
        parts = []
        if "blur" in fields:
            parts.append(fields["blur"][:, None] * (_blurred(x, self.pixel) - x))
        if "flow" in fields:
            right, down = (F.pad(x, sides) for sides in ((1, 1, 0, 0), (0, 0, 1, 1)))
            slopes = right[..., 2:] - right[..., :-2], down[..., 2:, :] - down[..., :-2, :]
            flows = fields["flow"].split(1, dim=1)
            parts += [SLOPE * f[:, None] * slope for f, slope in zip(flows, slopes, strict=True)]
        parts += [gain[:, None] * x for gain in _those(fields, "gain", "brightness")]
        parts += [
            offset[:, None].expand(-1, *x.shape) for offset in _those(fields, "offset", "ground")
        ]
        return torch.stack(parts).sum(0)


def _those(fields: Mapping[FieldKind, Tensor], *kinds: FieldKind) -> list[Tensor]:
    """The fields of these kinds, of which there may be none."""
    return [fields[kind] for kind in kinds if kind in fields]


def exponential(velocity: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n 2 h w"]:
    """The flow that following a constant field of velocities leads to, by scaling and squaring.

    Args:
        velocity: In pixels.

    Source: Arsigny et al. 2006, "A log-Euclidean framework for statistics on diffeomorphisms".
    """
    flow = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        flow = flow + displace(flow, flow, outside="border")
    return flow


def folded(flow: Float[Tensor, "n 2 h w"]) -> Float[Tensor, " n"]:
    """The share of pixels at which p -> p + flow(p) folds: its Jacobian determinant is <= 0."""
    right = flow[:, :, :-1, 1:] - flow[:, :, :-1, :-1]
    down = flow[:, :, 1:, :-1] - flow[:, :, :-1, :-1]
    determinant = (1 + right[:, 0]) * (1 + down[:, 1]) - right[:, 1] * down[:, 0]
    return (determinant <= 0).flatten(1).float().mean(1)


@cache
def spreading(side: int, grid: int) -> Float[Tensor, "side grid"]:
    """The matrix that spreads a line of coefficients over so many pixels, by cubic interpolation.

    Its rows add up to 1.
    """
    with torch.inference_mode(False):  # it is kept, and gradients may be wanted next time
        lines = torch.eye(grid, dtype=torch.float64)[:, None]
        wide = F.interpolate(lines[..., None], (side, 1), mode="bicubic", align_corners=False)
        return wide[:, 0, :, 0].mT.float()


def _blurred(x: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    rows, columns = (_gaussian(side, sigma).to(x) for side in x.shape[2:])
    return rows @ (columns @ x.mT).mT  # from the left: four times as fast as x @ columns.mT


@cache
def _gaussian(side: int, sigma: float) -> Float[Tensor, "side side"]:
    """The matrix that blurs a line of pixels; the border goes on outside."""
    with torch.inference_mode(False):  # as above
        place = torch.arange(side, dtype=torch.float64)
        weights = torch.exp(-(place[:, None] - place).square() / (2 * sigma**2))
        return (weights / weights.sum(1, keepdim=True)).float()
