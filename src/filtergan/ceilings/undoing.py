"""The filters that best undo one change of images: least squares, and Adam behind it.

Wanted are F = argmin E ||R(h(Tx), F) - R(h(x), W)||^2. At `conv` that is one system of linear
equations for all filters, with as many unknowns as a filter has weights. Behind it the solution
there, or W, is where a search begins whose steps are taken in coordinates in which the unfolded
site inputs are uncorrelated: plain gradients creep along the directions that inputs hardly have.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.machine import runtime
from filtergan.sites.convolution import Geometry, convolve, unfolded
from filtergan.sites.site import Site

RIDGE = 1e-6  # of the mean variance of an unfolded site input
WHITE = 1e-3  # the same, below which directions are not stretched to the length of others
PLACES = 100_000  # of unfolded site inputs in a system; more say nothing new
CHUNK = 50  # images unfolded, or answered, at once
PLAIN = CeilingConfig()


def undo(
    site: Site,
    inputs: Float[Tensor, "n i h w"],
    changed: Float[Tensor, "n i h w"],
    config: CeilingConfig = PLAIN,
    seed: int = 0,
) -> Float[Tensor, "o i kh kw"]:
    """The filters under which changed images cause the response that the images cause under W.

    Args:
        site: Of a convolution of two dimensions.
        inputs: h(x) of training images.
        changed: h(Tx) of the same.
        config: Of the search behind `conv`.
        seed: Of its minibatches.
    """
    system = System.of(inputs, changed, site.filters, site.geometry)
    solved = site.filters + system.solution(RIDGE)
    if site.point in ("conv", "activation") and not site.tail:
        return solved
    return _refined(site, inputs, changed, solved, system, config, seed)


@dataclass(frozen=True)
class System:
    """Normal equations of a change of filters, for each group of channels.

    Attributes:
        gram: Mean of P P' over places of the unfolded changed input P, [g, d, d].
        cross: Mean of P times what the convolution is to change by, [g, d, o / g].
        shape: Of the filters.
    """

    gram: Float[Tensor, "g d d"]
    cross: Float[Tensor, "g d o"]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, inputs: Tensor, changed: Tensor, filters: Tensor, geometry: Geometry) -> "System":
        """The equations of convolve(changed, filters + solution) = convolve(inputs, filters).

        Args:
            inputs: [n, i, h, w].
            changed: The same.
            filters: [o, i / g, kh, kw].
            geometry: Of the convolution.
        """
        g, d = geometry.groups, filters[0].numel()
        gram = filters.new_zeros(g, d, d, dtype=torch.float64)
        cross = filters.new_zeros(g, d, len(filters) // g, dtype=torch.float64)
        count = 0
        for x, y in zip(inputs.split(CHUNK), changed.split(CHUNK), strict=True):
            wanted = convolve(x - y, filters, None, geometry)
            rows = unfolded(y, filters.shape[2:], geometry).movedim(0, 2).flatten(2)
            targets = wanted.unflatten(1, (g, -1)).flatten(3).movedim(0, 2).flatten(2)
            gram += (rows @ rows.mT).double()
            cross += (rows @ targets.mT).double()
            count += rows.shape[2]
            if count >= max(PLACES, 20 * d):
                break
        return cls(gram / count, cross / count, tuple(filters.shape))

    def solution(self, ridge: float) -> Float[Tensor, "o i kh kw"]:
        """The change of filters that leaves least, in the filters' layout."""
        found = torch.linalg.solve(self._raised(ridge), self.cross)
        return found.mT.reshape(self.shape).float()

    def white(self, ridge: float) -> Float[Tensor, "g d d"]:
        """Maps coordinates to filters: those of length one change the convolution by one."""
        return torch.linalg.inv(torch.linalg.cholesky(self._raised(ridge))).float()

    def _raised(self, ridge: float) -> Tensor:
        mean = self.gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        eye = torch.eye(self.gram.shape[1], dtype=self.gram.dtype, device=self.gram.device)
        return self.gram + (ridge * mean + 1e-12) * eye


def left(
    site: Site, changed: Tensor, wanted: Tensor, filters: Tensor | None = None
) -> Float[Tensor, " n"]:
    """||R(h, F) - r||^2 of each image.

    Args:
        site: The site.
        changed: h.
        wanted: r.
        filters: F; None for W.
    """
    with torch.no_grad():
        parts = zip(changed.split(CHUNK), wanted.split(CHUNK), strict=True)
        found = [(site.respond(h, filters) - r).flatten(1).square().sum(1) for h, r in parts]
    return torch.cat(found)


def responses(site: Site, inputs: Tensor, filters: Tensor | None = None) -> Tensor:
    """R(h, F) of many images; W where no filters are given."""
    with torch.no_grad():
        return torch.cat([site.respond(part, filters) for part in inputs.split(CHUNK)])


@torch.enable_grad()
def _refined(
    site: Site,
    inputs: Tensor,
    changed: Tensor,
    solved: Tensor,
    system: System,
    config: CeilingConfig,
    seed: int,
) -> Tensor:
    """Adam from the better of W and the solution at `conv`; what is left falls, or that stays."""
    wanted = responses(site, inputs)
    starts = [site.filters, solved]
    before = [float(left(site, changed, wanted, start).sum()) for start in starts]
    start = starts[before.index(min(before))]
    scale = float(wanted.flatten(1).square().sum(1).mean())
    white = system.white(WHITE)
    groups, d = white.shape[:2]
    with torch.no_grad():
        level = convolve(inputs[:CHUNK], site.filters, None, site.geometry).std()
    moved = torch.zeros(groups, len(start) // groups, d, device=start.device, requires_grad=True)
    rate = config.rate * float(level) / math.sqrt(d)
    adam = torch.optim.Adam([moved], lr=rate, betas=(0.9, 0.99))
    drawn = runtime.generator(seed, "minibatches")
    for step in range(config.steps):
        adam.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / config.steps)) / 2
        some = torch.randint(len(inputs), (config.batch,), generator=drawn).to(inputs.device)
        filters = start + (moved @ white).reshape(start.shape)
        loss = (site.respond(changed[some], filters) - wanted[some]).square().sum()
        (moved.grad,) = torch.autograd.grad(loss / (config.batch * scale), [moved])
        adam.step()
    found = (start + (moved @ white).reshape(start.shape)).detach()
    return found if float(left(site, changed, wanted, found).sum()) < min(before) else start
