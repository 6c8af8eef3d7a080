"""Ways to sample the fiber of an image: other images with the same code."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from color_mnist import ColourCNN, coloured, colours, decoloured
from jaxtyping import Float
from torch import Tensor

import filtergan as fg
from filtergan.images.image_fields import APART, FieldSpace
from filtergan.machine import runtime
from filtergan.walks.lbfgs import minimise
from filtergan.walks.search import smoothed

SPACE = FieldSpace((3, 28, 28), APART)
FLOWS = FieldSpace((3, 28, 28), ("flow",))
MOVED, PAINTED = 0.3, 0.2
"""Standard deviations of random starts: of flows, in pixels, at each place of the grid; and of the
offset that each channel has everywhere."""
BOUND = 8.0  # of coefficients
BATCH = 500  # samples searched together
Samples = Float[Tensor, "n k 3 h w"]


@dataclass(frozen=True)
class Task:
    """Whose fibers are sampled, and with what.

    Attributes:
        subject: The network.
        images: x, of which each has a fiber.
        known: Real training images.
        gan: Trained at a late layer of the subject, with its null.
        each: Samples of an image.
        evaluations: Of a search.
        seed: Of all that is random.
    """

    subject: ColourCNN
    images: Float[Tensor, "n 3 h w"]
    known: Float[Tensor, "t 3 h w"]
    gan: fg.NaturalGAN
    each: int
    evaluations: int
    seed: int

    def rng(self, *parts: str | int) -> torch.Generator:
        """Random numbers for some purpose."""
        return runtime.generator(self.seed, *parts)

    def one_by_one(self, make: Callable[[int], Tensor]) -> Samples:
        """The samples of all images, made slot by slot."""
        return torch.stack([make(slot) for slot in range(self.each)], dim=1)


def codes_of(network: ColourCNN, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """The codes of many images."""
    with torch.no_grad():
        return torch.cat([network.encode(part) for part in x.split(1000)])


def searched(
    network: ColourCNN,
    wanted: Float[Tensor, "n d"],
    start: Float[Tensor, "n m g g"],
    made: Callable[[Tensor, slice], Tensor],
    evaluations: int,
    bounds: tuple[float, float],
    metric: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> Float[Tensor, "n m g g"]:
    """Numbers of which images are made that have the wanted codes, by L-BFGS for each by itself.

    Args:
        network: Gives codes.
        wanted: Codes.
        start: Where the searches begin.
        made: Numbers, and which of all they are -> images.
        evaluations: Of the objective.
        bounds: Of every number.
        metric: Of the search.
    """
    unit = float((wanted - wanted.mean(0)).square().sum(1).mean())
    found = []
    for first in range(0, len(start), BATCH):
        part = slice(first, first + BATCH)

        def objective(numbers: Tensor, part: slice = part) -> tuple[Tensor, Tensor]:
            numbers = numbers.detach().requires_grad_()
            with torch.enable_grad():
                off = network.encode(made(numbers, part)) - wanted[part]
                values = off.square().sum(1) / unit
                (gradient,) = torch.autograd.grad(values.sum(), numbers)
            return values.detach(), gradient

        found.append(minimise(objective, start[part], evaluations, metric, bounds=bounds)[0])
    return torch.cat(found)


def of_pixels(task: Task, start: Tensor) -> Tensor:
    """Images found by a search over pixels."""
    wanted = codes_of(task.subject, task.images)
    return searched(
        task.subject,
        wanted,
        start,
        lambda pixels, _: pixels,
        task.evaluations,
        (0, 1),
        lambda gradient: smoothed(gradient, fg.TraversalConfig().smoothing),
    )


def of_fields(
    network: ColourCNN,
    x: Float[Tensor, "n 3 h w"],
    start: Float[Tensor, "n m g g"],
    evaluations: int,
    wanted: Float[Tensor, "n d"] | None = None,
    space: FieldSpace = SPACE,
) -> Float[Tensor, "n 3 h w"]:
    """Images x, changed by fields that a search found; their own codes are wanted, or others."""
    numbers = searched(
        network,
        codes_of(network, x) if wanted is None else wanted,
        start,
        lambda coefficients, part: space.apply(x[part], coefficients),
        evaluations,
        (-BOUND, BOUND),
    )
    return space.apply(x, numbers)


def random_fields(n: int, rng: torch.Generator) -> Float[Tensor, "n m g g"]:
    """Coefficients of random fields: every channel offset by an amount of its own, and a flow."""
    numbers = torch.zeros(n, *SPACE.size)
    numbers[:, :2] = MOVED * torch.randn(n, 2, SPACE.grid, SPACE.grid, generator=rng)
    numbers[:, -3:] = PAINTED * torch.randn(n, 3, 1, 1, generator=rng)
    return numbers


def recoloured(task: Task) -> Samples:
    """The same digits in other colours: what a perfect sampler could answer."""
    grey, rng = decoloured(task.images)[:, :1].clamp(0, 1), task.rng("colours")
    return task.one_by_one(lambda _: coloured(grey, colours(len(grey), rng)))


def unchanged(task: Task) -> Samples:
    """The images themselves."""
    return task.one_by_one(lambda _: task.images)


def at_random(task: Task) -> Samples:
    """Real images, whichever."""
    rng = task.rng("others")
    return task.one_by_one(lambda _: others(task, rng))


def others(task: Task, rng: torch.Generator) -> Tensor:
    """A real image for each, whichever."""
    return task.known[torch.randint(len(task.known), (len(task.images),), generator=rng)]


def nearest(task: Task) -> Samples:
    """Those real images whose codes are nearest."""
    apart = torch.cdist(codes_of(task.subject, task.images), codes_of(task.subject, task.known))
    return task.known[apart.topk(task.each, largest=False).indices]


def nearest_moved(task: Task, space: FieldSpace = SPACE) -> Samples:
    """The same, changed by fields until they have the code."""
    real, wanted = nearest(task), codes_of(task.subject, task.images)

    def one(slot: int) -> Tensor:
        x, start = real[:, slot], torch.zeros(len(wanted), *space.size)
        return of_fields(task.subject, x, start, task.evaluations, wanted, space)

    return task.one_by_one(one)


def pixels_from_noise(task: Task) -> Samples:
    """Pixels searched from uniform noise."""
    rng = task.rng("noise")
    return task.one_by_one(lambda _: of_pixels(task, torch.rand(task.images.shape, generator=rng)))


def pixels_from_others(task: Task) -> Samples:
    """Pixels searched from another real image."""
    rng = task.rng("others")
    return task.one_by_one(lambda _: of_pixels(task, others(task, rng)))


def fields_from_random(task: Task) -> Samples:
    """Fields searched from random ones."""
    rng = task.rng("fields")

    def one(_: int) -> Tensor:
        start = random_fields(len(task.images), rng)
        return of_fields(task.subject, task.images, start, task.evaluations)

    return task.one_by_one(one)


def ours(task: Task) -> Samples:
    """T(x, z, z') with random latents."""
    return task.one_by_one(lambda slot: task.gan.transform(task.images, *latents(task, slot)))


def null(task: Task) -> Samples:
    """The same of the null's T, for random directions of the filters."""
    gan = task.gan.null
    assert gan is not None, "`learn` trains one"
    return task.one_by_one(lambda slot: gan.transform(task.images, *latents(task, slot)))


def ours_searched(task: Task) -> Samples:
    """Fields searched from those of T."""

    def one(slot: int) -> Tensor:
        with torch.no_grad():
            start = task.gan.transformer.coefficients(task.images, *latents(task, slot))
        return of_fields(task.subject, task.images, start, task.evaluations)

    return task.one_by_one(one)


def latents(task: Task, slot: int) -> tuple[Tensor, Tensor]:
    """Z and z' of one sample of each image."""
    n = len(task.images)
    z, z_k = torch.randn(2, n, task.gan.latent, generator=task.rng("latents", slot))
    return z, z_k


METHODS: dict[str, Callable[[Task], Samples]] = {
    "the same digit in other colours (the answer)": recoloured,
    "x itself": unchanged,
    "a real image, whichever (null)": at_random,
    "the nearest real images": nearest,
    "pixels searched from noise": pixels_from_noise,
    "pixels searched from another image": pixels_from_others,
    "fields searched from random ones": fields_from_random,
    "ours: T(x, z, z')": ours,
    "ours, random filters (null)": null,
    "ours, then searched": ours_searched,
    "the nearest real images, then fields searched": nearest_moved,
    "the nearest real images, then flows searched": partial(nearest_moved, space=FLOWS),
}
