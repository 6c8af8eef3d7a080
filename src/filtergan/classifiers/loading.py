"""Networks of one's own: loaded with their weights, and checked against the images."""

import importlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.machine.wording import count_of
from filtergan.sites.convolution import convolutions
from filtergan.sites.wrappers import classifier_in, output_of, untouched, unwrapped


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
    running: list[tuple[str, Any]] = []
    try:
        with untouched(network), torch.no_grad(), ExitStack() as stack:
            for name, module in unwrapped(network).named_modules():
                stack.enter_context(_noted(name, module, running))
            logits = output_of(network, images)
    except UserError:
        raise
    except Exception as error:  # whatever the user's own code raises
        size = "x".join(map(str, shape))
        raise UserError(
            f"The network cannot take the dataset's images of {size} (channels, height, width): "
            f"{_reason(unwrapped(network), shape[0], running, error)}."
        ) from error
    _check_logits(logits, classes)


def _check_logits(logits: Any, classes: int) -> None:
    """Refuse what a network has put out for two images, where it is no logit for each class."""
    if not isinstance(logits, Tensor):
        raise UserError(
            f"The network gives a {type(logits).__name__} for 2 images, but [2, {classes}] is "
            "needed, or an object with these as `logits`: wrap it in a module whose forward "
            "returns the logits alone."
        )
    if logits.shape != (2, classes):
        raise UserError(
            f"The network gives {list(logits.shape)} for 2 images, but the dataset has {classes} "
            f"classes: [2, {classes}] is needed, or an object with these as `logits`. Use the "
            "network's own dataset, or another last layer."
        )
    if (logits >= 0).all() and (logits.sum(1) - 1).abs().max() < 1e-5:
        raise UserError(
            "The network gives probabilities, which add up to 1, but logits are needed: leave out "
            "its last softmax."
        )


@contextmanager
def _noted(name: str, module: nn.Module, running: list[tuple[str, Any]]) -> Iterator[None]:
    """Note what the module receives while it runs; the note stays where it fails."""
    before = module.register_forward_pre_hook(
        lambda _, args: running.append((name, args[0] if args else None))
    )
    after = module.register_forward_hook(lambda *_: running.pop() and None)
    try:
        yield
    finally:
        before.remove()
        after.remove()


def _reason(
    network: nn.Module, channels: int, running: list[tuple[str, Any]], error: Exception
) -> str:
    """Why the network failed: at its first convolution, at another layer, or outside of all."""
    known = convolutions(network)
    first = next(iter(known), "")
    if first and not any(name in known and name != first for name, _ in running):
        wanted = known[first].in_channels
        if wanted != channels:
            takes = count_of(wanted, "channel")
            return f"its first convolution {first!r} takes {takes}, they have {channels}"
    name, given = running[-1] if running else ("", None)
    if not name or not isinstance(given, Tensor):
        return _told(error)
    kind = type(network.get_submodule(name)).__name__
    return f"its layer {name!r}, a {kind}, fails on {list(given.shape)}: {_told(error)}"


def load_model(
    spec: str, weights: str | os.PathLike[str] | None = None, folder: Path = Path()
) -> nn.Module:
    """Make a network of the user's own, and load its weights.

    Args:
        spec: `package.module:factory`; the factory takes no arguments.
        weights: A .safetensors file, or a torch file that holds a state dict and nothing else (no
            pickled code is ever run); None keeps the weights that the factory gave.
        folder: Is searched first for the module; by default the working directory.

    Raises:
        UserError: The factory is missing, fails, or returns no module; the weights are missing,
            damaged, or do not fit.

    Examples:
        >>> import filtergan as fg
        >>> fg.load_model("torch.nn:Flatten")  # or "my_module:make", "weights.safetensors"
        Flatten(start_dim=1, end_dim=-1)
    """
    module_name, _, factory_name = spec.partition(":")
    if not module_name or not factory_name:
        raise UserError(f"{spec!r} names no network; write package.module:factory.")
    folder = folder.resolve()
    here = str(folder)
    sys.path.insert(0, here)
    try:
        _check_place(module_name, folder)
        network = _make(spec, module_name, factory_name)
    finally:
        if here in sys.path:
            sys.path.remove(here)
    if weights is not None:
        _load_weights(network, Path(weights))
    return network


def _check_place(module_name: str, folder: Path) -> None:
    """Refuse a module that Python has already loaded from elsewhere under the same name."""
    file = folder.joinpath(*module_name.split(".")).with_suffix(".py")
    loaded = getattr(sys.modules.get(module_name), "__file__", None)
    if loaded is not None and file.is_file() and not file.samefile(loaded):
        raise UserError(
            f"Another module {module_name!r} is loaded already, from {loaded}; load the one in "
            f"{folder} in a process of its own, or hand its network over."
        )


def _make(spec: str, module_name: str, factory_name: str) -> nn.Module:
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except SystemExit as error:
        raise UserError(
            f"The module of {spec!r} ends Python when it is imported ({_told(error)}); let it do "
            'what a program does, such as reading arguments, below `if __name__ == "__main__":`.'
        ) from error
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"The module of {spec!r} cannot be imported: {_told(error)}.") from error
    for name in factory_name.split("."):
        if not hasattr(found, name):
            raise UserError(f"There is no {factory_name!r} in the module {module_name!r}.")
        found = getattr(found, name)
    try:
        network = found()
    except (Exception, SystemExit) as error:
        raise UserError(
            f"The factory {spec!r} fails when called without arguments: {_told(error)}."
        ) from error
    if not isinstance(network, nn.Module | torch.export.ExportedProgram):
        raise UserError(
            f"The factory {spec!r} returns {type(network).__name__}; it must return a "
            "torch.nn.Module."
        )
    if classifier_in(network) is not None:
        raise UserError(
            f"The factory {spec!r} returns a Classifier; let it return the network in it, and tell "
            "the normalisation with --mean and --std."
        )
    return unwrapped(network)


def _load_weights(network: nn.Module, path: Path) -> None:
    """Load a state dict whose names and shapes are exactly the network's."""
    state, own = _read_weights(path), network.state_dict()
    wrappers = {"module"}, {"_orig_mod"}  # distributed and compiled networks may hold each other
    while state.keys() != own.keys() and {name.partition(".")[0] for name in state} in wrappers:
        state = {name.partition(".")[2]: value for name, value in state.items()}
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
