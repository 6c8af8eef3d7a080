"""LIG: vector fields that a network's features ignore, re-implemented from its description.

Ko, Kim and Lee, "Learning infinitesimal generators of continuous symmetries from data" (NeurIPS
2024). Fields on the plane are a small network of the position; along the flow of each, images are
moved by a random time, and the direction of the frozen network's features is to stay. A field must
be orthogonal to those before it, where places count by how much the features depend on them, and
must not change faster than a bound from a pixel to the next.

What differs from the description: a field is evaluated once on the pixels and sampled between them
on the way, by midpoint steps of a fixed length; it is learned in as many steps as a network of the
comparison is trained, at a higher rate, on smaller batches; and features are what the last linear
layer reads.
"""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from filtergan.benchmark.subject import Factory, Subject
from filtergan.families.transformations import displace
from filtergan.images.domain import to_float
from filtergan.machine import runtime

FIELDS = 10
WIDTH, HEAD = 256, 32  # of the network of the position, and of each field's part of it
SIGMA = 0.4  # longest time of a flow
MIDPOINTS = 4  # steps of a flow
APART, SMOOTH, BOUND = 10.0, 10.0, 0.5  # weights of orthogonality and of smoothness; its bound
RATE, BATCH = 1e-3, 16
WINDOWS, WINDOW = 64, 0.1  # places whose weight is measured, and the radius that each stands for
LITTLE = 0.1  # pixels


class Fields(nn.Module):
    """Vector fields of the position, from -1 to 1 along each side; horizontal first."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        heads = (
            nn.Sequential(nn.SiLU(), nn.Linear(WIDTH, HEAD), nn.SiLU(), nn.Linear(HEAD, 2))
            for _ in range(count)
        )
        self.heads = nn.ModuleList(heads)

    def forward(
        self, places: Float[Tensor, "h w 2"], weights: Float[Tensor, "h w"]
    ) -> Float[Tensor, "k 2 h w"]:
        """The fields at some places, of weighted norm 1."""
        inside = self.trunk(places)
        found = torch.stack([head(inside).movedim(-1, 0) for head in self.heads])
        return normalised(found, weights)


def lig(subject: Subject) -> Factory:
    """The strength is the largest weight of all fields together; the original has 0.1.

    The fields are learned once, of the run's network and all its training images.
    """

    @functools.cache
    def fields() -> Float[Tensor, "k 2 h w"]:
        images = subject.train.images
        few = runtime.sample(len(images), min(5000, len(images)), 0, "lig")
        x = to_float(images[few]).to(subject.device)
        return learned(subject.network, x, steps=subject.steps, seed=0)[0]

    def made(images: object, labels: object, strength: float, seed: int) -> nn.Module:
        return nn.Identity() if not strength else Moved(fields(), strength)

    return made


class Moved(nn.Module):
    """Images moved by a sum of fields, each with a random weight."""

    fields: Tensor

    def __init__(self, fields: Float[Tensor, "k 2 h w"], strength: float) -> None:
        super().__init__()
        self.register_buffer("fields", fields)
        self.strength = strength / len(fields) ** 0.5

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Images, each by weights of its own."""
        weights = (2 * torch.rand(len(x), len(self.fields), device=x.device) - 1) * self.strength
        return displace(x, in_pixels(torch.einsum("nk,kihw->nihw", weights, self.fields)))


def learned(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    *,
    steps: int,
    seed: int,
    count: int = FIELDS,
) -> tuple[Float[Tensor, "k 2 h w"], Float[Tensor, "h w"]]:
    """The fields, those that are ignored most first, and the weights of places.

    Args:
        network: Frozen, in evaluation mode.
        images: Pixels in [0, 1], on its device.
        steps: Of Adam.
        seed: Of all that is random.
        count: Number of fields.
    """
    height, width = images.shape[2:]
    sides = (torch.linspace(-1, 1, length) for length in (width, height))
    places = torch.stack(torch.meshgrid(*sides, indexing="xy"), dim=-1).to(images)
    with runtime.own_randomness(seed), torch.enable_grad():
        weights = place_weights(network, images[: 4 * BATCH], places)
        fields = Fields(count).to(images.device)
        optimizer = torch.optim.Adam(fields.parameters(), lr=RATE)
        for _ in range(steps):
            x = images[torch.randint(len(images), (BATCH,))]
            v = fields(places, weights)
            flow = flowed(v, float(2 * torch.rand(()) - 1) * SIGMA)
            moved = displace(x.repeat_interleave(count, 0), in_pixels(flow).repeat(len(x), 1, 1, 1))
            before = features(network, x).repeat_interleave(count, 0).detach()
            kept = (before * features(network, moved)).sum(1).clamp(max=1 - 1e-6)
            loss = kept.arccos().mean() * count
            loss = loss + APART * overlap(v, weights) + SMOOTH * roughness(v)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return fields(places, weights).detach(), weights


def flowed(v: Float[Tensor, "k 2 h w"], time: float) -> Float[Tensor, "k 2 h w"]:
    """How far the flow of each field carries every pixel in a time."""
    step, way = time / MIDPOINTS, torch.zeros_like(v)
    for _ in range(MIDPOINTS):
        half = way + step / 2 * displace(v, in_pixels(way), "border")
        way = way + step * displace(v, in_pixels(half), "border")
    return way


def in_pixels(way: Float[Tensor, "k 2 h w"]) -> Float[Tensor, "k 2 h w"]:
    """Ways in half sides, as pixels."""
    height, width = way.shape[2:]
    return way * way.new_tensor([(width - 1) / 2, (height - 1) / 2])[:, None, None]


def features(network: nn.Module, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """Directions of what the last linear layer reads."""
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        network(x)
    finally:
        hook.remove()
    return F.normalize(seen[0].flatten(1))


def place_weights(
    network: nn.Module, images: Float[Tensor, "n c h w"], places: Float[Tensor, "h w 2"]
) -> Float[Tensor, "h w"]:
    """How much features depend on where the image is moved: weights of sum 1.

    Within random windows, images are moved a little along either side, to first order.
    """
    slopes = torch.stack(torch.gradient(images, dim=(3, 2)))
    weights = images.new_zeros(images.shape[2:])
    for centre in 2 * torch.rand(WINDOWS, 2) - 1:
        window = torch.exp(-0.5 * (places - centre.to(places)).square().sum(-1) / WINDOW**2)
        for slope in slopes:
            little = LITTLE * slope * window
            change = features(network, images + little) - features(network, images - little)
            weights = weights + change.detach().square().sum() * window
    return weights / weights.sum()


def products(
    v: Float[Tensor, "j 2 h w"], u: Float[Tensor, "k 2 h w"], weights: Float[Tensor, "h w"]
) -> Float[Tensor, "j k"]:
    """Weighted inner products of fields."""
    return torch.einsum("jihw,kihw,hw->jk", v, u, weights)


def normalised(
    v: Float[Tensor, "k 2 h w"], weights: Float[Tensor, "h w"]
) -> Float[Tensor, "k 2 h w"]:
    """Fields of weighted norm 1."""
    norm = torch.einsum("kihw,kihw,hw->k", v, v, weights).clamp(min=1e-12).sqrt()
    return v / norm[:, None, None, None]


def overlap(v: Float[Tensor, "k 2 h w"], weights: Float[Tensor, "h w"]) -> Float[Tensor, ""]:
    """How far each field is from orthogonal to those before it, as an angle; only it gives way."""
    found = products(v.detach(), v, weights).triu(1).abs().clamp(max=1 - 1e-6)
    return (torch.pi / 2 - found.arccos()).sum()


def roughness(v: Float[Tensor, "k 2 h w"]) -> Float[Tensor, ""]:
    """By how much fields change from a pixel to the next beyond the bound."""
    return sum((v.diff(dim=side).norm(dim=1) - BOUND).clamp(min=0).sum() for side in (2, 3))  # pyright: ignore[reportReturnType]
