"""What is seen of one image under one latent, and along several: what the page shows and keeps."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.measures.traversals import image_change
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.sites.wrappers import untouched
from filtergan.walks.inverter import compensation


@dataclass(frozen=True)
class Opinion:
    """What one classifier says of the image, and of the moved one.

    Attributes:
        who: `network`, or which judge.
        before: Probability of each class, of the image.
        after: The same, of the moved image.
    """

    who: str
    before: Float[Tensor, " classes"]
    after: Float[Tensor, " classes"]

    @property
    def kept(self) -> bool:
        """Whether the label is the same."""
        return int(self.before.argmax()) == int(self.after.argmax())


@dataclass(frozen=True)
class Look:
    """One image, and what it becomes so that the filters of z make of it what those of 0 did.

    Attributes:
        site: Name of the site.
        z: The latent.
        image: x, in [0, 1].
        moved: x', in [0, 1].
        fields: By kind, at every pixel, the flow in pixels as it moves them; empty where the image
            was not moved by T.
        before: Residual of the profile (eq. 6) at x.
        after: The same at x'.
        maps: What it consists of at every place of the response, at x and at x'; None where the
            response has no places.
        opinions: Of the network and of the judges.
    """

    site: str
    z: Float[Tensor, " latent"]
    image: Float[Tensor, "c h w"]
    moved: Float[Tensor, "c h w"]
    fields: dict[str, Float[Tensor, "k h w"]]
    before: float
    after: float
    maps: tuple[Float[Tensor, "a b"], Float[Tensor, "a b"]] | None
    opinions: list[Opinion]

    @property
    def compensation(self) -> float:
        """1 - after / before; not a number at z = 0, where nothing is to be undone."""
        return float(compensation(torch.tensor([self.before]), torch.tensor([self.after])))

    @property
    def image_change(self) -> float:
        """||x' - x|| / ||x||."""
        return float(image_change(self.image[None], self.moved[None]))


@dataclass(frozen=True)
class Grid:
    """One image at the points of a grid over two latents.

    Attributes:
        dims: Which, down and across.
        offsets: Where along each.
        images: x'.
        compensation: At each point.
        labels: What the network says of each.
        label: What it says of the image.
    """

    dims: tuple[int, int]
    offsets: list[float]
    images: Float[Tensor, "g g c h w"]
    compensation: Float[Tensor, "g g"]
    labels: list[list[int]]
    label: int


def residual_parts(
    gan: NaturalGAN,
    x: Float[Tensor, "n c h w"],
    x_k: Float[Tensor, "n c h w"],
    z: Float[Tensor, "n latent"],
) -> Float[Tensor, "n ..."]:
    """The squares of which the residual of eq. 6 consists, at every number of the response.

    Args:
        gan: Site and generator.
        x: Images, whose profile under G(0) is wanted.
        x_k: Those that are to have it under G(z).
        z: The latent of each.
    """
    site = gan.site
    with torch.no_grad(), untouched(site.network):
        profile = site.respond(site.input(x), gan.draw(torch.zeros_like(z)))
        off = (site.respond(site.input(x_k), gan.draw(z)) - profile).square()
    size = profile.flatten(1).square().sum(1).clamp(min=1e-12)
    return off / size.view(-1, *[1] * (off.ndim - 1))


@torch.no_grad()
def fields_of(
    gan: NaturalGAN, x: Float[Tensor, "n c h w"], z: Float[Tensor, "n latent"]
) -> dict[str, Float[Tensor, "n k h w"]]:
    """The fields that T changes images by."""
    return gan.transformer.drawn(x, torch.zeros_like(z), z)
