"""The choices of the walks through latent space, and of how their images are recovered."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from filtergan.config.bases import Frozen
from filtergan.config.values import Count, NonNegative, Positive


class TraversalConfig(Frozen):
    """Latent grids and their inversion (eqs. 5-8).

    Examples:
        >>> import filtergan as fg
        >>> fg.TraversalConfig(dims=(0, 2), grid=5).extent
        3.0
    """

    images: Count = 8
    """Test images shown, each as a grid."""
    grid: Annotated[int, Field(ge=3)] = 7
    """Points along each of the two latent dimensions of a grid (odd, so that z is its centre)."""
    extent: Positive = 3.0
    """Largest offset along each latent dimension, in standard deviations of z."""
    dims: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """The two latent dimensions of a grid; by default two drawn at random per image (the paper)."""
    measured_images: Annotated[int, Field(ge=2)] = 256
    """Test images from which the traversal's numbers come."""
    measured_points: Annotated[int, Field(ge=2)] = 8
    """Points per measured image: independent draws z_k around its z."""
    radius: Positive = 4.0
    """Distance of the measured points from z, in standard deviations of z. Two draws of eight
    latents lie 4 apart (root mean square), so a walk this long leads to any other draw."""
    group: Count = 16
    """Most measured images that share one z and its points, and so the same filters: what a change
    of the filters does can then be fitted over images. Intervals are over these groups, of which
    there are two at least; images belong to them in turn."""
    path_images: Count = 64
    """The first measured images, each also walked along a straight path."""
    path_radii: Annotated[tuple[Positive, ...], Field(min_length=3)] = (
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
        6.0,
    )
    """Distances from z of the points of a path, in equal steps."""
    axis_images: Count = 64
    """The first measured images, each also walked along every latent dimension, by `radius`."""
    combinations: Annotated[int, Field(ge=0)] = 3
    """Combinations of latents that move the image most, walked like single latents."""
    repeat_images: Annotated[int, Field(ge=2)] = 64
    """The first measured images, some of whose points are inverted again from other starts."""
    repeat_points: Annotated[int, Field(ge=2)] = 3
    """The first points of each such image."""
    repeat_noise: Positive = 0.1
    """Size of the noise added to x for another start, in norms of x: well below the changes of
    image that are measured, since an inversion leaves noise that the response ignores."""
    evaluations: Count = 16
    """Evaluations of the objective and its gradient in an inversion. A third of what Adam took to
    fit as well; many more find rougher images, since then the metric no longer counts."""
    smoothing: NonNegative = 1.0
    """Standard deviation, in pixels, of the Gaussian through which the image change is searched
    (0: pixel by pixel); a change of metric only, which favours smooth changes."""
    alpha_weight: NonNegative = 0.001
    """lambda_alpha of eq. 7, for a norm scaled to be 1 on the data. Both weights are small beside a
    profile residual of about 0.1, so that the change of image is not the prior's own."""
    variation_weight: NonNegative = 0.001
    """lambda_V of eq. 7, for a total variation scaled to be 1 on the data."""
    batch: Count = 128
    """Points inverted together: more take more memory, and were slower on a CPU."""

    def groups(self, images: int) -> int:
        """Into how many groups so many measured images fall: two at least, for intervals.

        Examples:
            >>> import filtergan as fg
            >>> fg.TraversalConfig(group=16).groups(256)
            16
        """
        return min(images, max(2, -(-images // self.group)))

    @model_validator(mode="after")
    def _check(self) -> "TraversalConfig":
        if self.grid % 2 == 0:
            raise ValueError("grid must be odd, so that z itself is its centre")
        if self.dims is not None and (len(self.dims) != 2 or self.dims[0] == self.dims[1]):
            raise ValueError("dims names two different latent dimensions")
        steps = [b - a for a, b in pairwise((0.0, *self.path_radii))]
        if max(steps) - min(steps) > 1e-6 * max(steps):
            raise ValueError("path_radii go out from z in equal steps, as in 1,2,3,4")
        return self
