"""Stage traverse: latent grids and measured points of every site, inverted to images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.game.gan import FilterGAN
from filtergan.images.shown import one_of_each_class
from filtergan.machine import runtime, telling
from filtergan.machine.files import save_tensors
from filtergan.measures.naming import leading_combinations
from filtergan.natural.natural_gan import NaturalGAN, null_of
from filtergan.natural.recovering import EVALUATIONS, Transformation
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials
from filtergan.study.plotting import plot_traversals
from filtergan.traversals.assessment import STARTS, Points, field_searches
from filtergan.traversals.traversal import numbers
from filtergan.walks.inverter import Inversion, Inverter
from filtergan.walks.points import grid_dimensions, latent_grids
from filtergan.walks.search import PixelSearch
from filtergan.walks.walk import walk, walk_grid

STAGE = "traverse"
Tensors = dict[str, Tensor]


def run(run: RunDirectory, materials: Materials) -> None:
    """Write each site's traversal.safetensors and its grids."""
    for name in run.config.sites:
        if not run.site_done(STAGE, name):
            tensors = _traverse_site(run, materials, name)
            folder = run.site_path(name)
            save_tensors(folder / "traversal.safetensors", tensors)
            run.site(name).files["traversal"] = f"{folder.name}/traversal.safetensors"
            plot_traversals(run, name, tensors, materials.dataset.test)
            run.finish_site(STAGE, name)


def _traverse_site(run: RunDirectory, materials: Materials, name: SiteName) -> Tensors:
    config, test = run.config.traversal, materials.dataset.test
    gan = materials.gan(name, run)
    rng = runtime.generator(run.config.seed, STAGE, "images")
    measured = torch.randperm(len(test), generator=rng)[: config.measured_images]
    shown = one_of_each_class(test, config.images)
    seed = runtime.derive_seed(run.config.seed, STAGE, *name.seeds)
    work = evaluations(run.config, name, gan.latent, len(measured), len(shown))
    with telling.progress(work, f"traversals of {name}", "evaluations") as advance:
        if isinstance(gan, NaturalGAN):
            walks = _NaturalWalks(run, materials, gan, seed, advance)
        else:
            walks = _Walks(run, materials, gan, seed, advance)
        return walks.measured(measured) | walks.shown(shown)


def evaluations(study: StudyConfig, name: SiteName, latent: int, measured: int, shown: int) -> int:
    """Evaluations of all inversions of one site; a pass of a transformer is one.

    Args:
        study: The study's config.
        name: The site's.
        latent: Dimension of its z.
        measured: Test images from which numbers come.
        shown: Those that are shown.
    """
    config = study.traversal
    axes = latent + min(config.combinations, latent)
    points = 2 * measured * config.measured_points + shown * config.grid**2
    points += min(measured, config.path_images) * len(config.path_radii)
    points += min(measured, config.axis_images) * axes
    repeated = min(config.repeat_points, config.measured_points)
    repeated *= min(measured, config.repeat_images)
    if name.recipe == NATURAL:
        points += min(measured, config.axis_images) * axes
        return points + 2 * repeated * (len(STARTS) * EVALUATIONS + config.evaluations)
    return (points + 4 * repeated) * config.evaluations


@dataclass
class _Walks:
    """All walks of a site: from which images, to which latents, and what was found there.

    Images are searched pixel by pixel; the null is what random changes of the filters call for.
    """

    run: RunDirectory
    materials: Materials
    gan: FilterGAN
    seed: int
    tick: telling.Tick

    def __post_init__(self) -> None:
        self.config = self.run.config.traversal
        self.test = self.materials.dataset.test
        images = self.materials.dataset.train.pixels(slice(5000))
        self.pixels = PixelSearch.measured(images, self.config)
        self.inverter: Inverter = self.pixels
        self.null, self.null_seed = self.gan, self.seed

    def walk(
        self,
        name: str,
        index: Int64[Tensor, " n"],
        z: Float[Tensor, "n latent"],
        targets: Float[Tensor, "n points latent"],
        *,
        null: bool = False,
        starts: Float[Tensor, "n points c h w"] | None = None,
    ) -> Tensors:
        """Images and numbers of one set of walks, [images, points, ...] each, by `name`_."""
        device = self.materials.device
        found = walk(
            self.null if null else self.gan,
            self.inverter,
            self.test.pixels(index).to(device),
            z,
            targets,
            self.null_seed if null else None,
            None if starts is None else starts.to(device),
            self.tick,
        )
        return self.numbers(name, index, found)

    def numbers(self, name: str, index: Int64[Tensor, " n"], found: Inversion) -> Tensors:
        """Images and numbers of what was found, as `walk` gives them."""
        x = self.test.pixels(index).to(self.materials.device)
        seen = numbers(self.materials.network, x, found)
        return {f"{name}_{key}": value for key, value in seen.items()}

    def measured(self, index: Int64[Tensor, " n"]) -> Tensors:
        """The walks from which the numbers come, and their null."""
        points = Points.drawn(self.gan, len(index), self.config, self.seed)
        z, targets = points.z, points.targets
        found = {"points_index": index, "points_groups": points.groups}
        found |= {"points_z": z, "points_targets": targets}
        found |= self.walk("points", index, z, targets)
        found |= self.walk("null", index, z, targets, null=True)
        found |= self._path(index, z, targets)
        found |= self._axes(index, points, found["points_images"])
        return found | self._repeats(index, z, targets)

    def _path(self, index: Tensor, z: Tensor, targets: Tensor) -> Tensors:
        """Straight walks through z and its first point, seen at equal steps."""
        n, config = self.config.path_images, self.config
        unit = (targets[:n, 0] - z[:n]) / config.radius
        radii = torch.tensor(config.path_radii).to(z)
        points = z[:n, None] + radii[:, None] * unit[:, None]
        return {"path_radii": radii} | self.walk("path", index[:n], z[:n], points)

    def _axes(self, index: Tensor, drawn: Points, images: Tensor) -> Tensors:
        """Walks along every latent, then along the combinations that move the image most.

        Of the images of a group every second walks up, the others down.
        """
        n, config, z, targets = self.config.axis_images, self.config, drawn.z, drawn.targets
        change = (images - self.test.pixels(index)[:, None]).flatten(2)
        count = min(config.combinations, self.gan.latent)
        offsets = (targets - z[:, None]).cpu()
        leading = leading_combinations(offsets, change, count).to(z)
        axes = torch.cat([torch.eye(self.gan.latent).to(z), leading])
        sign = 1 - 2 * ((drawn.groups + drawn.turns)[:n] % 2)
        points = z[:n, None] + config.radius * sign.to(z)[:, None, None] * axes
        return {"axes": axes, "axes_sign": sign} | self._along(index[:n], z[:n], points)

    def _along(self, index: Tensor, z: Tensor, points: Tensor) -> Tensors:
        """What is found at the points of the axes."""
        return self.walk("axes", index, z, points)

    def _repeats(self, index: Tensor, z: Tensor, targets: Tensor) -> Tensors:
        """Some of the points once more."""
        n, points = self.config.repeat_images, self.config.repeat_points
        return self._again(index[:n], z[:n], targets[:n, :points])

    def _again(self, index: Tensor, z: Tensor, targets: Tensor) -> Tensors:
        """The same points from other starts: from x with noise, and from a neighbour's image."""
        config = self.config
        x = self.test.pixels(index)[:, None].expand(-1, targets.shape[1], -1, -1, -1)
        rng = runtime.generator(self.seed, "repeats")
        noise = torch.randn(x.shape, generator=rng)
        size = x.flatten(2).norm(dim=2) / noise.flatten(2).norm(dim=2)
        noisy = (x + config.repeat_noise * size[:, :, None, None, None] * noise).clamp(0, 1)
        half = self.walk("half", index, z, (z[:, None] + targets) / 2)["half_images"]
        sets = {
            "repeat_noise": self.walk("repeat", index, z, targets, starts=noisy),
            "repeat_neighbour": self.walk("repeat", index, z, targets, starts=half),
            "null_repeat": self.walk("repeat", index, z, targets, null=True, starts=noisy),
        }
        return {name: found["repeat_images"] for name, found in sets.items()}

    def shown(self, index: Int64[Tensor, " n"]) -> Tensors:
        """Grids around one z for each image, all their points inverted (eq. 8)."""
        config = self.config
        z = self._centres(len(index))
        dims = grid_dimensions(len(index), self.gan.latent, self.seed, config.dims)
        offsets = torch.linspace(-config.extent, config.extent, config.grid)
        grids = latent_grids(z, dims, offsets)
        layout = {"grid_index": index, "grid_z": z, "grid_dims": dims, "grid_offsets": offsets}
        x = self.test.pixels(index).to(self.materials.device)
        found = walk_grid(self.gan, self.inverter, x, z, grids, self.tick)
        return layout | self.numbers("grid", index, found)

    def _centres(self, n: int) -> Tensor:
        """The z of each grid."""
        return self.gan.latents(n, self.seed, "shown")


@dataclass
class _NaturalWalks(_Walks):
    """The same where a transformer gives the images; the null has filters and another of its own.

    Some points are searched as well, image by image: for fields like the transformer's, from
    several starts, and pixel by pixel.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.gan, NaturalGAN)
        self.both = {"": self.gan, "null_": null_of(self.gan)}
        self.inverter = Transformation(self.config.batch)
        self.null, self.null_seed = self.both["null_"], None

    def _centres(self, n: int) -> Tensor:
        """In the middle of all draws, so that the grids' corners are no further out than draws."""
        return torch.zeros(n, self.gan.latent).to(self.materials.device)

    def _along(self, index: Tensor, z: Tensor, points: Tensor) -> Tensors:
        null = self.walk("null_axes", index, z, points, null=True)
        kept = ("null_axes_images", "null_axes_compensation")
        return super()._along(index, z, points) | {name: null[name] for name in kept}

    def _again(self, index: Tensor, z: Tensor, targets: Tensor) -> Tensors:
        found, x = Tensors(), self.test.pixels(index).to(self.materials.device)
        for prefix, gan in self.both.items():
            first, *others = field_searches(gan, x, z, targets, self.config.batch, self.tick)
            found |= self.numbers(f"{prefix}search", index, first)
            pixels = walk(gan, self.pixels, x, z, targets, tick=self.tick)
            found |= self.numbers(f"{prefix}pixel", index, pixels)
            for place, search in enumerate(others, 1):
                images = search.images.cpu().unflatten(0, (len(index), -1))
                found[f"{prefix}search_again_{place}"] = images
        return found
