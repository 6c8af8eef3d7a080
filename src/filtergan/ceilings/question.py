"""A directed question: is this family an invariance of this network at this layer?

First, does anything of it arrive in the layer's response? If not, it was dropped before, and is
ignored. Else, can the filters undo it there at all (the ceiling)? Where they can, the filters that
undo it best change the layer's response as the family does; then, how much of that change reaches
the logits, over what reaches them where the same changes are handed to other filters at random, as
large at the layer? A network that has learned to ignore the family passes hardly more of it on, and
keeps its labels: what takes them is not ignored, even where exchanged changes do more harm still.

Changes handed around see the same inputs, and so come and go with the images as those of the family
do; only what they mean to the later layers is lost. Changes of the filters that are random in
themselves are a weaker comparison: by it, networks trained to ignore brightness or blur did not.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from filtergan.ceilings.ceiling import RESAMPLES, Asked, Ceiling, as_large, chosen_of
from filtergan.ceilings.tabled import Tabled, cells
from filtergan.ceilings.undoing import CHUNK, PLAIN
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.families.family import Family, Fixed
from filtergan.machine import runtime, telling
from filtergan.machine.storage import RowsLike
from filtergan.measures.gates import LABELS_KEPT
from filtergan.measures.ratios import jackknife_reach
from filtergan.measures.statistics import interval
from filtergan.natural.terms import squared_norm
from filtergan.runs.record import MeasureRecord
from filtergan.sites.site import Site
from filtergan.sites.wrappers import centred, require_logits

ARRIVED = 0.01
"""Change of the response over that of the image, both relative, that a family must make; with less,
nothing of it arrives at the layer, and it is ignored."""
ASKABLE = 0.3
"""Compensation that the fitted filters must exceed, with its interval; below, they do other things.
"""
IGNORED = 1.25
"""Times that what undoes the family reaches the logits more than exchanged filters do: fewer, and
the network ignores the family; more, and it does not."""
DRAWS = 32  # of exchanged filters
OF_CHANCE = 0.95  # share of the exchanged ones that pass less on than the null says

Verdict = Literal["yes", "no", "undecided", "cannot be asked here"]


@dataclass(frozen=True)
class Answer:
    """What was found of one transformation.

    Attributes:
        name: Of the transformation.
        ceiling: What the filters fitted to it undo.
        passed: Relative change of the logits over that of the response, under these filters, over
            the same of exchanged ones; its interval is over images and exchanges, its n the number
            of images. Its null is what about one in twenty of these exceeds among themselves.
        labels_kept: Share of images whose label the network keeps under these filters; its null
            that under exchanged ones.
    """

    name: str
    ceiling: Ceiling
    passed: MeasureRecord
    labels_kept: MeasureRecord

    def __repr__(self) -> str:
        """The transformation, the verdict and what decides."""
        ceiling = f"ceiling {self.ceiling.compensation}"
        return f"Answer({self.name!r}: {self.verdict}; passed on {self.passed}; {ceiling})"

    @property
    def measures(self) -> dict[str, MeasureRecord]:
        """What decides, by name."""
        return {
            "ceiling": self.ceiling.compensation,
            "passed": self.passed,
            "labels_kept": self.labels_kept,
        }

    @property
    def row(self) -> dict[str, Any]:
        """As a table has it."""
        row: dict[str, Any] = {"ignored": self.verdict}
        for name, one in self.measures.items():
            row |= cells(name, one)
        return row

    @property
    def filters(self) -> Float[Tensor, "o i kh kw"]:
        """Those that undo it best."""
        return self.ceiling.filters

    @property
    def said(self) -> dict[str, Any]:
        """All but its name and filters, as JSON has it."""
        own = {"passed": self.passed, "labels_kept": self.labels_kept}
        told = {name: one.model_dump(mode="json") for name, one in own.items()}
        return {"ceiling": self.ceiling.said, **told}

    @classmethod
    def restored(cls, name: str, said: Any, filters: Tensor) -> "Answer":
        """What `said` said."""
        passed, kept = (MeasureRecord.model_validate(said[n]) for n in ("passed", "labels_kept"))
        return cls(name, Ceiling.restored(name, said["ceiling"], filters), passed, kept)

    @property
    def arrived(self) -> float:
        """Change of the response over that of the image, both relative."""
        moved = self.ceiling.image_change
        return self.ceiling.response_change / moved if moved else math.nan

    @property
    def verdict(self) -> Verdict:
        """Whether the family is an invariance of the network at the layer."""
        ceiling, kept = self.ceiling.compensation, self.labels_kept.value
        return judged(ceiling.ci95, self.passed.ci95, kept, self.arrived)


class Answers(Tabled[Answer]):
    """Answers by the name of the change of images.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> found = fg.ask(site, images, torch.rand(32, 1, 8, 8), ["brightness"])
        >>> list(found.to_dataframe()["ignored"]) == [found["brightness x0.7"].verdict]
        True
    """

    kind = Answer


def judged(
    ceiling: Sequence[float | None],
    passed: Sequence[float | None],
    kept: float | None,
    arrived: float | None = None,
) -> Verdict:
    """The answer that two intervals and the labels give.

    Args:
        ceiling: Ends of the interval of the ceiling's compensation.
        passed: Ends of that of what is passed on.
        kept: Share of labels kept under the filters that undo the change.
        arrived: As `Answer.arrived`; None: not known, and taken for enough.
    """
    if arrived is not None and arrived < ARRIVED:
        return "yes"
    (low, _), (least, most) = ceiling, passed
    if low is None or least is None or most is None or kept is None or low < ASKABLE:
        return "cannot be asked here"
    if least > IGNORED or kept < LABELS_KEPT:
        return "no"
    return "yes" if most < IGNORED else "undecided"


def ask(
    site: Site,
    train: RowsLike,
    test: RowsLike,
    families: Iterable[str | Family] | None = None,
    config: CeilingConfig = PLAIN,
    seed: int = 0,
) -> Answers:
    """Ask a network of known families at a site.

    Args:
        site: Of a network of images, its convolution of two dimensions, with logits behind it.
        train: Pixels in [0, 1], as `rows_of` makes rows; the filters are fitted on some of them.
        test: Others, on some of which the answer is given.
        families: By name, or families of one's own; by default all that apply to such images.
        config: Of images and of the search behind `conv`.
        seed: Of all that is random.

    Returns:
        Each transformation's by its name, in the order of the catalogue; `to_dataframe` makes a
        table of them.

    Raises:
        UserError: As for `ceilings_of`; or the network puts out no logits.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> fg.ask(site, images, torch.rand(32, 1, 8, 8), ["brightness"])
        {'brightness x0.7': Answer('brightness x0.7': ...)}
    """
    questions = Questions.of(site, train, test, config, seed)
    fixed = chosen_of(families, questions.asked.train.shape[1])
    found = Answers()
    with telling.progress(len(fixed), f"questions to {site.name}", "families") as advance:
        for name, (family, one) in fixed.items():
            found[name] = questions.answer(family.name, one)
            advance()
    return found


@dataclass(frozen=True)
class Questions:
    """A network that is asked at one site, of one change of images after another.

    Attributes:
        asked: The site and the images that it is asked with.
        plain: The logits of the held-out images.
        config: Of the search for filters.
    """

    asked: Asked
    plain: Float[Tensor, "m classes"]
    config: CeilingConfig

    @classmethod
    def of(
        cls, site: Site, train: RowsLike, test: RowsLike, config: CeilingConfig, seed: int
    ) -> "Questions":
        """Choose images, and see what the network makes of them.

        Raises:
            UserError: As for `ask`.
        """
        asked = Asked.of(site, train, test, config, seed)
        with torch.no_grad():
            plain = [_logits(site, x, r, site.filters) for x, _, r in _parts(asked)]
        return cls(asked, torch.cat(plain), config)

    def answer(self, family: str, one: Fixed) -> Answer:
        """What becomes of one change of images."""
        asked = self.asked
        ceiling = asked.ceiling(family, one, self.config, best=False)
        own = self._passage(ceiling.filters)
        drawn = _Passage.joined(self._passage(f) for f in self._exchanged(ceiling.filters))
        value, ends = _passed_on(own, drawn)
        if len(ceiling.filters) == 1:  # which has nothing to exchange
            value, ends = math.nan, (math.nan, math.nan)
        null = _ratio(drawn, drawn).nanquantile(OF_CHANCE)
        kept = float(own.kept.float().mean())
        kept_ends = interval(own.kept, resamples=RESAMPLES, seed=asked.seed)
        others, n = float(drawn.kept.float().mean()), len(asked.held_out)
        passed = MeasureRecord(value=value, ci95=ends, n=n, null=float(null), better="neither")
        labels = MeasureRecord(value=kept, ci95=kept_ends, n=n, null=others, better="higher")
        return Answer(ceiling.name, ceiling, passed, labels)

    def _exchanged(self, filters: Tensor) -> Iterator[Tensor]:
        site, inputs, seed = self.asked.site, self.asked.held_out, self.asked.seed
        for draw in range(DRAWS):
            yield exchanged_filters(site, inputs, filters, seed, draw)

    @torch.no_grad()
    def _passage(self, filters: Tensor) -> "_Passage":
        site, plain = self.asked.site, self.plain
        layer, logits = [], []
        for x, h, r in _parts(self.asked):
            response = site.respond(h, filters)
            layer.append(squared_norm(response - r))
            logits.append(_logits(site, x, response, filters))
        changed = torch.cat(logits)
        moved = squared_norm(centred(changed - plain))
        return _Passage(torch.cat(layer), moved, changed.argmax(1) == plain.argmax(1))


def exchanged_filters(
    site: Site, inputs: Tensor, filters: Tensor, seed: int, draw: int
) -> Float[Tensor, "o i kh kw"]:
    """W with the changes of other filters, exchanged among them, as large in the response.

    At least one filter has another's, if there is another.

    Args:
        site: The site.
        inputs: h(x), of which some are used.
        filters: Those whose changes are exchanged.
        seed: Of the exchange.
        draw: Which draw.
    """
    rng, count = runtime.generator(seed, "exchange", draw), len(filters)
    order = torch.randperm(count, generator=rng)
    while count > 1 and bool((order == torch.arange(count)).all()):
        order = torch.randperm(count, generator=rng)
    change = (filters - site.filters)[order.to(filters.device)]
    return as_large(site, inputs, filters, change)


def _parts(asked: Asked) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Held-out images x, h(x) and R(h(x), W), some at a time."""
    whole = asked.test, asked.held_out, asked.wanted
    return zip(*(tensor.split(CHUNK) for tensor in whole), strict=True)


def _logits(site: Site, x: Tensor, response: Tensor, filters: Tensor) -> Tensor:
    """What the network puts out under filters that cause a response.

    Where something passes around the response it sees the filters too, so all of it runs anew.
    """
    if site.straight:
        return require_logits(site.output(response=response))
    return require_logits(site.output(x, filters=filters))


@dataclass(frozen=True)
class _Passage:
    """What filters do to each image: squared changes of response and centred logits; the label."""

    layer: Float[Tensor, "*draws n"]
    logits: Float[Tensor, "*draws n"]
    kept: Bool[Tensor, "*draws n"]

    @classmethod
    def joined(cls, of_draws: Iterable["_Passage"]) -> "_Passage":
        """Those of several sets of filters."""
        parts = zip(*((one.layer, one.logits, one.kept) for one in of_draws), strict=True)
        return cls(*(torch.stack(part) for part in parts))


def _ratio(own: _Passage, others: _Passage) -> Float[Tensor, "*draws"]:
    """Root of what reaches the logits over the layer's, over the same of others on average."""
    alone = own.logits.double().sum(-1) / own.layer.double().sum(-1)
    return (alone * others.layer.double().sum() / others.logits.double().sum()).sqrt()


def _passed_on(own: _Passage, others: _Passage) -> tuple[float, tuple[float, float]]:
    """What is passed on, and a 95 % interval.

    The interval is that of the logarithm, by the jackknife over images and over exchanges.
    """
    value = float(_ratio(own, others))
    if value == 0:
        return 0.0, (0.0, 0.0)  # nothing at all, of which there is no logarithm
    of_images = torch.stack([own.logits, own.layer, others.logits.mean(0), others.layer.mean(0)])
    of_draws = torch.stack([others.logits.sum(1), others.layer.sum(1)])
    sign = torch.tensor([0.5, -0.5, -0.5, 0.5], dtype=torch.float64, device=of_images.device)
    images, draws = (part.double() for part in (of_images, of_draws))
    logs = [(part.sum(1, keepdim=True) - part).log() for part in (images, draws)]
    reach = jackknife_reach(sign @ logs[0], sign[2:] @ logs[1])
    factor = float(torch.tensor(reach).exp())
    return value, (value / factor, value * factor)
