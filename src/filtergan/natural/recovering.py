"""Images recovered by T, in one pass, and by a search for the same fields, image by image."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.game.gan import FilterGAN
from filtergan.images.image_fields import FieldSpace
from filtergan.machine.runtime import generator as random_generator
from filtergan.machine.telling import Tick
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.sites.wrappers import untouched
from filtergan.walks.inverter import Inversion, Points, residual
from filtergan.walks.lbfgs import minimise

EVALUATIONS = 40  # of a search: residuals fall by a hundredth more in the next ten
BOUND = 8.0  # of coefficients, far out: what fields are searched within
START = 0.1  # standard deviation of a random start's coefficients: changes of .1 norms of a digit
ROUGHNESS = 0.1  # weight of the prior: where responses say nothing, fields are smooth


@dataclass(frozen=True)
class Transformation:
    """Recovers images by the transformer of a `NaturalGAN`; an `Inverter`.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> z, z_k = gan.latents(2, seed=1), gan.latents(2, seed=2)
        >>> fg.walk(gan, fg.Transformation(), images[:2], z, z_k[:, None])
        Inversion(2 images of 1x8x8, residual ...)
    """

    batch: int = 128

    def at_once(self, gan: FilterGAN, images: Float[Tensor, "n c h w"]) -> int:
        """Points in a pass.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> fg.Transformation(batch=16).at_once(gan, torch.rand(2, 1, 8, 8))
            16
        """
        return min(self.batch, gan.at_once)

    def __call__(self, points: Points, tick: Tick) -> tuple[Inversion, None]:
        """T(x, z, z') at every point."""
        gan = points.gan
        assert isinstance(gan, NaturalGAN), "a generator with a transformer"
        found = gan.transform(points.images, points.z, points.targets)
        tick(len(found))
        return _seen(points, found), None


@dataclass(frozen=True)
class FieldSearch:
    """Recovers images by fields like the transformer's, searched for each alone; an `Inverter`.

    What a rule for all images reaches is beside this what any image could reach on its own.

    Attributes:
        space: The fields.
        seed: Of a random start; None: from x as it is.
        batch: Points searched together.
        from_transformer: Begins with the fields of the generator's own T instead.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> z, z_k = gan.latents(2, seed=1), gan.latents(2, seed=2)
        >>> fg.walk(gan, fg.FieldSearch(gan.transformer.space), images[:2], z, z_k[:, None])
        Inversion(2 images of 1x8x8, residual ...)
    """

    space: FieldSpace
    seed: int | None = None
    batch: int = 128
    from_transformer: bool = False

    def at_once(self, gan: FilterGAN, images: Float[Tensor, "n c h w"]) -> int:
        """Points to search together.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> search = fg.FieldSearch(gan.transformer.space, batch=16)
            >>> search.at_once(gan, torch.rand(2, 1, 8, 8))
            16
        """
        return min(self.batch, gan.at_once)

    def __call__(self, points: Points, tick: Tick) -> tuple[Inversion, None]:
        """Search at every point, by L-BFGS over the coefficients of its fields."""
        site, x = points.gan.site, points.images

        @torch.enable_grad()
        def objective(coefficients: Tensor) -> tuple[Tensor, Tensor]:
            coefficients = coefficients.detach().requires_grad_()
            x_k = self.space.apply(x, coefficients)
            values = residual(site, x_k, points.profiles, points.filters)
            values = values + ROUGHNESS * _roughness(coefficients)
            (gradient,) = torch.autograd.grad(values.sum(), coefficients)
            tick(len(x))
            return values.detach(), gradient

        with untouched(site.network):
            found, _, _ = minimise(
                objective, self._start(points), EVALUATIONS, lambda g: g, bounds=(-BOUND, BOUND)
            )
        with torch.no_grad():
            return _seen(points, self.space.apply(x, found)), None

    def _start(self, points: Points) -> Float[Tensor, "n m g g"]:
        shape, gan = self.space.size, points.gan
        if self.from_transformer:
            assert isinstance(gan, NaturalGAN), "a generator with a transformer"
            with torch.no_grad():
                return gan.transformer.coefficients(points.images, points.z, points.targets)
        if self.seed is None:
            return points.images.new_zeros(len(points.images), *shape)
        assert points.places is not None, "a walk numbers its points"
        rngs = [random_generator(self.seed, "start", *place) for place in points.places.tolist()]
        drawn = [torch.randn(shape, generator=rng) for rng in rngs]
        return START * torch.stack(drawn).to(points.images)


def _roughness(coefficients: Float[Tensor, "n m g g"]) -> Float[Tensor, " n"]:
    """Mean square of the steps from each place of the grid to the next, down and right."""
    down, right = (torch.diff(coefficients, dim=axis).square() for axis in (2, 3))
    return down.flatten(1).mean(1) + right.flatten(1).mean(1)


def _seen(points: Points, found: Float[Tensor, "n c h w"]) -> Inversion:
    """What was found, with the residuals before and after."""
    site = points.gan.site
    with torch.no_grad(), untouched(site.network):
        before, after = (
            residual(site, x, points.profiles, points.filters) for x in (points.images, found)
        )
    return Inversion(found, before, after)
