"""The studied network: its training and use."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.machine import runtime
from filtergan.machine.distributed import spread
from filtergan.machine.storage import RowsLike, batches, pairs_of, rows_of
from filtergan.sites.wrappers import output_of

Prepare = Callable[[Tensor], Tensor]
OnStep = Callable[[int, int, Tensor, int], object]


def channels_last(network: nn.Module) -> nn.Module:
    """Lay out the weights of planar convolutions with channels last, in place; returns the network.

    The values stay. What a convolution puts out has the layout of its weights, and on a CPU
    max-pooling is several times faster, and training half as fast again, with channels last.
    """
    for module in network.modules():
        for weight in module.parameters(recurse=False) if isinstance(module, nn.Conv2d) else ():
            if weight.ndim == 4:
                # Not `contiguous`, which leaves the strides of a single channel as they are.
                other = torch.empty_like(weight, memory_format=torch.channels_last)
                weight.data = other.copy_(weight.data)
    return network


def augmented(
    images: Float[Tensor, "n c h w"],
    flip: bool | Bool[Tensor, " n"],
    shift: int,
    outside: str = "constant",
) -> Float[Tensor, "n c h w"]:
    """Images mirrored and shifted at random.

    Args:
        images: A minibatch.
        flip: Whether to mirror every second, at random; or which are mirrored.
        shift: The largest shift in each direction, in pixels.
        outside: What comes in from there, as `torch.nn.functional.pad` has it; by default black.
    """
    if flip is False and not shift:
        return images
    n, _, height, width = images.shape
    where = torch.randint(2 * shift + 1, (2, n, 1), device=images.device)
    rows = where[0] + torch.arange(height, device=images.device)
    columns = where[1] + torch.arange(width, device=images.device)
    if flip is True:
        flip = torch.rand(n, device=images.device) < 0.5
    if flip is not False:
        columns = torch.where(flip[:, None].to(images.device), columns.flip(1), columns)
    wide = F.pad(images, (shift,) * 4, mode=outside).movedim(1, 3)
    which = torch.arange(n, device=images.device)[:, None, None]
    return wide[which, rows[:, :, None], columns[:, None, :]].movedim(3, 1).contiguous()


def require_finite(loss: Tensor, step: int, steps: int) -> None:
    """See that a training may go on.

    Raises:
        UserError: The loss is not finite (exit code 1).
    """
    if not torch.isfinite(loss):
        raise UserError(
            f"The loss of the network turned to {loss.item()} at step {step} of {steps}; "
            "lower the learning rate.",
            exit_code=1,
        )


def steps_of(inputs: int, epochs: int, batch: int) -> int:
    """Steps of `fit` with so many inputs: the last, shorter minibatch of an epoch is dropped."""
    return epochs * max(1, inputs // batch)


def fit(
    network: nn.Module,
    parameters: Iterable[nn.Parameter],
    inputs: RowsLike,
    labels: Shaped[Tensor, " n"] | Shaped[np.ndarray, " n"] | None = None,
    *,
    epochs: int,
    batch: int = 128,
    rate: float = 4e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: torch.device | str | None = None,
    prepare: Prepare = to_float,
    mixed: bool = False,
    on_step: OnStep | None = None,
) -> None:
    """Train some parameters of a network, in place: AdamW, one-cycle schedule, cross-entropy.

    A network that is not on `device` is moved there for good. It is in training mode meanwhile,
    except for submodules whose own parameters are not among those trained (the batch norms of
    frozen layers keep their statistics); afterwards every submodule has its previous training flag,
    and no gradient is left.
    All that is random (the shuffles, and dropout in the network) follows from `seed`, and torch's
    own random state is untouched. A last, shorter minibatch is dropped unless it is the only one.

    Args:
        network: Maps prepared inputs to logits [n, classes].
        parameters: Those to train, where they require gradients; all others stay as they are.
        inputs: Training inputs [n, ...], as `prepare` takes them and as `rows_of` makes rows.
        labels: Their classes; None: those of the `Dataset` or `DataLoader` that is given, whose
            items are pairs (image, label).
        epochs: Passes over the inputs.
        batch: Inputs in a minibatch.
        rate: Peak learning rate.
        weight_decay: Of AdamW.
        seed: Of the shuffles and of dropout.
        device: Where to train; by default where the network is.
        prepare: Applied to each minibatch on the device.
        mixed: Compute in bfloat16 where the device does it by itself.
        on_step: Called after each step with its number (from 1), the number of all steps, the
            loss before the step, and the number of samples shown so far.

    Raises:
        UserError: There is no label for each input, or all parameters are frozen; or the loss is
            not finite (exit code 1), where the weights are those before that step.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        >>> images, labels = torch.rand(32, 1, 8, 8), torch.randint(10, (32,))
        >>> fg.fit(network, network.parameters(), images, labels, epochs=2)
        >>> pairs = torch.utils.data.TensorDataset(images, labels)  # or a DataLoader of them
        >>> fg.fit(network, network.parameters(), pairs, epochs=2)
    """
    pairs = pairs_of(inputs, labels)
    trained = _free(parameters)
    device = _placed(network, device)
    steps, batch = steps_of(len(pairs), epochs, batch), min(batch, len(pairs))
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    shuffled = minibatches(len(pairs), batch, epochs, seed)
    reduced = bfloat16(device) if mixed else nullcontext()
    with mode(network, training=True), runtime.own_randomness(seed), torch.enable_grad():
        _freeze_others(network, trained)
        for step, index in enumerate(shuffled, start=1):
            shown, wanted = pairs[index]
            x = prepare(shown.to(device))
            with reduced:
                logits = output_of(network, x)
            if mixed:
                logits = logits.float()
            loss = F.cross_entropy(logits, wanted.to(device))
            require_finite(loss, step, steps)
            loss.backward(inputs=trained)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            if on_step is not None:
                on_step(step, steps, loss.detach(), step * batch)


def predict(
    network: Callable[[Tensor], Tensor],
    inputs: RowsLike,
    *,
    batch: int = 1000,
    device: torch.device | str | None = None,
    prepare: Prepare = to_float,
) -> Float[Tensor, "n classes"]:
    """Return the logits of all inputs, on the CPU; several processes share the passes.

    A module that is not on `device` is moved there for good. It is in evaluation mode meanwhile,
    and its flags are then restored.

    Args:
        network: Maps prepared inputs to logits; a module or any other callable.
        inputs: Inputs [n, ...], as `prepare` takes them and as `rows_of` makes rows.
        batch: Inputs in a pass.
        device: Where to compute; by default where the module is, or on the CPU.
        prepare: Applied to each minibatch on the device.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> fg.predict(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), torch.rand(32, 1, 8, 8)).shape
        torch.Size([32, 10])
    """
    inputs = rows_of(inputs)
    module = network if isinstance(network, nn.Module) else nn.Module()
    device = _placed(module, device)
    with mode(module, training=False), torch.no_grad():
        parts = spread(
            lambda part: output_of(network, prepare(inputs[part].to(device))).cpu(),
            batches(len(inputs), batch),
        )
        return torch.cat(parts)


def _free(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that require gradients, of which there must be some."""
    found = [p for p in parameters if p.requires_grad]
    if not found:
        raise UserError("These parameters are frozen; network.requires_grad_(True) frees them.")
    return found


def _placed(module: nn.Module, device: torch.device | str | None) -> torch.device:
    """Move a module to a device, if one is named; returns where its first number lies."""
    if device is not None:
        module.to(device)
        return torch.device(device)
    own = chain(module.parameters(), module.buffers())
    return next((one.device for one in own), torch.device("cpu"))


def minibatches(n: int, batch: int, epochs: int, seed: int) -> Iterator[Int64[Tensor, " batch"]]:
    """Indices of whole minibatches, shuffled anew in every epoch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator)
        yield from order[: n // batch * batch].split(batch)


@contextmanager
def mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put every submodule into one mode, and each back into its own afterwards."""
    flags = {module: module.training for module in network.modules()}
    try:
        network.train(training)
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag


def bfloat16(device: torch.device | str) -> torch.autocast:
    """A context that computes in bfloat16 where that is more than converting to it."""
    kind = torch.device(device).type
    if kind == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(kind, torch.bfloat16, enabled=native)


def _freeze_others(network: nn.Module, trained: list[nn.Parameter]) -> None:
    """Put submodules into evaluation mode that have parameters, none of which is trained."""
    known = {id(p) for p in trained}
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(id(p) in known for p in own):
            module.training = False
