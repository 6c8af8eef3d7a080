"""Ceilings: how much of a known change of images the filters of a site can undo at all.

Filters are fitted to a change of images. What they leave of its effect is the least, but a longer
step the same way changes the response by more, of which the images may take back a larger share. So
the ceiling is told at the best length of that step. Other steps may be better still, where images
change the site's inputs much or behind `conv`: it is the most that was found, no bound by proof.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.ceilings.tabled import Tabled, cells
from filtergan.ceilings.undoing import CHUNK, PLAIN, left, responses, undo
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.families.catalogue import FAMILIES, to_ask
from filtergan.families.family import Family, Fixed
from filtergan.images.domain import as_pixels
from filtergan.machine import runtime, telling
from filtergan.machine.storage import RowsLike, rows_of
from filtergan.measures.ratios import ratio_interval
from filtergan.measures.statistics import interval
from filtergan.runs.record import CeilingRecord, MeasureRecord
from filtergan.sites.site import Site, require_images
from filtergan.walks.inverter import compensation

MEMORY = 2**28  # bytes of the site inputs of the training images; fewer images where more are due
DRAWS = 3  # of random filters
SCALES = 2.0**-12, 2.0**6  # factors of their change, between which the one sought lies
TOLERANCE = 1e-3  # of it, relative
SCALE_LOOKS = 8  # passes that finding it usually takes
LENGTHS = -1.0, 4.0  # powers of 2: of the fitted change of filters, among which the best is sought
LOOKS = 12  # at most, at lengths
LOOKED_AT = 4 * CHUNK  # training images
RESAMPLES = 1000


@dataclass(frozen=True)
class Ceiling:
    """What the filters fitted to one transformation reach on held-out images.

    With F the filters, T the transformation, h the site input and R the response:

    Attributes:
        name: Of the transformation.
        family: The family that it belongs to.
        filters: F [o, i, kh, kw], which leave least of what T changes.
        image_change: Median of ||Tx - x|| / ||x||.
        response_change: Of the response to Tx under W, over that to x, pooled.
        compensation: Median over images of 1 - ||R(h(Tx), F) - R(h(x), W)||^2 /
            ||R(h(x), F) - R(h(x), W)||^2: the share of what the filters change that the change of
            images takes back. Its null: random filters that change the response as much.
        share: 1 - ||R(h(Tx), F) - R(h(x), W)||^2 / ||R(h(Tx), W) - R(h(x), W)||^2, pooled: the
            share of what the images change that the filters take back; with the same null.
        at_best: The compensation of W + s (F - W), with s chosen on training images, where that of
            all together is largest; its null changes the response as much as these. None: not
            asked for, or of a record made before it was.
    """

    name: str
    family: str
    filters: Float[Tensor, "o i kh kw"]
    image_change: float
    response_change: float
    compensation: MeasureRecord
    share: MeasureRecord
    at_best: MeasureRecord | None = None

    def __repr__(self) -> str:
        """The transformation, and what is undone of it."""
        return f"Ceiling({self.name!r}: undone {self.record.undone})"

    @property
    def row(self) -> dict[str, Any]:
        """As a table has it."""
        changes = {"image_change": self.image_change, "response_change": self.response_change}
        shares = cells("compensation", self.compensation) | cells("share", self.share)
        if self.at_best is not None:
            shares = cells("at_best", self.at_best) | shares
        return {"family": self.family} | shares | changes

    @property
    def record(self) -> CeilingRecord:
        """As records have it."""
        return CeilingRecord(
            family=self.family,
            image_change=self.image_change,
            response_change=self.response_change,
            compensation=self.compensation,
            share=self.share,
            at_best=self.at_best,
        )

    @property
    def said(self) -> dict[str, Any]:
        """All but its name and filters, as JSON has it."""
        return self.record.model_dump(mode="json")

    @classmethod
    def restored(cls, name: str, said: Any, filters: Tensor) -> "Ceiling":
        """What `said` said."""
        one = CeilingRecord.model_validate(said)
        image, response = (
            math.nan if change is None else change  # which JSON cannot say
            for change in (one.image_change, one.response_change)
        )
        shares = one.compensation, one.share, one.at_best
        return cls(name, one.family, filters, image, response, *shares)


class Ceilings(Tabled[Ceiling]):
    """Ceilings by the name of the change of images.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> found = fg.ceilings_of(site, images, torch.rand(32, 1, 8, 8), ["brightness"])
        >>> found.to_dataframe()[["at_best", "at_best_null"]].shape
        (1, 2)
    """

    kind = Ceiling


def ceilings_of(
    site: Site,
    train: RowsLike,
    test: RowsLike,
    families: Iterable[str | Family] | None = None,
    config: CeilingConfig = PLAIN,
    seed: int = 0,
) -> Ceilings:
    """The ceilings of known families at a site.

    Args:
        site: Of a network of images, its convolution of two dimensions.
        train: Pixels in [0, 1], as `rows_of` makes rows; the filters are fitted on some of them.
        test: Others, on some of which they are judged.
        families: By name, or families of one's own; by default all that apply to such images.
        config: Of images and of the search behind `conv`.
        seed: Of the choice of images, minibatches, random filters and resamples.

    Returns:
        Each transformation's by its name, in the order of the catalogue; `to_dataframe` makes a
        table of them.

    Raises:
        UserError: There is no such family, the images are no pixels, or the convolution is not of
            two dimensions.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> fg.ceilings_of(site, images, torch.rand(32, 1, 8, 8), ["brightness"])
        {'brightness x0.7': Ceiling('brightness x0.7': undone 1.00 [1.00, 1.00], null ...)}
    """
    asked = Asked.of(site, train, test, config, seed)
    fixed = chosen_of(families, asked.train.shape[1])
    with telling.progress(len(fixed), f"ceilings of {site.name}", "families") as advance:
        found = Ceilings()
        for name, (family, one) in fixed.items():
            found[name] = asked.ceiling(family.name, one, config)
            advance()
    return found


def chosen_of(
    families: Iterable[str | Family] | None, channels: int
) -> dict[str, tuple[Family, Fixed]]:
    """The transformations of families, by name, each with its family.

    Args:
        families: By name, or families of one's own; None: all that apply.
        channels: Of the images.

    Raises:
        UserError: There is no such family, or it is no change of such images.
    """
    if families is None:
        chosen = [family for family in FAMILIES.values() if family.applies(channels)]
    else:
        chosen = [to_ask(f) if isinstance(f, str) else f for f in families]
    for family in chosen:
        family.require(channels)
    return {one.name: (family, one) for family in chosen for one in family.fixed}


@dataclass(frozen=True)
class Asked:
    """A site and the images that it is asked with, pixels on its device.

    Attributes:
        site: The site.
        train: Images x on which filters are fitted.
        test: Held-out images.
        inputs: h(x) of the training images.
        held_out: h(x) of the held-out ones.
        wanted: R(h(x), W) of the held-out ones.
        seed: Of all that is random.
    """

    site: Site
    train: Float[Tensor, "n c h w"]
    test: Float[Tensor, "m c h w"]
    inputs: Tensor
    held_out: Tensor
    wanted: Tensor
    seed: int

    @classmethod
    def of(
        cls, site: Site, train: RowsLike, test: RowsLike, config: CeilingConfig, seed: int
    ) -> "Asked":
        """Choose images at random, as many as are needed and fit.

        Raises:
            UserError: They are no pixels, or the convolution is not of two dimensions.
        """
        require_images(site)
        held = some_of(test, config.test_images, seed, "held out").to(site.filters.device)
        held_out = site_inputs(site, held)
        fitting = MEMORY // (4 * held_out[0].numel())
        count = min(config.train_images, max(CHUNK, fitting))
        known = some_of(train, count, seed, "fitted").to(held)
        inputs = site_inputs(site, known)
        return cls(site, known, held, inputs, held_out, responses(site, held_out), seed)

    def ceiling(self, family: str, one: Fixed, config: CeilingConfig, best: bool = True) -> Ceiling:
        """Fit the filters of one transformation, and judge them, at the best length if wanted."""
        site, changed = self.site, one(self.test)
        altered = site_inputs(site, one(self.train))
        filters = undo(site, self.inputs, altered, config, self.seed)
        longer = at_best_length(site, self.inputs, altered, filters) if best else None
        del altered  # as much memory as the training images take
        moved = site_inputs(site, changed)
        direct = left(site, moved, self.wanted)
        own, after, null, null_after = self._undone(filters, moved)
        at_best = None
        if longer is not None:
            longest, _, null_of_longest, _ = self._undone(longer, moved)
            at_best = self._median(longest, null_of_longest)
        norms = self.wanted.flatten(1).square().sum(1)
        size = (changed - self.test).flatten(1).norm(dim=1) / self.test.flatten(1).norm(dim=1)
        return Ceiling(
            one.name,
            family,
            filters,
            float(size.nanquantile(0.5)),
            float((direct.sum() / norms.sum()).sqrt()),
            self._median(own, null),
            self._pooled(after, direct, null_after),
            at_best,
        )

    def _undone(self, filters: Tensor, moved: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compensation of each image and what is left of it; both of all random filters."""
        before, after = (left(self.site, h, self.wanted, filters) for h in (self.held_out, moved))
        null_before, null_after = self._null(filters, moved)
        null = compensation(null_before, null_after)
        return compensation(before, after), after, null, null_after

    def _null(self, filters: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        """What random filters leave before and after the change of images, of all draws."""
        found = []
        for draw in range(DRAWS):
            random = random_filters(self.site, self.held_out, filters, self.seed, draw)
            found.append([left(self.site, h, self.wanted, random) for h in (self.held_out, moved)])
        return torch.cat([b for b, _ in found]), torch.cat([a for _, a in found])

    def _median(self, values: Tensor, null: Tensor) -> MeasureRecord:
        ends = interval(values, statistic="median", resamples=RESAMPLES, seed=self.seed)
        value, of_null = (float(v.nanquantile(0.5)) for v in (values, null))
        return measured(value, ends, len(values), of_null)

    def _pooled(self, after: Tensor, direct: Tensor, null_after: Tensor) -> MeasureRecord:
        ratio, (low, high) = ratio_interval(after, direct)
        null = 1 - float(null_after.sum() / (DRAWS * direct.sum()))
        return measured(1 - ratio, (1 - high, 1 - low), len(after), null)


@torch.no_grad()
def site_inputs(site: Site, images: Tensor) -> Tensor:
    """H of many images."""
    return torch.cat([site.input(part) for part in images.split(CHUNK)])


def at_best_length(
    site: Site, inputs: Tensor, changed: Tensor, filters: Tensor
) -> Float[Tensor, "o i kh kw"]:
    """W with as much of a fitted change of filters as lets the images take back the largest share.

    Where the response is linear in the filters and T changes no second moments of its inputs, no
    other filters undo more: they undo rho, the share that the fitted ones take back, at 1 / rho of
    their change.

    Args:
        site: The site.
        inputs: h(x) of training images, of which some are used.
        changed: h(Tx) of the same.
        filters: F, fitted.
    """
    from scipy.optimize import minimize_scalar  # takes half a second to import

    real, change = site.filters, filters - site.filters
    some, moved = inputs[:LOOKED_AT], changed[:LOOKED_AT]
    wanted = responses(site, some)

    def stays(length: float) -> float:
        """What of the effect of the filters the images leave, of all together."""
        longer = real + 2.0**length * change
        before, after = (float(left(site, h, wanted, longer).sum()) for h in (some, moved))
        return after / before if before else math.inf

    found = minimize_scalar(stays, bounds=LENGTHS, method="bounded", options={"maxiter": LOOKS})
    return real + 2.0 ** float(found.x) * change if found.fun < stays(0.0) else filters


def random_filters(
    site: Site, inputs: Tensor, filters: Tensor, seed: int, draw: int
) -> Float[Tensor, "o i kh kw"]:
    """Filters that differ from W at random, and change the response as much as others do.

    Every filter differs by as large a part of itself: which are changed is left to chance as well.

    Args:
        site: The site.
        inputs: h(x), of which some are used.
        filters: The others.
        seed: Of the random numbers.
        draw: Which draw.
    """
    noise = torch.randn(filters.shape, generator=runtime.generator(seed, "random filters", draw))
    sizes = site.filters.flatten(1).norm(dim=1)[:, None, None, None]
    return as_large(site, inputs, filters, noise.to(filters) * sizes / noise[0].numel() ** 0.5)


@torch.no_grad()
def as_large(
    site: Site, inputs: Tensor, filters: Tensor, change: Tensor
) -> Float[Tensor, "o i kh kw"]:
    """W with so much of a change that the response changes as much as under other filters.

    Args:
        site: The site.
        inputs: h(x), of which some are used.
        filters: The others.
        change: Of W, of any size.
    """
    from scipy.optimize import root_scalar  # takes half a second to import

    real, some = site.filters, inputs[: 2 * CHUNK]
    wanted = responses(site, some)

    @cache
    def moved(scale: float) -> float:
        return float(left(site, some, wanted, real + scale * change).sum().sqrt())

    aim = float(left(site, some, wanted, filters).sum().sqrt())
    least, most = SCALES
    if not math.isfinite(aim) or moved(least) >= aim:
        return real + least * change
    if moved(most) <= aim:
        return real + most * change
    # Nearly a straight line in the scale, so few steps of the secant lead there.
    found = root_scalar(lambda s: moved(s) - aim, bracket=SCALES, rtol=TOLERANCE)
    return real + float(found.root) * change


def some_of(images: RowsLike, count: int, seed: int, what: str) -> Float[Tensor, "n c h w"]:
    """At most so many of the images, at random.

    Raises:
        UserError: They are no pixels.
    """
    rows = rows_of(images)
    return as_pixels(rows[runtime.sample(len(rows), count, seed, "ceilings", what)])


def measured(value: float, ends: tuple[float, float], n: int, null: float) -> MeasureRecord:
    """A measure in the record's form, beside its null; the higher, the better."""
    return MeasureRecord(value=value, ci95=ends, n=n, null=null, better="higher")
