"""Is a known change of images a step of a generator's latents, and what does its T undo there?

For each change f the step d from z = 0 is sought for which T(x, 0, d) comes nearest to f(x), over
training images and by L-BFGS from d = 0; its length is free. How near it comes, and how much T then
undoes of what the filters of that step change, is told of held-out images, beside the same of the
null's T at the step that is best for it: smooth fields resemble many changes a little.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.ceilings.ceiling import (
    RESAMPLES,
    chosen_of,
    measured,
    some_of,
)
from filtergan.ceilings.undoing import CHUNK, PLAIN
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.families.family import Family, Fixed
from filtergan.machine import telling
from filtergan.machine.storage import RowsLike
from filtergan.measures.ratios import ratio_interval
from filtergan.measures.statistics import interval
from filtergan.natural.natural_gan import NaturalGAN, null_of
from filtergan.natural.terms import squared_norm
from filtergan.runs.record import MeasureRecord
from filtergan.sites.site import require_images
from filtergan.walks.inverter import compensation
from filtergan.walks.lbfgs import minimise

FITTED = 128  # training images over which a step is sought: it has a number for each latent
EVALUATIONS = 30  # of T and its gradient
BOUND = 8.0  # of each latent, far out


@dataclass(frozen=True)
class LatentStep:
    """The step of latents that comes nearest to one change of images.

    Attributes:
        name: Of the change.
        step: d, from z = 0.
        share: 1 - ||T(x, 0, d) - f(x)||^2 / ||x - f(x)||^2, pooled over held-out images: how much
            of the change T makes there. Its null: the same of the null's T and its best step.
        compensation: Median over held-out images of the share of what the filters of d change in
            the response that T(x, 0, d) takes back; with the same null.
    """

    name: str
    step: Float[Tensor, " latent"]
    share: MeasureRecord
    compensation: MeasureRecord

    def __repr__(self) -> str:
        """The change, and how much of it T makes."""
        return f"LatentStep({self.name!r}: share {self.share}; undone {self.compensation})"

    @property
    def record(self) -> dict[str, Any]:
        """As records have it: plain values."""
        measures = {"share": self.share, "compensation": self.compensation}
        told = {name: one.model_dump(mode="json") for name, one in measures.items()}
        return {"step": self.step.tolist()} | told


def nearest_steps(
    gan: NaturalGAN,
    train: RowsLike,
    test: RowsLike,
    families: Iterable[str | Family] | None = None,
    config: CeilingConfig = PLAIN,
    seed: int = 0,
) -> dict[str, LatentStep]:
    """The steps of a generator's latents that come nearest to known changes of images.

    Args:
        gan: Trained, with its null.
        train: Pixels in [0, 1], as `rows_of` makes rows, on some of which steps are sought.
        test: Others, on some of which they are judged.
        families: By name, or families of one's own; by default all that apply to such images.
        config: Of how many images are held out.
        seed: Of the choice of images and resamples.

    Returns:
        Each change's by its name, in the order of the catalogue.

    Raises:
        UserError: There is no such family, the images are no pixels, or the generator has no null.
    """
    require_images(gan.site)
    null, device = null_of(gan), gan.site.filters.device
    held = some_of(test, config.test_images, seed, "held out").to(device)
    known = some_of(train, FITTED, seed, "latent steps").to(device)
    fixed = chosen_of(families, held.shape[1])
    found = {}
    with telling.progress(len(fixed), f"latents of {gan.name}", "families") as advance:
        for name, (_, one) in fixed.items():
            found[name] = _told(gan, null, known, held, one, seed)
            advance()
    return found


def nearest_step(
    gan: NaturalGAN, x: Float[Tensor, "n c h w"], wanted: Float[Tensor, "n c h w"]
) -> Float[Tensor, " latent"]:
    """The d for which T(x, 0, d) comes nearest to other images.

    Args:
        gan: With its transformer.
        x: Images, pixels in [0, 1].
        wanted: What they are to become.
    """
    whole = squared_norm(wanted - x).sum().clamp(min=1e-12)
    rest = x.new_zeros(len(x), gan.latent)

    @torch.enable_grad()
    def objective(step: Tensor) -> tuple[Tensor, Tensor]:
        step = step.detach().requires_grad_()
        made = gan.transformer(x, rest, step.reshape(1, -1).expand_as(rest))
        value = squared_norm(made - wanted).sum() / whole
        (gradient,) = torch.autograd.grad(value, step)
        return value.detach()[None], gradient

    start = x.new_zeros(1, 1, 1, gan.latent)
    step, _, _ = minimise(objective, start, EVALUATIONS, lambda g: g, bounds=(-BOUND, BOUND))
    return step.flatten()


def _told(
    gan: NaturalGAN, null: NaturalGAN, known: Tensor, held: Tensor, one: Fixed, seed: int
) -> LatentStep:
    wanted = one(held)
    direct, found = squared_norm(held - wanted), []
    for each in (gan, null):
        step = nearest_step(each, known, one(known))
        latents = step.expand(len(held), -1)
        made = each.transform(held, torch.zeros_like(latents), latents)
        found.append((step, squared_norm(made - wanted), _undone(each, held, made, step)))
    (step, after, undone), (_, null_after, null_undone) = found
    ratio, (low, high) = ratio_interval(after, direct)
    of_null = 1 - float(null_after.sum() / direct.sum())
    middle, null_middle = (float(values.nanquantile(0.5)) for values in (undone, null_undone))
    ends = interval(undone, statistic="median", resamples=RESAMPLES, seed=seed)
    return LatentStep(
        one.name,
        step.cpu(),
        measured(1 - ratio, (1 - high, 1 - low), len(held), of_null),
        measured(middle, ends, len(held), null_middle),
    )


@torch.no_grad()
def _undone(
    gan: NaturalGAN, x: Float[Tensor, "n c h w"], x_k: Float[Tensor, "n c h w"], step: Tensor
) -> Float[Tensor, " n"]:
    """The share of what the filters of a step change that images take back; NaN: it is nothing."""
    site, found = gan.site, []
    near, far = gan.draw(torch.stack([torch.zeros_like(step), step]))
    for plain, moved in zip(x.split(CHUNK), x_k.split(CHUNK), strict=True):
        h = site.input(plain)
        wanted = site.respond(h, near)
        before = squared_norm(site.respond(h, far) - wanted)
        after = squared_norm(site.respond(site.input(moved), far) - wanted)
        found.append(compensation(before, after))
    return torch.cat(found)
