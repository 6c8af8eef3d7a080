"""Sets of images that are to be metamers: from where they start, and how they are then searched."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import plenoptic
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

import filtergan as fg
from filtergan.machine.files import load_metadata, load_tensors, save_tensors
from filtergan.machine.runtime import derive_seed
from filtergan.machine.runtime import generator as random_generator
from filtergan.natural.natural_gan import null_of
from filtergan.sites.site import Site
from filtergan.walks.inverter import Points
from filtergan.walks.points import points_towards_draws

SIZE = 8  # images of a set
DRAWN = 64  # of T, from which the most different are taken
RADIUS = 4.0  # from z to z', as studies measure
CHANGE = 0.3  # norms of x: what T changes images by over that way
FARTHEST, HALVINGS = 16.0, 25  # of a route, on which a change is sought
CAP = 500  # iterations of Metamer at most
LONG = 2000  # the same, where images are searched one at a time
CRITERION = 1e-4  # its own: of the loss, over its last 50 iterations
RANGE = 0.1  # its own weight of what leaves the range of pixels
PUSH = 0.02  # norms of a response that its set may be worse for, to be a norm of x more different
BATCH = 256
Images = Float[Tensor, "n c h w"]
Sets = Float[Tensor, "n p c h w"]
Route = Callable[[Float[Tensor, " m"]], Images]
"""Images at distances along a route of each; at 0 it begins."""


@dataclass(frozen=True)
class Task:
    """Images of which metamers are wanted, at one site.

    Attributes:
        gan: The site's generator, with T and null.
        x: The images.
        candidates: Training images, among which the nearest in response are sought.
        seed: Of all that is drawn.
    """

    gan: fg.NaturalGAN
    x: Images
    candidates: Images
    seed: int

    @property
    def site(self) -> Site:
        """The site."""
        return self.gan.site

    @cached_property
    def walk(self) -> tuple[Tensor, Tensor]:
        """The z of each image, and the z' that T may lead it to."""
        z = self.gan.latents(len(self.x), self.seed, "metamers")
        seed = derive_seed(self.seed, "metamers", "walk")
        return z, points_towards_draws(z, DRAWN, RADIUS, seed)

    @cached_property
    def wanted(self) -> Float[Tensor, "n d"]:
        """R(x, W)."""
        return responses(self.site, self.x)

    def rng(self, *parts: str) -> torch.Generator:
        """A source of randomness of its own."""
        return random_generator(self.seed, "metamers", *parts)


class Made(NamedTuple):
    """Sets as they were made.

    Attributes:
        images: They may leave [0, 1] a little.
        seconds: Of the processor, for each image of a set.
        iterations: Of Metamer.
        z_k: Where T led each image, where it did.
    """

    images: Sets
    seconds: float
    iterations: int = 0
    z_k: Tensor | None = None


class Responses(nn.Module):
    """R(x, W), flattened: what plenoptic is to take for a model."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        return self.site.respond(self.site.input(images)).flatten(1)


@torch.no_grad()
def responses(site: Site, images: Images) -> Float[Tensor, "n d"]:
    """R(x, W) of images, flattened."""
    return torch.cat([Responses(site)(part) for part in images.split(BATCH)])


# ---------------------------------------------------------------------------------------- starts


def noise(task: Task) -> Sets:
    """Uniform noise: how Metamer starts by itself."""
    n, *shape = task.x.shape
    return torch.rand(n, SIZE, *shape, generator=task.rng("noise"))


def near(task: Task) -> Sets:
    """The image with white noise, held within the range, of as much change as T makes."""
    x = task.x.repeat_interleave(SIZE, 0)
    drawn = torch.randn(x.shape, generator=task.rng("near"))
    unit = drawn * (x.flatten(1).norm(dim=1) / drawn.flatten(1).norm(dim=1))[:, None, None, None]
    images, _ = at_change(lambda way: (x + way[:, None, None, None] * unit).clamp(0, 1), x, CHANGE)
    return images.unflatten(0, (-1, SIZE))


def itself(task: Task) -> Sets:
    """The image again and again."""
    return task.x[:, None].repeat(1, SIZE, 1, 1, 1)


def real(task: Task) -> Sets:
    """The training images whose responses are nearest."""
    others = responses(task.site, task.candidates)
    nearest = torch.cdist(task.wanted, others).topk(SIZE, largest=False).indices
    return task.candidates[nearest]


def walked(task: Task, gan: fg.NaturalGAN, chosen: bool) -> tuple[Sets, Tensor]:
    """T(x, z, z'): for the most different of many z', or for the first; with those z'."""
    z, z_k = task.walk
    z_k = z_k if chosen else z_k[:, :SIZE]
    points = z_k.shape[1]
    x, z = (t.repeat_interleave(points, 0) for t in (task.x, z))
    images = gan.transform(x, z, z_k.flatten(0, 1)).unflatten(0, (-1, points))
    if not chosen:
        return images, z_k
    index = farthest(images.flatten(2), task.x.flatten(1), SIZE)
    rows = torch.arange(len(images))[:, None]
    return images[rows, index], z_k[rows, index]


def warped(task: Task) -> Sets:
    """Random fields like T's, of the same change of image: the most different of as many."""
    space, x = task.gan.transformer.space, task.x.repeat_interleave(DRAWN, 0)
    drawn = torch.randn(len(x), *space.size, generator=task.rng("fields"))
    unit = drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None]
    images, _ = at_change(lambda way: space.apply(x, way[:, None, None, None] * unit), x, CHANGE)
    images = images.unflatten(0, (-1, DRAWN))
    index = farthest(images.flatten(2), task.x.flatten(1), SIZE)
    return images[torch.arange(len(images))[:, None], index]


def at_change(route: Route, x: Images, size: float) -> tuple[Images, Tensor]:
    """The images on routes that have changed by a size, in norms of x; found by bisection.

    Args:
        route: Of each image.
        x: Where each begins.
        size: The change.

    Returns:
        Images, and distances: `FARTHEST` where the change is never as large.
    """
    norm = x.flatten(1).norm(dim=1)
    low, high = torch.zeros(len(x)), torch.full((len(x),), FARTHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        less = (route(middle) - x).flatten(1).norm(dim=1) < size * norm
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return route(high), high


def farthest(
    points: Float[Tensor, "n m d"], start: Float[Tensor, "n d"], count: int
) -> Int64[Tensor, "n count"]:
    """Points as far from each other as from a start, taken greedily.

    Each is the one whose distance to the nearest of those taken, or to the start, is largest: at
    least half of what the best choice of as many points has for its least distance (Gonzalez 1985).
    """
    rows = torch.arange(len(points))
    nearest = (points - start[:, None]).norm(dim=2)
    taken = []
    for _ in range(count):
        taken.append(nearest.argmax(1))
        last = points[rows, taken[-1]]
        nearest = torch.minimum(nearest, (points - last[:, None]).norm(dim=2))
    return torch.stack(taken, dim=1)


# -------------------------------------------------------------------------------------- searches


def metamers(task: Task, starts: Sets, *, push: float = 0.0, cap: int = CAP) -> tuple[Sets, int]:
    """What plenoptic's Metamer makes of starts, by its own loss, penalty, rate and criterion.

    All are searched at once. Losses and penalties of images add up, and Adam does not mind their
    scale, so that each goes the way that it would go alone; only the end is common.

    Args:
        task: Images and site.
        starts: Of each image.
        push: What a mean distance of 1 between the images of a set, in norms of x, is worth, in
            mean squares of responses: as plenoptic's issue 159 proposes to make sets different.
        cap: Iterations at most.

    Returns:
        Images, and iterations.
    """
    n, p = starts.shape[:2]
    size, worth = task.x.flatten(1).norm(dim=1), push * task.wanted.square().mean()

    def loss(got: Tensor, wanted: Tensor, **_: Any) -> Tensor:
        return n * p * plenoptic.loss.mse(got, wanted)

    def penalty(images: Tensor, **_: Any) -> Tensor:
        outside = plenoptic.regularize.penalize_range(images)
        if not push:
            return outside
        apart = pairwise(images.unflatten(0, (n, p))).mean((1, 2)) / size
        return outside - worth / RANGE * p * apart.sum()

    target = task.x.repeat_interleave(p, 0)
    with warnings.catch_warnings():
        for said in ("Loss has converged", "input_tensor range", ".*initial_image"):
            warnings.filterwarnings("ignore", said, UserWarning)
        search = plenoptic.Metamer(target, Responses(task.site).eval(), loss, penalty, RANGE)
        search.setup(starts.flatten(0, 1))
        search.synthesize(max_iter=cap, stop_criterion=CRITERION * n * p)
    return search.metamer.detach().unflatten(0, (n, p)), len(search.losses) - 1


def pairwise(sets: Sets) -> Float[Tensor, "n p q"]:
    """Distances between different images of a set; its slope is defined where two are the same."""
    flat = sets.flatten(2)
    p = flat.shape[1]
    one, other = torch.triu_indices(p, p, offset=1)
    apart = (flat[:, one] - flat[:, other]).square().sum(2)
    return (apart + 1e-12).sqrt()[:, None]


def fields(task: Task, gan: fg.NaturalGAN, z_k: Float[Tensor, "n p latent"]) -> Sets:
    """Fields like T's, searched from its own until responses under W are those of x."""
    p, site = z_k.shape[1], gan.site
    x, z = (t.repeat_interleave(p, 0) for t in (task.x, task.walk[0]))
    search, found = fg.FieldSearch(gan.transformer.space, from_transformer=True), []
    for images, begun, target in zip(
        *(t.split(BATCH) for t in (x, z, z_k.flatten(0, 1))), strict=True
    ):
        with torch.no_grad():
            profiles = site.respond(site.input(images))
        filters = site.filters.expand(len(images), *site.filters.shape)
        points = Points(gan, images, begun, target, profiles, filters)
        found.append(search(points, lambda _: None)[0].images)
    return torch.cat(found).unflatten(0, (-1, p))


# ------------------------------------------------------------------------------------------ ways


class Way(NamedTuple):
    """How sets are made.

    Attributes:
        start: From where.
        search: `metamer`, the same `pushed` apart, `fields`, or none.
        words: For the table.
    """

    start: str
    search: str
    words: str


WAYS = (
    Way("noise", "metamer", "Metamer, from noise"),
    Way("near", "metamer", "Metamer, from the image with noise"),
    Way("near", "pushed", "the same, pushed apart"),
    Way("real", "metamer", "Metamer, from the nearest real images"),
    Way("ours", "", "ours, the most different"),
    Way("any", "", "ours, any draws"),
    Way("ours", "fields", "ours, then fields searched"),
    Way("ours", "metamer", "ours, then Metamer"),
    Way("null", "", "null's T, the most different"),
    Way("null", "metamer", "null's T, then Metamer"),
    Way("warped", "", "random fields, the most different"),
    Way("warped", "metamer", "random fields, then Metamer"),
    Way("real", "", "the nearest real images"),
    Way("itself", "", "the image itself"),
)
STARTS: dict[str, Callable[[Task], Sets]] = {
    "noise": noise,
    "near": near,
    "real": real,
    "warped": warped,
    "itself": itself,
}


def make(task: Task, way: Way) -> Made:
    """The sets of one way."""
    begun = time.process_time()
    gan = null_of(task.gan) if way.start == "null" else task.gan
    iterations, z_k = 0, None
    if way.start in STARTS:
        images = STARTS[way.start](task)
    else:
        images, z_k = walked(task, gan, chosen=way.start != "any")
    if way.search == "fields":
        assert z_k is not None, "only T has fields"
        images = fields(task, gan, z_k)
    elif way.search:
        push = PUSH if way.search == "pushed" else 0.0
        images, iterations = metamers(task, images, push=push)
    seconds = (time.process_time() - begun) / (images.shape[0] * images.shape[1])
    return Made(images, seconds, iterations, z_k)


def kept(task: Task, way: Way, folder: Path) -> Made:
    """What a folder keeps of sets made before; else they are made now, and kept."""
    path = folder / f"{way.start}_{way.search or 'plain'}.safetensors"
    if not path.exists():
        made = make(task, way)
        tensors = {"images": made.images} | ({} if made.z_k is None else {"z_k": made.z_k})
        words = {"seconds": str(made.seconds), "iterations": str(made.iterations)}
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(path, tensors, words)
    tensors, words = load_tensors(path), load_metadata(path)
    return Made(
        tensors["images"], float(words["seconds"]), int(words["iterations"]), tensors.get("z_k")
    )


def alone(task: Task, images: int) -> dict[str, list[float]]:
    """Metamer from noise as it is used, one image at a time.

    Returns:
        Of each image seconds of the processor, iterations, and its residual before pixels are
        brought into their range.
    """
    starts, seconds, iterations, found = noise(task)[:, 0], [], [], []
    for i in range(min(images, len(task.x))):
        one = Task(task.gan, task.x[i : i + 1], task.candidates, task.seed)
        begun = time.process_time()
        made, steps = metamers(one, starts[i : i + 1, None], cap=LONG)
        seconds.append(time.process_time() - begun)
        iterations.append(steps)
        found.append(float(residual(task.site, one.wanted, made)))
    return {"seconds": seconds, "iterations": iterations, "residual": found}


def residual(site: Site, wanted: Float[Tensor, "n d"], sets: Sets) -> Float[Tensor, "n p"]:
    """‖R(x', W) - R(x, W)‖² / ‖R(x, W)‖² of every image of a set."""
    got = responses(site, sets.flatten(0, 1)).unflatten(0, sets.shape[:2])
    return (got - wanted[:, None]).square().sum(2) / wanted.square().sum(1)[:, None]
