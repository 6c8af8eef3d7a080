"""What the images of a traversal show: compensation, image change, labels kept."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from filtergan.measures.definition import AS_LARGE, Measure

MEASURES = (
    Measure(
        "profile_residual_before",
        "Squared distance between the profiles of x under z and under z_k, relative to the former: "
        "how far the draw moves the response.",
        0.0,
        None,
        "neither",
        "",
        "relative squared error",
        "eq. 6 at x' = x; Mahendran and Vedaldi 2015",
    ),
    Measure(
        "profile_residual_after",
        "The same between x under z and the recovered x_k under z_k: what the inversion left over.",
        0.0,
        None,
        "lower",
        AS_LARGE,
        "relative squared error",
        "eq. 6; Mahendran and Vedaldi 2015",
    ),
    Measure(
        "compensation",
        "Share of the change in response that a change of the image undid: 1 - after / before, per "
        "point.",
        None,
        1.0,
        "higher",
        f"{AS_LARGE} (compensation_null)",
        "share",
        "own",
    ),
    Measure(
        "compensation_null",
        "The same for random changes of the filters as large.",
        None,
        1.0,
        "neither",
        "",
        "share",
        "own control",
    ),
    Measure(
        "image_change",
        "How far the recovered image lies from x, relative to the norm of x.",
        0.0,
        None,
        "neither",
        AS_LARGE,
        "norms of x",
        "own",
        lambda x, x_k: image_change(x[:, None], x_k),
        "median",
    ),
    Measure(
        "labels_kept",
        "Share of recovered images that the real network labels as it labels x.",
        0.0,
        1.0,
        "higher",
        AS_LARGE,
        "share",
        "own, after the paper's claim that the changes are irrelevant for the task",
    ),
)


def image_change(
    x: Float[Tensor, "*#points c h w"], x_k: Float[Tensor, "*#points c h w"]
) -> Float[Tensor, "*points"]:
    """Distance of the recovered image from x over the norm of x, ||x_k - x|| / ||x||.

    Args:
        x: Images in [0, 1]; broadcast against the points.
        x_k: Recovered images.

    Returns:
        One number per point; NaN where x is black all over.
    """
    norm = x.flatten(-3).norm(dim=-1)
    distance = (x_k - x).flatten(-3).norm(dim=-1)
    return torch.where(norm == 0, torch.nan, distance / norm)


def labels_kept(
    logits_x: Float[Tensor, "*#points classes"], logits_xk: Float[Tensor, "*#points classes"]
) -> Bool[Tensor, "*points"]:
    """Whether the real network's label of x_k is that of x, per point."""
    return logits_x.argmax(dim=-1) == logits_xk.argmax(dim=-1)
