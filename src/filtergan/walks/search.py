"""The pixel search: images found by descending eq. 6 in the space of pixels, and its metric."""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from filtergan.config.fields import TraversalConfig
from filtergan.game.gan import AT_ONCE, FilterGAN
from filtergan.images.domain import as_pixels
from filtergan.machine.storage import RowsLike
from filtergan.machine.telling import Tick
from filtergan.sites.site import Site
from filtergan.sites.wrappers import untouched
from filtergan.walks.inverter import Inversion, Points, residual
from filtergan.walks.lbfgs import HISTORY, Curvature, minimise
from filtergan.walks.prior import NaturalImagePrior

DETAIL = 0.01  # of the gradient itself in the inversion's metric


@dataclass(frozen=True)
class PixelSearch:
    """Recovers images by `invert`; an `Inverter`.

    Attributes:
        prior: Psi.
        config: Evaluations, smoothing, and how many points at once.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.train(site, site.input(images), fg.GanConfig(latent=3, steps=2))
        >>> search = fg.PixelSearch.measured(images, fg.TraversalConfig(evaluations=2))
        >>> z = gan.latents(2)
        >>> fg.walk(gan, search, images[:2], z, fg.points_around(z, 3, radius=2.0, seed=1))
        Inversion(6 images of 1x8x8, residual ...)
    """

    prior: NaturalImagePrior
    config: TraversalConfig

    @classmethod
    def measured(cls, images: RowsLike, config: TraversalConfig) -> "PixelSearch":
        """With a prior of the config's weights, whose scales are taken from images [n, c, h, w].

        Raises:
            UserError: They are no pixels in [0, 1].

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> search = fg.PixelSearch.measured(torch.rand(32, 1, 8, 8), fg.TraversalConfig())
            >>> search.prior
            NaturalImagePrior(norm ... by ..., variation ... by ...)
        """
        prior = NaturalImagePrior.measured(images, config.alpha_weight, config.variation_weight)
        return cls(prior, config)

    def at_once(self, gan: FilterGAN, images: Float[Tensor, "n c h w"]) -> int:
        """Points to invert at once: `config.batch`, or fewer where filters or images are large.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> images = torch.rand(32, 1, 8, 8)
            >>> search = fg.PixelSearch.measured(images, fg.TraversalConfig(batch=16))
            >>> search.at_once(gan, images)
            16
        """
        history = 3 * HISTORY * images[0].numel()
        return min(self.config.batch, gan.at_once, max(1, AT_ONCE // history))

    def __call__(self, points: Points, tick: Tick) -> tuple[Inversion, Curvature | None]:
        """Search at every point, beginning with the curvature that was learned near by."""
        known = points.learned
        assert known is None or isinstance(known, Curvature)
        return invert(
            points.gan.site,
            self.prior,
            points.images,
            points.profiles,
            points.filters,
            self.config,
            points.starts,
            known,
            tick,
        )


def invert(
    site: Site,
    prior: NaturalImagePrior,
    images: Float[Tensor, "n c h w"],
    profiles: Float[Tensor, "n ..."],
    filters: Float[Tensor, "n o i *k"],
    config: TraversalConfig,
    starts: Float[Tensor, "n c h w"] | None = None,
    curvature: Curvature | None = None,
    tick: Tick = lambda points: None,
) -> tuple[Inversion, Curvature | None]:
    """Find for every point the image whose profile under new filters is the old one (eq. 6).

    All points are searched together by L-BFGS, each independent of the others, in a metric in which
    smooth changes are short (`config.smoothing`); images stay within [0, 1].

    Args:
        site: The site.
        prior: Psi.
        images: x, one per point, pixels in [0, 1].
        profiles: a(x | z), one per point.
        filters: G(z_k), one set per point.
        config: Evaluations and smoothing.
        starts: Where the searches start; by default at x.
        curvature: Of searches near by, which these begin with.
        tick: Called after every evaluation with the number of points.

    Returns:
        What was found, and the curvature that the searches learned.

    Raises:
        UserError: Images or starts are no pixels in [0, 1].

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.train(site, site.input(images), fg.GanConfig(latent=3, steps=2))
        >>> prior = fg.NaturalImagePrior.measured(images, 0.001, 0.001)
        >>> z, z_k = gan.latents(2, seed=1), gan.latents(2, seed=2)
        >>> with torch.no_grad():
        ...     profiles = gan.respond(site.input(images[:2]), z)
        >>> filters, config = gan.draw(z_k), fg.TraversalConfig()
        >>> found, _ = fg.invert(site, prior, images[:2], profiles, filters, config)
        >>> found.images.shape
        torch.Size([2, 1, 8, 8])
    """
    images = as_pixels(images)
    start = images if starts is None else as_pixels(starts)

    @torch.enable_grad()
    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        values = residual(site, x, profiles, filters) + prior(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        tick(len(x))
        return values.detach(), gradient

    def metric(gradient: Tensor) -> Tensor:
        return smoothed(gradient, config.smoothing)

    with untouched(site.network):  # once, and not again in every pass
        found, _, known = minimise(objective, start, config.evaluations, metric, curvature)
        with torch.no_grad():
            before, after = (residual(site, x, profiles, filters) for x in (images, found))
            return Inversion(found, before, after), known


def smoothed(gradient: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """The inversion's metric: a gradient blurred twice, with a little of itself.

    Without that the finest detail would stand still for hundreds of steps; with much more of it
    the images found are rough.
    """
    if sigma == 0:
        return gradient
    return gaussian_blur(gradient, sigma, times=2) + DETAIL * gradient


def gaussian_blur(
    images: Float[Tensor, "n c h w"], sigma: float, times: int = 1
) -> Float[Tensor, "n c h w"]:
    """Convolve each channel with a Gaussian of that standard deviation in pixels; 0: unchanged."""
    if sigma == 0:
        return images
    rows, columns = (_blurring(n, sigma, times).to(images) for n in images.shape[2:])
    return rows @ (images @ columns)  # a tenth of what a convolution of one channel takes


@cache
def _blurring(n: int, sigma: float, times: int) -> Float[Tensor, "n n"]:
    """The matrix that convolves a line of n pixels with a Gaussian, zeros beyond its ends."""
    with torch.inference_mode(False):  # it is kept, and gradients may be wanted next time
        reach = max(1, round(3 * sigma))
        weights = torch.exp(-torch.arange(-reach, reach + 1).double().square() / (2 * sigma**2))
        place = torch.arange(n)
        distance = (place[:, None] - place).abs()
        known = F.pad((weights / weights.sum())[reach:], (0, max(0, n - reach - 1)))
        return torch.linalg.matrix_power(known[distance], times)
