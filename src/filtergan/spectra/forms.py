"""Quadratic forms: what small changes of filters and of images do to a response, over images."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.images.image_fields import FieldSpace
from filtergan.machine.telling import Tick
from filtergan.sites.convolution import convolve, unfolded
from filtergan.sites.site import Site

STEP = 0.05  # of the central differences, in units of the fields
FLOOR, IDLE = 0.05, 1e-3
"""Of the mean response change, what an image change as large as the mean is taken to cause besides;
and of that, what fields do that change no image. So directions without response undo nothing."""
CHUNK, PASS = 25, 500  # images whose derivatives are in memory at once, and in one pass

Seen = tuple[Float[Tensor, "d q"], Callable[[Float[Tensor, "m n r"]], Float[Tensor, "m q"]]]
"""What each unknown does to some numbers of the responses, and what picks these numbers."""


class Unknowns(ABC):
    """Changes of a site's filters, as the unknowns of one or more systems of equations.

    Attributes:
        count: How many systems there are, and how many unknowns each has.
    """

    count: tuple[int, int]

    @abstractmethod
    def seen(self, inputs: Float[Tensor, "n c h w"]) -> Iterator[Seen]:
        """What the unknowns of each system do."""

    @abstractmethod
    def filters(self, solution: Float[Tensor, "s d k"]) -> Float[Tensor, "k o i kh kw"]:
        """The changes of filters that some solutions stand for."""


class EachFilter(Unknowns):
    """Every filter a system of its own: the unfolded site input, times the slope behind it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.count = len(site.filters), site.filters[0].numel()

    def seen(self, inputs: Float[Tensor, "n c h w"]) -> Iterator[Seen]:
        """Of each filter, where it reaches the response."""
        shape, geometry = self.site.filters.shape[2:], self.site.geometry
        rows = unfolded(inputs, shape, geometry).movedim(0, 2).flatten(2)
        slopes = slope(self.site, inputs)
        assert slopes is not None, "single filters are asked about only where there are slopes"
        slopes = slopes.flatten(2).movedim(1, 0).flatten(1)  # [o, n l]
        each, o = len(slopes) // len(rows), len(slopes)
        for i, own in enumerate(slopes):
            there = own.nonzero()[:, 0]

            def pick(change: Tensor, i: int = i, there: Tensor = there) -> Tensor:
                return change.unflatten(2, (o, -1))[:, :, i].flatten(1)[:, there]

            yield rows[i // each][:, there] * own[there], pick

    def filters(self, solution: Float[Tensor, "o d k"]) -> Float[Tensor, "k o i kh kw"]:
        """The solutions themselves."""
        return solution.movedim(2, 0).unflatten(2, self.site.filters.shape[1:])


@dataclass
class Forms:
    """Quadratic forms of a set of images, sums over them and over the numbers of a response.

    With J_m the derivative of the response along the image field m, and A that by the unknowns:

    Attributes:
        gram: A' A of each system, [s, d, d].
        cross: A' J of each system, [s, d, m].
        null: The same with J of another image.
        energy: J' J over all numbers, [m, m].
        images: The same of the change of images.
        norm: Sum of the images' squares.
    """

    gram: Float[Tensor, "s d d"]
    cross: Float[Tensor, "s d m"]
    null: Float[Tensor, "s d m"]
    energy: Float[Tensor, "m m"]
    images: Float[Tensor, "m m"]
    norm: float = 0.0

    @classmethod
    def of(
        cls, site: Site, space: FieldSpace, unknowns: Unknowns, x: Tensor, advance: Tick
    ) -> "Forms":
        """The forms of some images, in float64 where they are small."""
        s, d = unknowns.count
        m = space.size[0] * space.grid**2
        zeros = site.filters.new_zeros
        forms = cls(zeros(s, d, d), zeros(s, d, m), zeros(s, d, m), zeros(m, m), zeros(m, m))
        for part in parts_of(x):
            forms._add(site, space, unknowns, part)
            advance(len(part))
        forms.images, forms.energy = forms.images.double(), forms.energy.double()
        return forms

    @torch.no_grad()
    def _add(self, site: Site, space: FieldSpace, unknowns: Unknowns, x: Tensor) -> None:
        tangents = space.tangents(x)
        flat = tangents.flatten(1)
        self.images += flat @ flat.mT
        self.norm += float(x.square().sum())
        change = derivatives(site, x, tangents)
        self.energy += change.flatten(1) @ change.flatten(1).mT
        others = of_others(change)
        for i, (seen, pick) in enumerate(unknowns.seen(site.input(x))):
            self.gram[i] += seen @ seen.mT
            self.cross[i] += seen @ pick(change).mT
            self.null[i] += seen @ pick(others).mT

    def residual(self, solution: Tensor, null: bool) -> Float[Tensor, "m m"]:
        """What a solution [s, d, m] leaves."""
        cross = (self.null if null else self.cross).double()
        mixed = torch.einsum("odm,odk->mk", solution, cross)
        used = torch.zeros_like(mixed)
        for own, gram in zip(solution, self.gram, strict=True):
            used += own.mT @ (gram.double() @ own)
        return self.energy - mixed - mixed.mT + used

    def floor(self) -> Float[Tensor, "m m"]:
        """What image changes are taken to cause besides."""
        eye = torch.eye(len(self.images), dtype=torch.float64, device=self.images.device)
        known = self.images + IDLE * self.images.diagonal().mean() * eye
        return FLOOR * known * (self.energy.trace() / known.trace())


@torch.no_grad()
def slope(site: Site, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o *l"] | None:
    """The derivative of the response at each place by the convolution's output there, under W.

    None where what follows the convolution mixes places or channels.
    """
    found = []
    out = convolve(inputs, site.filters, site.bias, site.geometry, site.backend)
    for seed in range(2):
        sign = torch.randint(0, 2, out.shape, generator=torch.Generator().manual_seed(seed))
        sign = (2 * sign - 1).to(out)
        with torch.enable_grad():
            value = out.detach().requires_grad_()
            answer = site.answer(value)
            if answer.shape != out.shape:
                return None
            (grad,) = torch.autograd.grad((answer * sign).sum(), [value])
        found.append(grad * sign)
    same = torch.allclose(*found, rtol=1e-3, atol=1e-4 * float(found[0].abs().max()))
    return found[0] if same else None


def parts_of(x: Float[Tensor, "n c h w"]) -> Iterator[Float[Tensor, "k c h w"]]:
    """Images some at a time, never one alone, of which there would be no other."""
    yield from x.tensor_split(math.ceil(len(x) / CHUNK))


def of_others(change: Float[Tensor, "m n r"]) -> Float[Tensor, "m n r"]:
    """What fields do to another image each, which filters can only undo by chance."""
    return change.roll(1, dims=1)


def derivatives(
    site: Site, x: Float[Tensor, "n c h w"], tangents: Float[Tensor, "m n c h w"]
) -> Float[Tensor, "m n r"]:
    """Central differences of the response along each change of images."""
    many = x.expand(len(tangents), -1, -1, -1, -1).flatten(0, 1)
    moves = STEP * tangents.flatten(0, 1)
    parts = zip(many.split(PASS), moves.split(PASS), strict=True)
    found = [
        (site.respond(site.input(one + move)) - site.respond(site.input(one - move))).flatten(1)
        for one, move in parts
    ]
    return torch.cat(found).unflatten(0, (len(tangents), len(x))) / (2 * STEP)
