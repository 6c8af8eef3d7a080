"""The studied network: its training and use, and loading one of the user's own."""

import importlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.storage import Rows, batches

Prepare = Callable[[Tensor], Tensor]
OnStep = Callable[[int, int, Tensor, int], object]


def to_float(inputs: Tensor) -> Tensor:
    """Bytes from 0 to 255 become float32 from 0 to 1; floats are passed on as float32."""
    if inputs.dtype == torch.uint8:
        return inputs.to(torch.float32).div_(255)
    return inputs.float()


def augmented(images: Float[Tensor, "n c h w"], flip: bool, shift: int) -> Float[Tensor, "n c h w"]:
    """Images mirrored (every second, at random) and shifted, what comes in from outside black.

    Args:
        images: A minibatch.
        flip: Whether to mirror any.
        shift: The largest shift in each direction, in pixels.
    """
    n, _, height, width = images.shape
    where = torch.randint(2 * shift + 1, (2, n, 1), device=images.device)
    rows = where[0] + torch.arange(height, device=images.device)
    columns = where[1] + torch.arange(width, device=images.device)
    if flip:
        mirrored = torch.rand(n, 1, device=images.device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    wide = F.pad(images, (shift,) * 4).movedim(1, 3)
    which = torch.arange(n, device=images.device)[:, None, None]
    return wide[which, rows[:, :, None], columns[:, None, :]].movedim(3, 1).contiguous()


def fit(
    network: nn.Module,
    parameters: Iterable[nn.Parameter],
    inputs: Rows,
    labels: Int64[Tensor, " n"],
    *,
    epochs: int,
    batch: int = 128,
    rate: float = 4e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: torch.device | str = "cpu",
    prepare: Prepare = to_float,
    on_step: OnStep | None = None,
) -> None:
    """Train some parameters of a network, in place: AdamW, one-cycle schedule, cross-entropy.

    The network is moved to `device` and is in training mode meanwhile, except for submodules whose
    own parameters are not among those trained (the batch norms of frozen layers keep their
    statistics); afterwards every submodule has its previous training flag, and no gradient is left.
    All that is random (the shuffles, and dropout in the network) follows from `seed`, and torch's
    own random state is untouched. A last, shorter minibatch is dropped unless it is the only one.

    Args:
        network: Maps prepared inputs to logits [n, classes].
        parameters: Those to train; all others stay as they are.
        inputs: Training inputs [n, ...], as `prepare` takes them.
        labels: Their classes.
        epochs: Passes over the inputs.
        batch: Inputs in a minibatch.
        rate: Peak learning rate.
        weight_decay: Of AdamW.
        seed: Of the shuffles and of dropout.
        device: Where to train.
        prepare: Applied to each minibatch on the device.
        on_step: Called after each step with its number (from 1), the number of all steps, the
            loss before the step, and the number of samples shown so far.

    Raises:
        UserError: The loss is not finite (exit code 1); the weights are those before that step.
    """
    assert len(inputs) == len(labels) > 0
    trained = list(parameters)
    network.to(device)
    batch = min(batch, len(inputs))
    steps = epochs * (len(inputs) // batch)
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    minibatches = _minibatches(len(inputs), batch, epochs, seed)
    with _mode(network, training=True), _own_randomness(seed), torch.enable_grad():
        _freeze_others(network, trained)
        for step, index in enumerate(minibatches, start=1):
            x = prepare(inputs[index].to(device))
            loss = F.cross_entropy(network(x), labels[index].to(device))
            if not torch.isfinite(loss):
                raise UserError(
                    f"The loss of the network turned to {loss.item()} at step {step} of {steps}; "
                    "lower the learning rate.",
                    exit_code=1,
                )
            loss.backward(inputs=trained)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            if on_step is not None:
                on_step(step, steps, loss.detach(), step * batch)


def predict(
    network: Callable[[Tensor], Tensor],
    inputs: Rows,
    *,
    batch: int = 1000,
    device: torch.device | str = "cpu",
    prepare: Prepare = to_float,
) -> Float[Tensor, "n classes"]:
    """Return the logits of all inputs, on the CPU.

    A module is moved to `device` and is in evaluation mode meanwhile; its flags are then restored.

    Args:
        network: Maps prepared inputs to logits; a module or any other callable.
        inputs: Inputs [n, ...], as `prepare` takes them.
        batch: Inputs in a pass.
        device: Where to compute.
        prepare: Applied to each minibatch on the device.
    """
    module = network.to(device) if isinstance(network, nn.Module) else nn.Module()
    with _mode(module, training=False), torch.no_grad():
        parts = batches(len(inputs), batch)
        return torch.cat([network(prepare(inputs[part].to(device))).cpu() for part in parts])


def check_fits(network: nn.Module, shape: tuple[int, int, int], classes: int) -> None:
    """Refuse a dataset of the wrong shape for the network, before anything long is begun.

    Args:
        network: The network, on any device.
        shape: Channels, height and width of an image.
        classes: Number of classes of the dataset.

    Raises:
        UserError: The network cannot take such images, or gives no logit for each class.
    """
    first = next(itertools.chain(network.parameters(), network.buffers()), torch.zeros(()))
    images = torch.zeros(2, *shape, device=first.device)
    size = "x".join(map(str, shape))
    try:
        with _mode(network, training=False), torch.no_grad():
            logits = network(images)
    except Exception as error:  # whatever the user's own code raises
        raise UserError(
            f"The network cannot take the dataset's images of {size} (channels, height, width): "
            f"{_told(error)}."
        ) from error
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        given = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            f"The network gives {given} for 2 images, but the dataset has {classes} classes: "
            f"[2, {classes}] is needed. Use the network's own dataset, or another last layer."
        )


def load_model(spec: str, weights: str | Path | None) -> nn.Module:
    """Make a network of the user's own, and load its weights.

    Args:
        spec: `package.module:factory`; the working directory is searched first. The factory takes
            no arguments.
        weights: A .safetensors file, or a torch file that holds a state dict and nothing else (no
            pickled code is ever run); None keeps the weights that the factory gave.

    Raises:
        UserError: The factory is missing, fails, or returns no module; the weights are missing,
            damaged, or do not fit.
    """
    module_name, _, factory_name = spec.partition(":")
    if not module_name or not factory_name:
        raise UserError(f"{spec!r} names no network; write package.module:factory.")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        network = _make(spec, module_name, factory_name)
    finally:
        if here in sys.path:
            sys.path.remove(here)
    if weights is not None:
        _load_weights(network, Path(weights))
    return network


def _make(spec: str, module_name: str, factory_name: str) -> nn.Module:
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"The module of {spec!r} cannot be imported: {_told(error)}.") from error
    for name in factory_name.split("."):
        if not hasattr(found, name):
            raise UserError(f"There is no {factory_name!r} in the module {module_name!r}.")
        found = getattr(found, name)
    try:
        network = found()
    except Exception as error:
        raise UserError(
            f"The factory {spec!r} fails when called without arguments: {_told(error)}."
        ) from error
    if not isinstance(network, nn.Module):
        raise UserError(
            f"The factory {spec!r} returns {type(network).__name__}; it must return a "
            "torch.nn.Module."
        )
    return network


def _load_weights(network: nn.Module, path: Path) -> None:
    """Load a state dict whose names and shapes are exactly the network's."""
    state = _read_weights(path)
    own = network.state_dict()
    faults = {
        "it lacks": [name for name in own if name not in state],
        "the network has no": [name for name in state if name not in own],
        "other shapes have": [
            f"{name} {list(state[name].shape)} instead of {list(value.shape)}"
            for name, value in own.items()
            if name in state and state[name].shape != value.shape
        ],
    }
    told = "; ".join(f"{what} {_some(names)}" for what, names in faults.items() if names)
    if told:
        raise UserError(f"The weights in {path} do not fit the network: {told}.")
    network.load_state_dict(state)


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"There is no weights file {path}; check --weights.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"The weights file {path} is damaged: {_told(error)}.") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for a damaged file
        raise UserError(
            f"The weights file {path} is damaged, or holds more than tensors, which is never "
            "loaded; save network.state_dict(), best as .safetensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"The weights file {path} holds no state dict; save network.state_dict().")
    return state


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _told(error: BaseException) -> str:
    reason = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def _minibatches(n: int, batch: int, epochs: int, seed: int) -> Iterator[Int64[Tensor, " batch"]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator)
        yield from order[: n // batch * batch].split(batch)


@contextmanager
def _mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put every submodule into one mode, and each back into its own afterwards."""
    flags = {module: module.training for module in network.modules()}
    try:
        network.train(training)
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag


def _freeze_others(network: nn.Module, trained: list[nn.Parameter]) -> None:
    """Put submodules into evaluation mode that have parameters, none of which is trained."""
    known = {id(p) for p in trained}
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(id(p) in known for p in own):
            module.training = False


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed torch for what is random inside a network (dropout), and restore its state."""
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(seed)
        yield
