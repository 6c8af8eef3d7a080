"""What recovers images: given points of a walk, the image that each one's filters call for (eq. 6).

A walk (`walk.py`) takes any `Inverter`; the pixel search is one (`search.py`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from filtergan.game.gan import FilterGAN
from filtergan.machine.telling import Tick
from filtergan.machine.wording import SHOWN, as_html
from filtergan.sites.site import Site

if TYPE_CHECKING:  # takes a second to import
    import pandas


def compensation(
    before: Float[Tensor, "*points"], after: Float[Tensor, "*points"]
) -> Float[Tensor, "*points"]:
    """Share of the change in response that the change of image undid, 1 - after / before.

    Args:
        before: Profile residual at x' = x (eq. 6 without its prior), per point.
        after: The same at the recovered x_k.

    Returns:
        1 where all was undone, 0 where nothing was, negative where the inversion did harm; NaN
        where the response did not change in the first place, as at the centre of a grid.
    """
    return torch.where(before == 0, torch.nan, 1 - after / before)


@dataclass(frozen=True)
class Inversion:
    """What an inversion found.

    `to_dataframe()` gives its numbers.

    Attributes:
        images: x_k, in [0, 1].
        before: Residual of the profile at x, first term of eq. 6.
        after: The same at x_k.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> gan, images = fg.NaturalGAN.load("digits-conv2"), torch.rand(2, 1, 8, 8)
        >>> z, z_k = gan.latents(2, seed=1), gan.latents(2, seed=2)
        >>> fg.walk(gan, fg.Transformation(), images, z, z_k[:, None])
        Inversion(2 images of 1x8x8, residual ... -> ...)
    """

    images: Float[Tensor, "n c h w"]
    before: Float[Tensor, " n"]
    after: Float[Tensor, " n"]

    def __repr__(self) -> str:
        """How many images, and their mean residuals."""
        shape = "x".join(map(str, self.images.shape[1:]))
        residuals = f"residual {float(self.before.mean()):.3g} -> {float(self.after.mean()):.3g}"
        return f"Inversion({len(self.images)} images of {shape}, {residuals})"

    def _repr_html_(self) -> str:
        """The first and the last rows of the table, in a notebook."""
        return as_html(self.to_dataframe(), most=SHOWN)

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each point: what the change of filters did to the profile, and what is left.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan, images = fg.NaturalGAN.load("digits-conv2"), torch.rand(2, 1, 8, 8)
            >>> z, z_k = gan.latents(2, seed=1), gan.latents(2, seed=2)
            >>> found = fg.walk(gan, fg.Transformation(), images, z, z_k[:, None])
            >>> list(found.to_dataframe().columns)
            ['profile_residual_before', 'profile_residual_after', 'compensation']
        """
        import pandas

        columns = {
            "profile_residual_before": self.before,
            "profile_residual_after": self.after,
            "compensation": compensation(self.before, self.after),
        }
        rows = {name: values.cpu().numpy() for name, values in columns.items()}
        return pandas.DataFrame(rows).rename_axis("point")


@runtime_checkable
class Learned(Protocol):
    """What an inverter learned at points, of which it can make use at neighbouring ones."""

    def at(self, index: Tensor) -> "Learned":
        """That of some points, by their places."""
        ...


@dataclass(frozen=True)
class Points:
    """Points of a walk, with all that is known of each before its image is recovered.

    Attributes:
        gan: Site and generator.
        images: x, pixels in [0, 1].
        z: The latent of each profile.
        targets: z_k.
        profiles: a(x | z), which the recovered image is to have under other filters.
        filters: These: G(z_k), or what a null has in their place.
        starts: Where a search may start; None: at x.
        places: Of each point, its image and its own number: what an inverter draws at random for it
            hangs on these alone; None: nothing is drawn.
        learned: What the same inverter learned at a neighbour of each; None: there is none.
    """

    gan: FilterGAN
    images: Float[Tensor, "n c h w"]
    z: Float[Tensor, "n latent"]
    targets: Float[Tensor, "n latent"]
    profiles: Float[Tensor, "n ..."]
    filters: Float[Tensor, "n o i *k"]
    starts: Float[Tensor, "n c h w"] | None = None
    places: Int[Tensor, "n 2"] | None = None
    learned: Learned | None = None


@runtime_checkable
class Inverter(Protocol):
    """Recovers the image of every point, each independent of the others."""

    def at_once(self, gan: FilterGAN, images: Float[Tensor, "n c h w"]) -> int:
        """How many points of such images to invert together, which the results do not hang on."""
        ...

    def __call__(self, points: Points, tick: Tick) -> tuple[Inversion, Learned | None]:
        """Recover the images.

        Args:
            points: The points.
            tick: Called with the number of points whenever these are a step further.

        Returns:
            What was found, and what was learned that helps at neighbouring points, if anything.
        """
        ...


def residual(
    site: Site,
    images: Float[Tensor, "n c h w"],
    profiles: Float[Tensor, "n ..."],
    filters: Float[Tensor, "n o i *k"],
) -> Float[Tensor, " n"]:
    """First term of eq. 6: how far images under these filters are from profiles, squared.

    Args:
        site: The site.
        images: x', one per point.
        profiles: a(x | z), one per point, whose squared norms are the unit.
        filters: One set per point.
    """
    size = profiles.flatten(1).square().sum(1).clamp(min=1e-12)
    off = site.respond(site.input(images), filters) - profiles
    return off.flatten(1).square().sum(1) / size
