"""What a site's traversals show, beside their null and the reference transformations."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.classifiers.fitting import predict
from filtergan.families.catalogue import references
from filtergan.families.references import reference
from filtergan.game.gan import FilterGAN
from filtergan.machine import distributed, runtime
from filtergan.measures.invariance import invariance_gain, normalized_variance, other_images
from filtergan.measures.inversion import gate, pair_null, profile_agreement
from filtergan.measures.morphometry import MORPHOMETRY, latent_slopes
from filtergan.measures.naming import LatentEvidence, ceiling_of, combination_name, describe
from filtergan.measures.registry import over_groups, result
from filtergan.measures.smoothness import curvature, path_length, repeatability, roughness
from filtergan.measures.statistics import interval
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import Found, LatentRecord, MeasureRecord
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_images import ImageMeasures, PerPoint

PAIRS = 4  # other images with which each is paired at random
COMPARED = 2  # points of each image at which references are made, and the null is measured


@dataclass
class TraversalMeasures:
    """All measures of one site's traversals.

    Attributes:
        run: The run directory.
        materials: Images, network and judges.
        gan: The trained generator.
        tensors: What the traverse stage found.
        images: The measured images.
        seed: Of the measures.
        points: Per-point measures of the generator's images, and of every other set by its name.
    """

    run: RunDirectory
    materials: Materials
    gan: FilterGAN
    tensors: dict[str, Tensor]
    images: ImageMeasures
    seed: int
    points: dict[str, PerPoint] = field(default_factory=dict)

    def __post_init__(self) -> None:  # noqa: D105
        self.config = self.run.config.measure
        self.compared = min(COMPARED, self.tensors["points_images"].shape[1])
        self.sets = {"null": self.tensors["null_images"][:, : self.compared]} | self._references()

    @property
    def work(self) -> int:
        """Recovered images to be measured."""
        tensors = (self.tensors["points_images"], self.tensors["axes_images"], *self.sets.values())
        return sum(images.shape[:2].numel() for images in tensors)

    def _references(self) -> dict[str, Float[Tensor, "n p c h w"]]:
        """The reference transformations of x, each as large over a group as its changes are."""
        change = self.tensors["points_image_change"][:, : self.compared]
        owner = torch.arange(len(change)).repeat_interleave(self.compared)
        which = torch.arange(self.compared).repeat(len(change))
        groups = self.images.groups[owner] * self.compared + which
        made = {}
        for name in references(self.images.x.shape[1]):
            x_k = reference(name, self.images.x[owner], change.flatten(), groups, self.seed)
            made[name] = x_k.unflatten(0, (len(change), self.compared))
        return made

    def measure(self) -> tuple[Found, dict[str, Found]]:
        """Measures of the site, and of its null and every reference."""
        sets = {"points": self.tensors["points_images"]} | self.sets
        self.points |= {name: self.images.points(images) for name, images in sets.items()}
        others = dict(zip(sets, distributed.spread(self._set, list(sets.items())), strict=True))
        ours = others.pop("points")
        for name, entry in ours.items():
            if entry.null is None and name in others["null"]:
                ours[name] = beside(entry, others["null"][name])
        ours |= self._profiles() | self._smoothness() | self._invariance() | self._curves()
        ours |= self._slopes()
        others["null"] |= self._null_gates()
        ours |= self._repeatability("")
        for name in ("inversion_gate_share", "repeatability"):
            ours[name] = beside(ours[name], others["null"][name])
        return ours, others

    def _set(self, named: tuple[str, Float[Tensor, "n p c h w"]]) -> Found:
        """Measures of one set of images, each image alone and all together."""
        name, images = named
        return self.images.summarise(self.points[name]) | self.images.together(images)

    # Inversion

    def _profiles(self) -> Found:
        """Compensation with its null, and the gate: residuals against random pairs of images."""
        tensors, summary = self.tensors, self.images.summary
        null = {key: tensors[f"null_{key}"].float() for key in ("compensation", "after")}
        found = {
            "profile_residual_before": summary("profile_residual_before", tensors["points_before"]),
            "profile_residual_after": summary(
                "profile_residual_after", tensors["points_after"], float(null["after"].nanmean())
            ),
            "compensation": summary(
                "compensation",
                tensors["points_compensation"],
                float(null["compensation"].nanmean()),
            ),
            "compensation_null": summary("compensation_null", null["compensation"]),
        }
        wanted, pairs, chance = self._random_pairs
        passed = gate(tensors["points_after"], pairs).float()
        found["inversion_gate_share"] = summary("inversion_gate_share", passed)
        x_k = tensors["points_images"][:, : self.compared]
        z_k = tensors["points_targets"][:, : self.compared]
        reached = self._profiles_of(x_k.flatten(0, 1), z_k.flatten(0, 1))
        owner = torch.arange(len(x_k)).repeat_interleave(self.compared)
        agreement = profile_agreement(reached, wanted[owner])
        for name, values in agreement.items():
            per_point = values.unflatten(0, x_k.shape[:2])
            found[name] = summary(name, per_point, float(chance[name].nanmean()))
        return found

    @cached_property
    def _random_pairs(self) -> tuple[Float[Tensor, "n d"], Tensor, dict[str, Tensor]]:
        """a(x | z) of the measured images, and how far those of other images lie from them."""
        x, z = self.images.x, self.tensors["points_z"]
        rng = runtime.generator(self.seed, "pairs")
        shifts = 1 + torch.randperm(len(x) - 1, generator=rng)[:PAIRS]
        wanted = self._profiles_of(x, z)
        residuals, agreement = [], []
        for shift in shifts.tolist():
            other = self._profiles_of(x.roll(shift, 0), z)
            residuals.append(pair_null(wanted, other))
            agreement.append(profile_agreement(other, wanted))
        chance = {name: torch.cat([a[name] for a in agreement]) for name in agreement[0]}
        return wanted, torch.cat(residuals), chance

    @torch.no_grad()
    def _profiles_of(
        self, images: Float[Tensor, "m c h w"], z: Float[Tensor, "m latents"]
    ) -> Float[Tensor, "m d"]:
        """a(x | z), flattened, on the CPU."""

        def profiles(part: tuple[Tensor, Tensor]) -> Tensor:
            some, latents = (t.to(self.materials.device) for t in part)
            filters = self.gan.draw(latents)
            return self.gan.site.respond(self.gan.site.input(some), filters).flatten(1).cpu()

        batch = min(64, self.gan.at_once)
        parts = list(zip(images.split(batch), z.split(batch), strict=True))
        return torch.cat(distributed.spread(profiles, parts))

    # Smoothness and repeatability

    def _smoothness(self) -> Found:
        """How smooth and how straight the walks are, beside an affine map walked as far."""
        path, change = self.tensors["path_images"], self.tensors["path_image_change"]
        n, seed = len(path), self.seed
        x, groups = self.images.x[:n], self.images.groups[:n]
        mapped = [reference("affine", x, far, groups, seed) for far in change.unbind(1)]
        ours, null = self._along(path), self._along(torch.stack(mapped, dim=1))
        return {
            name: self.images.summary(name, values[:, None], float(null[name].nanmean()))
            for name, values in ours.items()
        }

    def _along(self, path: Float[Tensor, "n t c h w"]) -> dict[str, Float[Tensor, " n"]]:
        """Measures of each path from x on."""
        with_x = torch.cat([self.images.x[: len(path), None], path], dim=1)
        features = self.materials.judges.features(with_x.flatten(0, 1))
        features = features.unflatten(0, (len(path), -1))
        return {
            "path_length": path_length(features, float(self.tensors["path_radii"][0])),
            "roughness": roughness(features),
            "curvature": curvature(with_x.flatten(2)),
        }

    def _repeatability(self, prefix: Literal["", "null_"]) -> Found:
        """Share of the variance between points that searches from other starts repeat."""
        if f"{prefix}search_images" in self.tensors:  # a transformer has no start
            first, begin = f"{prefix}search_images", f"{prefix}search_again_"
        else:
            first, begin = "null_images" if prefix else "points_images", f"{prefix}repeat"
        again = [found for name, found in sorted(self.tensors.items()) if name.startswith(begin)]
        n, p = again[0].shape[:2]
        starts = torch.stack([self.tensors[first][:n, :p], *again], dim=2)
        change = (starts - self.images.x[:n, None, None]).flatten(3)
        groups = self.images.groups[:n]
        found = repeatability(change, groups)
        return {"repeatability": over_groups("repeatability", found, groups)}

    # Invariance

    def _invariance(self) -> Found:
        """Whether the network ignores the found changes more than others of the same size."""
        network, device = self.materials.network, self.materials.device
        resamples, groups = self.config.resamples, self.images.groups
        sets = {"traversal": self.tensors["points_images"][:, : self.compared]} | self.sets
        moved = {
            name: predict(network, images.flatten(0, 1), device=device).unflatten(
                0, (-1, self.compared)
            )
            for name, images in sets.items()
        }
        found: Found = {}
        for name in sets:
            if name != "traversal":
                measure = f"invariance_gain_{name}"
                gain = invariance_gain(
                    self.images.logits[:, None],
                    moved["traversal"],
                    moved[name],
                    groups,
                    resamples=resamples,
                    seed=self.seed,
                )
                found[measure] = over_groups(measure, gain, groups, 1.0)
            if name != "null":
                measure = f"normalized_variance_{name}"
                responses = self._responses(sets[name])
                value, ends = normalized_variance(responses)
                chance = other_images(responses.shape[1], len(responses))
                found[measure] = result(measure, value, ends, len(responses), chance)
        return found

    @torch.no_grad()
    def _responses(self, x_k: Float[Tensor, "n p c h w"]) -> Float[Tensor, "n t d"]:
        """Responses of the real site to x and to its changed copies."""
        site, device = self.gan.site, self.materials.device
        all_of_them = torch.cat([self.images.x[: len(x_k), None], x_k], dim=1)
        kept = [
            site.respond(site.input(part.to(device))).flatten(1).cpu()
            for part in all_of_them.flatten(0, 1).split(256)
        ]
        return torch.cat(kept).unflatten(0, (len(x_k), -1))

    # Labels over distance, shapes of strokes, names

    def _curves(self) -> Found:
        """Labels kept along the paths, by the network and by the judges."""
        points = self.images.labels_of(self.tensors["path_images"])
        found: Found = {}
        for column, radius in enumerate(self.run.config.traversal.path_radii):
            for key in ("labels_kept", "labels_kept_judges"):
                name = f"{key}_at_{f'{radius:g}'.replace('.', 'p')}"
                found[name] = self.images.summary(name, points[key][:, column, None])
        return found

    def _slopes(self) -> Found:
        """What one standard deviation of each latent does to the shape of a stroke."""
        if not self.images.grey:
            return {}
        offsets = self.tensors["points_targets"] - self.tensors["points_z"][:, None]
        change = self.points["points"]["shape"] - self.images.shape[:, None]
        groups = self.images.groups
        slopes = latent_slopes(
            offsets,
            change,
            self.images.spread,
            groups,
            resamples=self.config.resamples,
            seed=self.seed,
        )
        found: Found = {}
        for m, morphometric in enumerate(MORPHOMETRY):
            name = f"morphometry_r2_{morphometric}"
            ends = (float(slopes.r2_low[m]), float(slopes.r2_high[m]))
            found[name] = over_groups(name, (float(slopes.r2[m]), ends), groups, 0.0)
            for z in range(offsets.shape[2]):
                name = f"slope_{morphometric}_z{z}"
                ends = (float(slopes.low[z, m]), float(slopes.high[z, m]))
                found[name] = over_groups(name, (float(slopes.value[z, m]), ends), groups, 0.0)
        return found

    def names(self, failures: tuple[str, ...]) -> list[LatentRecord]:
        """What each latent, and each leading combination of latents, does: a sentence and why."""
        axes, sign = self.tensors["axes"], self.tensors["axes_sign"]
        points = self.images.points(self.tensors["axes_images"])
        self.points["axes"] = points
        n, latents = len(sign), axes.shape[1]
        of_null = self.tensors.get("null_axes_compensation", self.tensors["null_compensation"])
        null = float(of_null.float().nanmean())
        ceilings = self.run.site(self.gan.name).ceilings
        said = []
        for a, axis in enumerate(axes):
            shifts = self._shifts(points, a) if self.images.grey else {}
            explained = {
                name.removeprefix("explained_"): float(values[:, a].nanmean())
                for name, values in points.items()
                if name.startswith("explained_")
            }
            evidence = LatentEvidence(
                name=f"z{a}" if a < latents else combination_name(axis),
                radius=self.run.config.traversal.radius,
                shifts=shifts,
                explained=explained,
                labels_kept=float(points["labels_kept_judges"][:, a].mean()),
                compensation=float(self.tensors["axes_compensation"][:, a].nanmean()),
                compensation_null=null,
                failures=failures,
                ceiling=ceiling_of(explained, ceilings),
            )
            said.append(
                LatentRecord(
                    name=evidence.name,
                    sentence=describe(evidence),
                    direction=axis.tolist(),
                    images=n,
                    shifts=shifts,
                    explained=explained,
                    labels_kept=evidence.labels_kept,
                    image_change=float(points["image_change"][:, a].nanquantile(0.5)),
                    compensation=evidence.compensation,
                    compensation_null=null,
                )
            )
        return said

    def _shifts(self, points: PerPoint, axis: int) -> dict[str, tuple[float, float, float]]:
        """Change of each morphometric on walking up an axis, in standard deviations of a class."""
        sign = self.tensors["axes_sign"]
        change = points["shape"][:, axis] - self.images.shape[: len(sign)]
        change = sign[:, None] * change / self.images.spread
        groups, shifts = self.images.groups[: len(sign)], {}
        for m, morphometric in enumerate(MORPHOMETRY):
            ends = interval(change[:, m], groups, resamples=self.config.resamples, seed=self.seed)
            shifts[morphometric] = (float(change[:, m].nanmean()), *ends)
        return shifts

    # The null as a candidate

    def _null_gates(self) -> Found:
        """Measures by which the gates judge the null itself, against another null."""
        compensation = self.tensors["null_compensation"].float()
        after = self.tensors["null_after"]
        _, pairs, _ = self._random_pairs
        found = {
            "compensation": self.images.summary("compensation", compensation[:, ::2]),
            "compensation_null": self.images.summary("compensation_null", compensation[:, 1::2]),
            "inversion_gate_share": self.images.summary(
                "inversion_gate_share", gate(after, pairs).float()
            ),
        }
        return found | self._repeatability("null_")


def beside(entry: MeasureRecord, null: MeasureRecord) -> MeasureRecord:
    """A measure with its value under the null."""
    return entry.model_copy(update={"null": null.value})
