"""What an image transformer does: as a search would, back again, in steps, in how many ways."""

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.measures.definition import Measure

RANDOM = "random directions of the filters, that change the response as much, undone alike"
MEASURES = (
    Measure(
        "search_compensation",
        "Share of the change in response that fields like the transformer's undo, where they are "
        "searched for each image by itself.",
        None,
        1.0,
        "higher",
        RANDOM,
        "share",
        "own",
        centre="median",
    ),
    Measure(
        "pixel_compensation",
        "Share of the change in response that a search pixel by pixel undoes, at the same points.",
        None,
        1.0,
        "higher",
        RANDOM,
        "share",
        "eq. 6",
        centre="median",
    ),
    Measure(
        "transformer_search_agreement",
        "Cosine of the transformer's change of an image with that of the search for fields.",
        -1.0,
        1.0,
        "higher",
        RANDOM,
        "cosine",
        "own",
        centre="median",
    ),
    Measure(
        "step_r2_min",
        "R² with which z_k - z is read from a held-out image and the transformed one, of the worst "
        "read latent.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3, of images",
    ),
    Measure(
        "step_r2_mean",
        "The same, mean over latents.",
        None,
        1.0,
        "higher",
        "guessing the mean",
        "R²",
        "eq. 3, of images",
    ),
    Measure(
        "return_error",
        "Distance of an image that went from z to z_k and back from where it began, over the "
        "length of the way there.",
        0.0,
        None,
        "lower",
        "staying at z_k",
        "share",
        "own",
        centre="median",
    ),
    Measure(
        "composition_error",
        "Distance between an image that went to z_k in two equal steps and in one, over the length "
        "of the way.",
        0.0,
        None,
        "lower",
        "stopping half way",
        "share",
        "own",
        centre="median",
    ),
    Measure(
        "folded_share",
        "Share of pixels at which the flow of an image folds.",
        0.0,
        1.0,
        "lower",
        RANDOM,
        "share",
        "a Jacobian determinant not above 0",
    ),
    Measure(
        "independent_directions",
        "Number of independent changes of one image on walking along the latents: 1 if all of them "
        "do the same.",
        1.0,
        None,
        "higher",
        RANDOM,
        "directions",
        "participation ratio; own",
        centre="median",
    ),
    Measure(
        "alike_directions",
        "How alike the two most similar changes of one image are, on walking along two of the "
        "latents: the absolute cosine.",
        0.0,
        1.0,
        "lower",
        RANDOM,
        "cosine",
        "own",
        centre="median",
    ),
    Measure(
        "nearest_image_compensation",
        "Share of the change in response that is undone by taking, in the place of a transformed "
        "image, the training image whose response is nearest.",
        None,
        1.0,
        "neither",
        "a training image at random",
        "share",
        "own baseline",
        centre="median",
    ),
)


def agreement(
    one: Float[Tensor, "n p c h w"], other: Float[Tensor, "n p c h w"]
) -> Float[Tensor, "n p"]:
    """Cosine of two changes of each image; NaN where one is none."""
    a, b = one.flatten(2), other.flatten(2)
    size = a.norm(dim=2) * b.norm(dim=2)
    return torch.where(size == 0, torch.nan, (a * b).sum(dim=2) / size)


def error_over_way(
    found: Float[Tensor, "m c h w"],
    wanted: Float[Tensor, "m c h w"],
    way: Float[Tensor, "m c h w"],
) -> Float[Tensor, " m"]:
    """Distance of images from where they should be, over the norm of a change; NaN if that is 0."""
    size = way.flatten(1).norm(dim=1)
    return torch.where(size == 0, torch.nan, (found - wanted).flatten(1).norm(dim=1) / size)


def independent_directions(change: Float[Tensor, "n a d"]) -> Float[Tensor, " n"]:
    """Participation ratio of the changes of each image along a axes.

    With s the singular values of an image's changes it is (sum s²)² / sum s⁴: a, if all are as
    large and at right angles; 1, if they are the same up to their size. NaN if nothing changes.

    Args:
        change: x_k - x, flattened, at a step along every axis.
    """
    square = (change @ change.mT).double()  # whose eigenvalues are s²
    total = square.diagonal(dim1=1, dim2=2).sum(dim=1) ** 2
    return torch.where(total == 0, torch.nan, total / square.square().sum(dim=(1, 2))).float()


def alike_directions(change: Float[Tensor, "n a d"]) -> Float[Tensor, " n"]:
    """Largest absolute cosine between the changes of each image along two axes.

    Args:
        change: x_k - x, flattened, at a step along every axis.

    Returns:
        Of each image; NaN where there are fewer than two changes.
    """
    unit = change / change.norm(dim=2, keepdim=True)
    cosines = (unit @ unit.mT).abs()
    cosines.diagonal(dim1=1, dim2=2).fill_(torch.nan)  # each with itself
    most = cosines.flatten(1).nan_to_num(-1).amax(1)
    return most.where(most >= 0, torch.nan)


def nearest_compensation(
    candidates: Float[Tensor, "k d"], wanted: Float[Tensor, "m d"], before: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """What the candidate nearest in response undoes, and the median one.

    Args:
        candidates: Responses of other images under G(z_k).
        wanted: a(x | z).
        before: ‖a(x | z_k) - a(x | z)‖².

    Returns:
        1 - ‖candidate - wanted‖² / before of both; NaN where `before` is 0.
    """
    squares = torch.cdist(wanted, candidates).square()
    near, middle = squares.amin(dim=1), squares.median(dim=1).values
    near, middle = (torch.where(before == 0, torch.nan, 1 - s / before) for s in (near, middle))
    return near, middle


def share_within(changes: Float[Tensor, "n a d"], others: Float[Tensor, "n b d"]) -> Tensor:
    """How much of the changes of each image other changes could have made: a share of its squares.

    Args:
        changes: x_k - x, flattened, in several ways.
        others: In other ways, whose linear combinations count.

    Returns:
        Of each image, from 0 (all at right angles to them) to 1; NaN where nothing changes.
    """
    wide = torch.linalg.svd(others.double(), full_matrices=False)
    kept = 1e-6 * wide.S[:, :1] < wide.S  # combinations that change nothing span nothing
    along = changes.double() @ wide.Vh.mT * kept[:, None]
    total = changes.double().square().sum((1, 2))
    share = along.square().sum((1, 2)) / total
    return torch.where(total == 0, torch.nan, share).float()
