"""What a set of recovered images shows, whatever made them: a generator, its null, a reference."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.classifiers.fitting import predict
from filtergan.machine import distributed, runtime, telling
from filtergan.machine.storage import Subset
from filtergan.measures.explained import explained_all, stroke_widths
from filtergan.measures.fidelity import two_sample
from filtergan.measures.inversion import independent_changes
from filtergan.measures.locality import locality
from filtergan.measures.manifold import divergence, judges_agree, manifold_percentile
from filtergan.measures.morphometry import morphometry, topology_changed, within_class_sd
from filtergan.measures.registry import REGISTRY, over_groups, result, summary
from filtergan.measures.statistics import interval
from filtergan.measures.traversals import labels_kept
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import Found, MeasureRecord
from filtergan.study.materials import Materials

NEIGHBOURS = 20000  # training images among which the nearest is sought
HELD_OUT = 2000  # test images whose distances to these are the scale of the manifold's percentiles
SPREAD = 1000  # test images from which the spread of a morphometric within a class is taken
LEAST = 20  # other test images without which recovered ones cannot be told from them
PerPoint = dict[str, Float[Tensor, "n p"]]


@dataclass
class ImageMeasures:
    """The measured test images, and all that is needed to judge images recovered from them.

    Attributes:
        run: The run directory.
        materials: Images, network and judges.
        index: The measured test images.
        groups: Which of them share a z and its points.
        seed: Of the measures.
        tick: Called with the number of recovered images that were measured.
    """

    run: RunDirectory
    materials: Materials
    index: Int64[Tensor, " n"]
    groups: Int64[Tensor, " n"]
    seed: int
    tick: telling.Tick = lambda images: None

    def __post_init__(self) -> None:  # noqa: D105
        test = self.materials.dataset.test
        self.x = test.pixels(self.index)
        self.labels = test.labels[self.index]
        rest = torch.ones(len(test), dtype=torch.bool)
        rest[self.index] = False
        order = torch.randperm(len(test), generator=runtime.generator(self.seed, "other images"))
        self.others = order[rest[order]]

    @property
    def grey(self) -> bool:
        """Whether strokes can be measured."""
        return self.x.shape[1] == 1

    @property
    def not_measured(self) -> dict[str, str]:
        """What does not apply to these images, and why."""
        reasons = {}
        if not self.grey:
            why = "the images are in colour; stroke width and morphometry need grey strokes"
            reasons["explained_*width*"] = why
            reasons["slope_*, morphometry_r2_*, topology_changed"] = why
        if len(self.others) < LEAST:
            reasons["image_two_sample_accuracy"] = (
                f"too few test images are left beside those measured ({len(self.others)} of the "
                f"{LEAST} needed); give more test images or a smaller traversal.measured_images"
            )
        return reasons

    @cached_property
    def logits(self) -> Float[Tensor, "n classes"]:
        """The studied network's, of x."""
        return predict(self.materials.network, self.x, device=self.materials.device)

    @cached_property
    def judged(self) -> Float[Tensor, "judges n classes"]:
        """The judges' logits of x."""
        return self.materials.judges.logits(self.x)

    @cached_property
    def shape(self) -> Float[Tensor, "n m"]:
        """Morphometry of x."""
        return morphometry(self.x)

    @cached_property
    def widths(self) -> Float[Tensor, "n r 1 h w"]:
        """The test images x at all stroke widths that are searched."""
        return stroke_widths(self.x)

    @cached_property
    def spread(self) -> Float[Tensor, " m"]:
        """Standard deviation of each morphometric within a class; NaN where it does not vary."""
        test = self.materials.dataset.test
        some = runtime.sample(len(test), SPREAD, self.seed, "spread")
        found = within_class_sd(morphometry(test.pixels(some)), test.labels[some])
        return torch.where(found > 0, found, torch.nan)

    @cached_property
    def manifold(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features and labels of training images, and of test images."""
        train, test = self.materials.dataset.train, self.materials.dataset.test
        part = runtime.sample(len(train), NEIGHBOURS, self.seed, "neighbours")
        held = runtime.sample(len(test), HELD_OUT, self.seed, "held out")
        features = self.materials.judges.features
        return (
            features(Subset(train.images, part)),
            train.labels[part],
            features(Subset(test.images, held)),
            test.labels[held],
        )

    def labels_of(self, x_k: Float[Tensor, "n p c h w"]) -> PerPoint:
        """What the network and the judges make of recovered images, [image, point] each."""
        n, p = x_k.shape[:2]
        flat, network = x_k.flatten(0, 1), self.materials.network
        logits = predict(network, flat, device=self.materials.device).unflatten(0, (n, p))
        judged = self.materials.judges.logits(flat).unflatten(1, (n, p))
        return {
            "labels_kept": labels_kept(self.logits[:n, None], logits).float(),
            "labels_kept_judges": judges_agree(self.judged[:, :n], judged),
            "judges_divergence": divergence(self.judged[:, :n], judged).float(),
        }

    def points(self, x_k: Float[Tensor, "n p c h w"]) -> PerPoint:
        """Measures that every recovered image has by itself, [image, point] each."""
        n, p = x_k.shape[:2]
        x, flat = self.x[:n], x_k.flatten(0, 1)
        owner = torch.arange(n).repeat_interleave(p)
        features = self.materials.judges.features(flat).unflatten(0, (n, p))
        found = self.labels_of(x_k)
        found |= {m.name: m.of_images(x, x_k) for m in REGISTRY.values() if m.of_images}
        percentile = manifold_percentile(features, self.labels[:n], *self.manifold)
        found["manifold_percentile"] = percentile
        widths = self.widths[:n] if self.grey else None
        explained = explained_all(x, flat, owner, widths=widths, over=distributed.spread)
        found |= {f"explained_{f}": v.unflatten(0, (n, p)) for f, v in explained.items()}
        if self.grey:
            shape = morphometry(flat).unflatten(0, (n, p))
            found["topology_changed"] = topology_changed(self.shape[:n, None], shape)
            found["shape"] = shape
        self.tick(n * p)
        return {name: values.float() for name, values in found.items()}

    def summarise(self, points: PerPoint) -> Found:
        """Means (or medians) of measures per point, with intervals over groups of images."""
        found: Found = {}
        for name, values in points.items():
            if name != "shape":
                found[name] = self.summary(name, values)
        found["on_manifold_share"] = self.summary(
            "on_manifold_share",
            torch.where(
                points["manifold_percentile"].isnan(),
                torch.nan,
                (points["manifold_percentile"] <= 0.95).float(),
            ),
        )
        return found

    def summary(
        self, name: str, values: Float[Tensor, "n p"], null: float | None = None
    ) -> MeasureRecord:
        """One measure of the first n images in the record's form, groups as clusters."""
        resamples, groups = self.run.config.measure.resamples, self.groups[: len(values)]
        return summary(name, values, null, groups, resamples=resamples, seed=self.seed)

    def together(self, x_k: Float[Tensor, "n p c h w"]) -> Found:
        """Measures of a set of recovered images as a whole."""
        n = len(x_k)
        x, groups = self.x[:n], self.groups[:n]
        change = (x_k - x[:, None]).flatten(2)
        name = "independent_image_changes"
        found = {name: over_groups(name, independent_changes(change, groups), groups)}
        found |= self._locality(x, x_k, groups)
        return found | self._told_apart(x_k)

    def _locality(self, x: Tensor, x_k: Tensor, groups: Tensor) -> Found:
        found: Found = {}
        for name, both in locality(x, x_k, groups, seed=self.seed).items():
            found[name] = over_groups(name, both, groups)
        return found

    def _told_apart(self, x_k: Tensor) -> Found:
        """How well a fresh classifier tells recovered images from other test images."""
        if len(self.others) < LEAST:
            return {}
        real = self.materials.dataset.test.pixels(self.others[: len(x_k)])
        right = two_sample(real, x_k[: len(real), 0], seed=self.seed, device=self.materials.device)
        resamples = self.run.config.measure.resamples
        ends = interval(right, resamples=resamples, seed=self.seed)
        name = "image_two_sample_accuracy"
        return {name: result(name, float(right.float().mean()), ends, len(right), 0.5)}
