"""The training of a `WhitenedCNN`: what gets far in few passes."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from filtergan.classifiers.fitting import (
    OnStep,
    augmented,
    bfloat16,
    minibatches,
    mode,
    require_finite,
    steps_of,
)
from filtergan.classifiers.networks import WHITENED, WhitenedCNN
from filtergan.config.fields import CnnConfig
from filtergan.images.domain import to_float
from filtergan.machine import runtime
from filtergan.machine.storage import RowsLike, rows_of

SEEN = 5000  # images whose patches are whitened
FLOOR = 5e-4  # added to the variances of patches, of pixels of variance 1
MOMENTUM = 0.85
BIASES = 64  # rate of batch norm's shifts over that of all else
SMOOTHED = 0.2  # of a label, spread over all classes
FIRST, PEAK, LAST = 0.2, 0.23, 0.07  # share of the rate at either end, and when it is highest
SETTLED = 3  # epochs in which the whitening's bias still learns
AHEAD = 5  # steps after which the weights go back to their average


def fit_fast(
    network: WhitenedCNN,
    images: RowsLike,
    labels: Int64[Tensor, " n"],
    config: CnnConfig,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> None:
    """Whiten a network's first layer, and train the rest, in place.

    SGD with Nesterov momentum, a triangular rate, smoothed labels, averaged weights (lookahead) and
    mirrored images: every image by turns as it is and mirrored, so that two epochs show both. With
    bfloat16 where a card or the processor computes in it.

    Args:
        network: As it was made.
        images: Pixels [n, c, h, w], as `rows_of` makes rows.
        labels: Their classes.
        config: `epochs`, `batch`, `flip`, `shift`; `rate` and `weight_decay` for 1,024 images, as
            if there were no momentum.
        seed: Of all that is random.
        device: Where to train.
        on_step: As `fit` calls it.

    Raises:
        UserError: The loss is not finite (exit code 1).

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU".
    """
    rows = rows_of(images)
    network.to(device)
    whiten(network, to_float(rows[:SEEN].to(device)))
    steps, batch = steps_of(len(rows), config.epochs, config.batch), min(config.batch, len(rows))
    optimizer, schedule = _optimizer(network, config, batch, steps)
    _, bias = network.whiten.parameters()
    kept = {k: v.clone() for k, v in network.state_dict().items() if v.is_floating_point()}
    rng = torch.Generator().manual_seed(seed)
    mirrored = torch.rand(len(rows), generator=rng) < 0.5
    shuffled = minibatches(len(rows), batch, config.epochs, seed)
    reduced = bfloat16(device)
    with mode(network, training=True), runtime.own_randomness(seed), torch.enable_grad():
        for step, index in enumerate(shuffled, start=1):
            epoch = (step - 1) * config.epochs // steps
            bias.requires_grad_(epoch < SETTLED)
            x = to_float(rows[index].to(device))
            flip = config.flip and mirrored[index] ^ (epoch % 2 == 1)
            x = augmented(x, flip, config.shift, outside="reflect")
            with reduced:
                logits = network(x)
            known = labels[index].to(device)
            loss = F.cross_entropy(logits.float(), known, label_smoothing=SMOOTHED)
            require_finite(loss, step, steps)
            optimizer.zero_grad()
            (loss * batch).backward()
            optimizer.step()
            schedule.step()
            if step % AHEAD == 0 or step == steps:
                # At the end the average takes their place, if there were steps enough for one.
                last = float(steps > AHEAD)
                share = 0.95**AHEAD * (step / steps) ** 3 if step < steps else last
                _look_back(network, kept, share)
            if on_step is not None:
                on_step(step, steps, loss.detach(), step * batch)
        optimizer.zero_grad()


@torch.no_grad()
def whiten(network: WhitenedCNN, images: Float[Tensor, "n c h w"]) -> None:
    """Let the first layer give uncorrelated channels of variance 1, each with either sign.

    Args:
        network: Its `whiten` is set.
        images: Pixels from 0 to 1.
    """
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp(min=1e-3)
    scaled = (images - mean[:, None, None]) / std[:, None, None]
    patches = scaled.unfold(2, WHITENED, 1).unfold(3, WHITENED, 1).permute(0, 2, 3, 1, 4, 5)
    flat = patches.reshape(-1, scaled.shape[1] * WHITENED**2)
    variances, directions = torch.linalg.eigh(flat.mT @ flat / len(flat))
    filters = (directions / (variances + FLOOR).sqrt()).mT.flip(0)
    filters = filters.unflatten(1, (-1, WHITENED, WHITENED)) / std[:, None, None]
    filters = torch.cat([filters, -filters])
    weight, bias = network.whiten.parameters()
    weight.copy_(filters)
    bias.copy_(-(filters * mean[:, None, None]).sum((1, 2, 3)))


def _optimizer(
    network: WhitenedCNN, config: CnnConfig, batch: int, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    of_momentum = 1024 * (1 + 1 / (1 - MOMENTUM))
    rate, decay = config.rate / of_momentum, config.weight_decay * batch / of_momentum
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    shifts = [norm.bias for norm in norms]
    network.keep_fixed()
    # What takes the mean of the images away is not to decay.
    offset = network.whiten.bias
    apart = {id(p) for p in (offset, *shifts)}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in apart]
    groups = [
        {"params": shifts, "lr": BIASES * rate, "weight_decay": decay / (BIASES * rate)},
        {"params": others, "lr": rate, "weight_decay": decay / rate},
        {"params": [offset], "lr": rate},
    ]
    optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)

    def triangle(step: int) -> float:
        done = step / steps
        if done < PEAK:
            return FIRST + (1 - FIRST) * done / PEAK
        return 1 + (LAST - 1) * (done - PEAK) / (1 - PEAK)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, triangle)


@torch.no_grad()
def _look_back(network: nn.Module, kept: dict[str, Tensor], share: float) -> None:
    """Move an average towards the weights, but for this share of it, and the weights to it."""
    for name, value in network.state_dict().items():
        if name in kept:
            kept[name].lerp_(value, 1 - share)
            value.copy_(kept[name])
