"""What a generator with its transformer is worth, beside its null and searches image by image."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.config.traversal_fields import TraversalConfig
from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.images.domain import as_pixels
from filtergan.machine import runtime, telling
from filtergan.machine.storage import RowsLike, rows_of
from filtergan.machine.telling import Tick
from filtergan.measures.inversion import independent_changes
from filtergan.measures.registry import centre, result, summary
from filtergan.measures.smoothness import repeatability
from filtergan.measures.table import Measures
from filtergan.measures.transformers import agreement
from filtergan.natural.natural_gan import NaturalGAN, null_of
from filtergan.natural.recovering import EVALUATIONS, FieldSearch, Transformation
from filtergan.traversals.traversal import labelling, numbers
from filtergan.walks.inverter import Inversion
from filtergan.walks.points import points_around, points_towards_draws
from filtergan.walks.walk import walk

STARTS = (None, 1, 2)  # of the searches for fields: from nothing, and at random


@dataclass(frozen=True)
class Points:
    """Where images are measured: some of them share a z and its points, and so the filters.

    Attributes:
        groups: Which.
        z: The latent of each image's profile.
        targets: z_k.
    """

    groups: Int64[Tensor, " n"]
    z: Float[Tensor, "n latent"]
    targets: Float[Tensor, "n points latent"]

    @property
    def turns(self) -> Int64[Tensor, " n"]:
        """How many images come before each in its group."""
        return torch.arange(len(self.groups)) // (int(self.groups.max()) + 1)

    @classmethod
    def drawn(cls, gan: FilterGAN, images: int, config: TraversalConfig, seed: int) -> "Points":
        """Points of so many images; a transformer's lie towards draws, where it was trained."""
        around = points_towards_draws if isinstance(gan, NaturalGAN) else points_around
        # In turn, so that the first images, which more is asked of, are of different groups.
        count = config.groups(images)
        groups = torch.arange(images) % count
        z = gan.latents(count, seed, "measured")
        targets = around(z, config.measured_points, config.radius, seed)
        return cls(groups, z[groups], targets[groups])


def field_searches(
    gan: NaturalGAN, x: Tensor, z: Tensor, targets: Tensor, batch: int, tick: Tick
) -> list[Inversion]:
    """Fields like the transformer's, searched image by image, once from each start."""
    searches = (FieldSearch(gan.transformer.space, one, batch) for one in STARTS)
    return [walk(gan, search, x, z, targets, tick=tick) for search in searches]


def measure(
    gan: NaturalGAN,
    images: RowsLike,
    config: TraversalConfig = TraversalConfig(),
    seed: int = 0,
    *,
    resamples: int = 2000,
) -> Measures:
    """How much of the filters' changes the transformer undoes, and whether to believe it.

    Every number stands beside that of the null. A study measures more (`study.run`): independent
    judges, known families of changes, morphometry, pooling.

    Args:
        gan: A trained generator with its transformer and its null, as `learn` gives it.
        images: Pixels that it has not seen in training, as `rows_of` makes rows.
        config: How many images and points; `repeat_images` and `repeat_points` of them are searched
            as well, which takes most of the time. Whatever `group` is, every image has points of
            its own.
        seed: Of the choice of images and points.
        resamples: Bootstrap resamples behind every 95 % interval, over images.

    Returns:
        `compensation` (the share undone) and its null, `image_change`, `labels_kept`, the residuals
        behind them, `search_compensation` (what a search image by image reaches),
        `transformer_search_agreement`, `repeatability` (ICC of such searches from several starts)
        and `independent_image_changes`.

    Raises:
        UserError: The images are no pixels, or fewer than two; the generator has no null; or the
            network puts out no logits.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> measures = fg.measure(gan, images, fg.tiny().traversal, resamples=100)
        >>> len(measures), measures["labels_kept"].n
        (10, 8)
    """
    null, rows = null_of(gan), rows_of(images)
    chosen = runtime.sample(len(rows), config.measured_images, seed, "measured images")
    if len(chosen) < 2:
        raise UserError("Intervals are taken over images, of which at least two are needed.")
    x = as_pixels(rows[chosen]).to(gan.site.filters.device)
    labelling(gan, x)
    # Nothing is fitted over images here; so each is evidence of its own.
    points = Points.drawn(gan, len(x), config.model_copy(update={"group": 1}), seed)
    n = min(len(x), config.repeat_images)
    several = min(config.measured_points, config.repeat_points)
    work = 2 * (points.targets[..., 0].numel() + n * several * len(STARTS) * EVALUATIONS)
    with telling.progress(work, f"measures of {gan.name}", "evaluations") as advance:
        look = partial(_Seen.by, x=x, points=points, config=config, tick=advance)
        ours, theirs = look(gan), look(null)
    told = partial(summary, resamples=resamples, seed=seed)
    found = {
        name: told(name, values, centre(name, theirs.values[name]))
        for name, values in ours.values.items()
    }
    found["compensation_null"] = told("compensation_null", theirs.values["compensation"])
    of_null = theirs.together()
    for name, (value, ends, count) in ours.together().items():
        found[name] = result(name, value, ends, count, of_null[name][0])
    return Measures(found, str(gan.name))


@dataclass(frozen=True)
class _Seen:
    """What one transformer does.

    Attributes:
        values: Measures of each image at each point.
        change: Of each image at each point, flattened.
        searched: The change that each search finds, at fewer images and points.
    """

    values: dict[str, Float[Tensor, "n p"]]
    change: Float[Tensor, "n p d"]
    searched: Float[Tensor, "m q starts d"]

    @classmethod
    def by(
        cls, gan: NaturalGAN, x: Tensor, points: Points, config: TraversalConfig, tick: Tick
    ) -> "_Seen":
        network, n = labelling(gan, x), min(len(x), config.repeat_images)
        walked = walk(gan, Transformation(config.batch), x, points.z, points.targets, tick=tick)
        found = numbers(network, x, walked)
        some = x[:n], points.z[:n], points.targets[:n, : config.repeat_points]
        searches = field_searches(gan, *some, config.batch, tick)
        first, *others = (numbers(network, x[:n], one) for one in searches)
        own = x.cpu()
        change = found["images"] - own[:, None]
        again = torch.stack([one["images"] for one in (first, *others)], 2) - own[:n, None, None]
        values = {
            "profile_residual_before": found["before"],
            "profile_residual_after": found["after"],
            "compensation": found["compensation"],
            "image_change": found["image_change"],
            "labels_kept": found["labels_kept"].float(),
            "search_compensation": first["compensation"],
            "transformer_search_agreement": agreement(change[:n, : again.shape[1]], again[:, :, 0]),
        }
        return cls(values, change.flatten(2), again.flatten(3))

    def together(self) -> dict[str, tuple[float, tuple[float, float], int]]:
        """Measures of images together, each with its interval and the number of these."""
        return {
            "repeatability": (*repeatability(self.searched), len(self.searched)),
            "independent_image_changes": (*independent_changes(self.change), len(self.change)),
        }
