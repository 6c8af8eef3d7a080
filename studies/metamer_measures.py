"""What sets of metamers are worth: responses, naturalness, and how different their images are."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from metamer_sets import Images, Sets, Task, pairwise, residual, responses
from torch import Tensor, nn

import filtergan as fg
from filtergan.classifiers.fitting import predict
from filtergan.classifiers.judges import Judges, get_judges
from filtergan.machine.runtime import sample
from filtergan.machine.storage import Subset
from filtergan.measures.inversion import gate, pair_null
from filtergan.measures.manifold import judges_agree, manifold_percentile
from filtergan.measures.statistics import interval
from filtergan.measures.transformers import independent_directions
from filtergan.walks.inverter import residual as profile_residual
from filtergan.walks.search import gaussian_blur

NEIGHBOURS, HELD_OUT = 20000, 2000  # as studies measure the manifold
ON_MANIFOLD = 0.95  # percentile
PAIRS = 1000  # of test images
LOW = 0.125  # cycles a pixel: what is slower than that is smooth
BLUR = 1.0  # pixels, as searches smooth changes
RESAMPLES = 2000
PerImage = dict[str, Float[Tensor, "n p"]]


@dataclass(frozen=True)
class Naturalness:
    """What the network and the judges make of images.

    Attributes:
        network: The studied one.
        judges: The dataset's.
        manifold: Features and labels of training images, then of test images.
    """

    network: nn.Module
    judges: Judges
    manifold: tuple[Tensor, Tensor, Tensor, Tensor]

    @classmethod
    def of(cls, run: Any, apart: Int64[Tensor, " n"]) -> "Naturalness":
        """Of a run, whose test images that are measured are kept apart."""
        data, seed = run.dataset, run.config.seed
        judges = get_judges(data, run.config.judges)
        near = sample(len(data.train), NEIGHBOURS, seed, "metamers", "neighbours")
        held = sample(len(data.test), HELD_OUT, seed, "metamers", "held out")
        held = held[~torch.isin(held, apart)]
        return cls(
            run.network,
            judges,
            (
                judges.features(Subset(data.train.images, near)),
                data.train.labels[near],
                judges.features(Subset(data.test.images, held)),
                data.test.labels[held],
            ),
        )

    def __call__(self, x: Images, labels: Int64[Tensor, " n"], sets: Sets) -> PerImage:
        """Labels kept, and where images lie among those of the class of x.

        Args:
            x: The images.
            labels: Their true classes.
            sets: Of each, pixels in [0, 1].
        """
        shape, flat = sets.shape[:2], sets.flatten(0, 1)
        before, after = (predict(self.network, images).argmax(1) for images in (x, flat))
        judged = self.judges.logits(flat).unflatten(1, shape)
        features = self.judges.features(flat).unflatten(0, shape)
        percentile = manifold_percentile(features, labels, *self.manifold)
        return {
            "labels_kept": (after.unflatten(0, shape) == before[:, None]).float(),
            "labels_kept_judges": judges_agree(self.judges.logits(x), judged),
            "manifold_percentile": percentile,
            "on_manifold": (percentile <= ON_MANIFOLD).float(),
        }


def pairs(task: Task, test: Images) -> Float[Tensor, " m"]:
    """Residuals of random pairs of test images: what no search at all reaches."""
    found = responses(task.site, test)
    return pair_null(found, found.roll(1, 0))


def measured(
    task: Task,
    labels: Int64[Tensor, " n"],
    sets: Sets,
    natural: Naturalness,
    others: Float[Tensor, " m"],
) -> dict[str, Tensor]:
    """Every measure of some sets, [n, p] of each image or [n, 1] of each set.

    Args:
        task: Images and site.
        labels: True classes of the images.
        sets: Pixels in [0, 1].
        natural: Network and judges.
        others: Residuals of random pairs.
    """
    found = natural(task.x, labels, sets)
    left = residual(task.site, task.wanted, sets)
    metamer = gate(left, others)
    kept = (found["labels_kept"] == 1) & (found["labels_kept_judges"] == 1)
    found |= {
        "residual": left,
        "residual_over_pairs": left / others.nanmean(),
        "metamers": metamer.float(),
        "natural_metamers": (metamer & kept & (found["on_manifold"] == 1)).float(),
        "smooth_share": smooth_share(sets - task.x[:, None]),
    }
    return found | diversity(task.x, sets)


def diversity(x: Images, sets: Sets) -> dict[str, Float[Tensor, "n 1"]]:
    """How different the images of a set are from each other, in norms of x.

    Returns:
        `change`, mean distance from x; `mean_distance` and `least_distance` of pairs, and
        `smooth_distance`, the mean of blurred images, which noise hardly moves;
        `independent_directions`, the participation ratio of the set about its mean: one less than
        it has images at most, 1 if all lie on a line, NaN if they are the same.
    """
    size = x.flatten(1).norm(dim=1)[:, None]
    apart = pairwise(sets)[:, 0] / size
    smooth = gaussian_blur(sets.flatten(0, 1), BLUR).unflatten(0, sets.shape[:2])
    centred = (sets - sets.mean(1, keepdim=True)).flatten(2)
    same = apart.amax(1) < 1e-5
    directions = torch.where(same, torch.nan, independent_directions(centred))
    return {
        "change": (sets - x[:, None]).flatten(2).norm(dim=2).mean(1, keepdim=True) / size,
        "mean_distance": apart.mean(1, keepdim=True),
        "least_distance": apart.amin(1, keepdim=True),
        "smooth_distance": pairwise(smooth).mean(2) / size,
        "independent_directions": directions[:, None],
    }


def start_kept(x: Images, starts: Sets, sets: Sets) -> Float[Tensor, "n p"]:
    """How much of the change from x that a search began with is left at its end.

    1: all of it, whatever was added at right angles; 0: none, as at x itself.
    """
    began, ended = ((images - x[:, None]).flatten(2) for images in (starts, sets))
    return (began * ended).sum(2) / began.square().sum(2)


def smooth_share(change: Sets) -> Float[Tensor, "n p"]:
    """Share of the power of changes of images at less than `LOW` cycles a pixel; NaN of none."""
    h, w = change.shape[-2:]
    rows, columns = torch.fft.fftfreq(h)[:, None], torch.fft.fftfreq(w)[None]
    low = (rows.square() + columns.square()).sqrt() < LOW
    power = torch.fft.fft2(change.double()).abs().square().sum(2)
    total = power.sum((2, 3))
    share = (power * low).sum((2, 3)) / total
    return torch.where(total < 1e-12, torch.nan, share).float()


@torch.no_grad()
def meant(task: Task, gan: fg.NaturalGAN, sets: Sets, z_k: Tensor) -> dict[str, Tensor]:
    """What T was made for: responses of x' under G(z') beside those of x under G(z).

    Returns:
        `residual_meant`, and `residual_meant_before` of x under G(z') itself.
    """
    p, found = z_k.shape[1], []
    for x, z, images, targets in zip(task.x, task.walk[0], sets, z_k, strict=True):
        filters, same = gan.draw(targets), x.expand(p, *x.shape)
        profiles = gan.site.respond(gan.site.input(same), gan.draw(z[None])[0])
        after, before = (
            profile_residual(gan.site, each, profiles, filters) for each in (images, same)
        )
        found.append(torch.stack([after, before]))
    after, before = torch.stack(found, dim=1)
    return {"residual_meant": after, "residual_meant_before": before}


def told(values: dict[str, Tensor], seed: int) -> dict[str, dict[str, Any]]:
    """Means with bootstrap intervals over images; None where nothing is defined."""
    found = {}
    for name, one in values.items():
        n, p = one.shape
        if one.isnan().all():
            found[name] = {"value": None, "ci95": None}
            continue
        owner = torch.arange(n).repeat_interleave(p)
        ends = interval(one.flatten(), owner, resamples=RESAMPLES, seed=seed)
        found[name] = {"value": float(one.nanmean()), "ci95": list(ends)}
    return found
