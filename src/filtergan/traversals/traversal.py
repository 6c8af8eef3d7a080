"""A traversal as an object: images along two latents, to look at, to tabulate and to keep."""

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from filtergan.classifiers.fitting import predict
from filtergan.config.site_names import SiteName
from filtergan.config.traversal_fields import TraversalConfig
from filtergan.errors import UserError
from filtergan.figures import grids_figure, html, short
from filtergan.game.gan import FilterGAN
from filtergan.images.domain import as_pixels
from filtergan.machine import telling
from filtergan.machine.files import load_metadata, load_tensors, save_tensors
from filtergan.machine.storage import RowsLike, rows_of
from filtergan.measures.traversals import image_change, labels_kept
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.recovering import EVALUATIONS, FieldSearch, Transformation
from filtergan.sites.wrappers import require_logits
from filtergan.walks.inverter import Inversion, Inverter, compensation
from filtergan.walks.points import grid_dimensions, latent_grids
from filtergan.walks.walk import walk_grid

if TYPE_CHECKING:  # takes a second to import
    import pandas

KEY, SCHEMA = "filtergan-traversal", 1


@dataclass(frozen=True)
class Traversal:
    """Images recovered on grids around a latent of each image (eq. 8).

    `plot()` shows them, `to_dataframe()` gives their numbers, `save` and `load` keep them.

    Attributes:
        name: Of the site, with its recipe.
        x: The images walked from, pixels in [0, 1].
        dims: The two latent dimensions of each grid.
        offsets: Along each of them, in standard deviations of z.
        latents: z_k; the centre of each grid is z itself.
        images: x_k; along the first axis of a grid the first of its dimensions changes.
        before: Profile residual at x (first term of eq. 6), relative to the profile.
        after: The same at x_k.
        kept: Whether the network keeps its label.
        null: Compensation under random directions of the filters at the same latents; empty where
            the generator has no null.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> walk = fg.traverse(gan, images[:2], fg.TraversalConfig(grid=3))
        >>> list(walk.to_dataframe().columns[:5])
        ['image', 'z0', 'z1', 'z2', 'profile_residual_before']
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/walk.safetensors"
        >>> walk.save(path)
        >>> fg.Traversal.load(path).images.equal(walk.images)
        True
    """

    name: str
    x: Float[Tensor, "n c h w"]
    dims: Int[Tensor, "n 2"]
    offsets: Float[Tensor, " g"]
    latents: Float[Tensor, "n g g latent"]
    images: Float[Tensor, "n g g c h w"]
    before: Float[Tensor, "n g g"]
    after: Float[Tensor, "n g g"]
    kept: Bool[Tensor, "n g g"]
    null: Float[Tensor, "..."]

    @property
    def compensation(self) -> Float[Tensor, "n g g"]:
        """Share of the change in response that the change of image undid; NaN in the centre.

        Examples:
            >>> import filtergan as fg
            >>> walk = fg.Traversal.load("walk.safetensors")
            >>> walk.compensation.shape
            torch.Size([2, 3, 3])
        """
        return compensation(self.before, self.after)

    @property
    def image_change(self) -> Float[Tensor, "n g g"]:
        """How far each image lies from x, in norms of x.

        Examples:
            >>> import filtergan as fg
            >>> walk = fg.Traversal.load("walk.safetensors")
            >>> walk.image_change.shape
            torch.Size([2, 3, 3])
        """
        return image_change(self.x[:, None, None], self.images)

    def __repr__(self) -> str:
        """The site, how many images, and how much was undone."""
        n, g = self.before.shape[:2]
        return f"Traversal({self.name!r}: {n} images on grids of {g}x{g}, {self._reached})"

    def _repr_html_(self) -> str:
        """The figure, in a notebook."""
        return html(self.plot(), f"Images walked from along two latents of {self.name}")

    def plot(self):
        """The grids on one page, with their numbers, as a matplotlib figure.

        Examples:
            >>> import filtergan as fg
            >>> walk = fg.Traversal.load("walk.safetensors")
            >>> walk.plot().savefig("walk.pdf")
        """
        return grids_figure(
            self.images,
            self.before,
            self.after,
            self.compensation,
            self.image_change,
            self.kept,
            [(i, j) for i, j in self.dims.tolist()],
            self.offsets.tolist(),
            f"{SiteName.parse(self.name).prose}: {self._reached}",
            compensation_null=self._median(self.null) if len(self.null) else None,
        )

    def to_dataframe(self) -> "pandas.DataFrame":
        """The numbers of every image of every grid, a row each; z0, z1, ... are its latent.

        Examples:
            >>> import filtergan as fg
            >>> walk = fg.Traversal.load("walk.safetensors")
            >>> frame = walk.to_dataframe()
            >>> len(frame) == walk.before.numel()
            True
        """
        import pandas

        columns = {
            "image": torch.arange(len(self.x)).repeat_interleave(self.before[0].numel()),
            **{f"z{i}": z for i, z in enumerate(self.latents.flatten(0, 2).unbind(1))},
            "profile_residual_before": self.before,
            "profile_residual_after": self.after,
            "compensation": self.compensation,
            "compensation_null": self.null if len(self.null) else torch.full([], torch.nan),
            "image_change": self.image_change,
            "labels_kept": self.kept,
        }
        rows = self.before.numel()
        flat = {name: values.flatten() for name, values in columns.items()}
        return pandas.DataFrame({name: v.expand(rows).numpy() for name, v in flat.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it into one safetensors file, whole or not at all.

        Raises:
            UserError: It could not be written (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> walk = fg.Traversal.load("walk.safetensors")
            >>> walk.save("kept.safetensors")
        """
        save_tensors(Path(path), self._tensors(), {KEY: json.dumps([SCHEMA, self.name])})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Traversal":
        """Read what `save` wrote.

        Raises:
            UserError: The file is missing or damaged, or holds something else.

        Examples:
            >>> import filtergan as fg
            >>> walk = fg.Traversal.load("walk.safetensors")
            >>> walk.images.shape
            torch.Size([2, 3, 3, 1, 8, 8])
        """
        tensors, said = load_tensors(Path(path)), load_metadata(Path(path)).get(KEY)
        schema, name = json.loads(said) if said else (None, "")
        if schema != SCHEMA:
            raise UserError(f"{path} holds no traversal that this version of filtergan reads.")
        return cls(name, **tensors)

    def _tensors(self) -> dict[str, Tensor]:
        names = [field.name for field in fields(self) if field.name != "name"]
        return {name: getattr(self, name).contiguous() for name in names}

    @property
    def _reached(self) -> str:
        null = f" (null {short(self._median(self.null))})" if len(self.null) else ""
        return f"undone {short(self._median(self.compensation))}{null}"

    @staticmethod
    def _median(values: Tensor) -> float:
        return float(values.nanquantile(0.5))


def traverse(
    gan: FilterGAN,
    images: RowsLike,
    config: TraversalConfig = TraversalConfig(),
    seed: int = 0,
    *,
    inverter: Inverter | None = None,
) -> Traversal:
    """Walk from images along two latents each, and recover an image at every point (eqs. 5 to 8).

    Args:
        gan: A trained generator, as `learn` or `train` gives it.
        images: Pixels, as `rows_of` makes rows; the first `config.images` are walked from.
        config: Size, extent and latent dimensions of the grids.
        seed: Of the choice of dimensions where the config names none, and of z where images are
            searched.
        inverter: What recovers images; by default the generator's own transformer.

    Raises:
        UserError: The images are no pixels; the generator has no transformer, and no inverter is
            given; it has no such latents; or the network puts out no logits.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> walk = fg.traverse(gan, images[:2], fg.TraversalConfig(grid=5, dims=(0, 2)))
        >>> walk.images.shape
        torch.Size([2, 5, 5, 1, 8, 8])
        >>> figure = walk.plot()
    """
    x = as_pixels(rows_of(images)[: config.images]).to(gan.site.filters.device)
    network, inverter = labelling(gan, x), inverter or _own(gan, config.batch)
    n, latent, g = len(x), gan.latent, config.grid
    if latent < 2 or max(config.dims or (1,)) >= latent:
        raise UserError(
            f"A grid goes along two latents, but z has {latent}, numbered from 0; name others in "
            "config.dims."
        )
    dims = grid_dimensions(n, latent, seed, config.dims)
    offsets = torch.linspace(-config.extent, config.extent, g)
    z, null, of_null = gan.latents(n, seed, "shown"), None, torch.empty(0)
    if isinstance(gan, NaturalGAN):
        # A transformer is at home among draws: from their middle, corners are no further out.
        z, null = torch.zeros_like(z), gan.null
    grids = latent_grids(z, dims, offsets)
    each = {Transformation: 1, FieldSearch: EVALUATIONS}.get(type(inverter), config.evaluations)
    still = (grids == z[:, None, None]).all(3).flatten()  # where rounding alone is left
    work = (1 + (null is not None)) * n * g * g * each
    with telling.progress(work, f"traversals of {gan.name}", "evaluations") as advance:
        found = walk_grid(gan, inverter, x, z, grids, advance)
        found.before[still] = found.after[still] = 0.0
        if null is not None:
            other = walk_grid(null, inverter, x, z, grids, advance)
            other.before[still] = 0.0
            of_null = compensation(other.before, other.after).cpu().view(n, g, g)
    seen = numbers(network, x, found)
    square = {name: values.unflatten(1, (g, g)) for name, values in seen.items()}
    return Traversal(
        str(gan.name),
        x.cpu(),
        dims,
        offsets,
        grids.cpu(),
        square["images"],
        square["before"],
        square["after"],
        square["labels_kept"],
        of_null,
    )


def numbers(network: nn.Module, x: Float[Tensor, "n c h w"], found: Inversion) -> dict[str, Tensor]:
    """Images and numbers of what was found around each image, [image, point, ...], on the CPU.

    Args:
        network: Takes pixels; its labels are compared.
        x: The images.
        found: Equally many points of the first image, then of the second, and so on.
    """
    x_k = found.images.cpu().unflatten(0, (len(x), -1))
    before, after = (t.cpu().unflatten(0, (len(x), -1)) for t in (found.before, found.after))
    logits, logits_k = (predict(network, part, device=x.device) for part in (x, found.images))
    return {
        "images": x_k,
        "before": before,
        "after": after,
        "compensation": compensation(before, after),
        "image_change": image_change(x.cpu()[:, None], x_k),
        "labels_kept": labels_kept(logits[:, None], logits_k.unflatten(0, (len(x), -1))),
    }


@torch.no_grad()
def labelling(gan: FilterGAN, x: Float[Tensor, "n c h w"]) -> nn.Module:
    """The network that labels images, as it takes pixels.

    Raises:
        UserError: It puts out no logits.
    """
    require_logits(gan.site.output(x[:1]))
    return gan.whole_network


def _own(gan: FilterGAN, batch: int) -> Inverter:
    if isinstance(gan, NaturalGAN):
        return Transformation(batch)
    raise UserError(
        "This generator has no transformer, so its images are searched: name what searches them, "
        "as in inverter=fg.PixelSearch.measured(images, config)."
    )
