"""Small networks of many makes (images of 1x8x8, 3 classes), and what a pass may not change."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SHAPE = (1, 8, 8)


def sequential(relu: Callable[[], nn.Module], norm: Callable[[int], nn.Module] | None) -> nn.Module:
    """Two convolutions, each with a normalisation (or none) and an activation, and a linear one."""
    layers: list[tuple[str, nn.Module]] = []
    for i, (before, after) in enumerate([(1, 4), (4, 6)], start=1):
        layers.append((f"conv{i}", nn.Conv2d(before, after, 3, padding=1)))
        if norm is not None:
            layers.append((f"norm{i}", norm(after)))
        layers += [(f"relu{i}", relu()), (f"pool{i}", nn.MaxPool2d(2))]
    layers += [("flatten", nn.Flatten()), ("fc", nn.Linear(24, 3))]
    return nn.Sequential(OrderedDict(layers))


class Functional(nn.Module):
    """The same with functions where modules are not needed."""

    def __init__(self, relu: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(24, 3)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(self.relu(self.norm2(self.conv2(x))), 2)
        return self.fc(x.flatten(1))


class Block(nn.Module):
    """A residual block whose way around has a convolution, run after those beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.conv2, self.norm2 = nn.Conv2d(5, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.skip = nn.Conv2d(4, 6, 1)
        self.relu = nn.ReLU(inplace=True)  # used twice

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        y += self.skip(x)
        return self.relu(y)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.last = nn.Conv2d(1, 4, 3), Block(), nn.Conv2d(6, 6, 3)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.last(self.block(torch.relu(self.stem(x)))))
        return self.fc(x.mean((2, 3)))


class Shared(nn.Module):
    """One nn.ReLU everywhere, convolutions called by keyword, a constant made on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6)
        self.fc = nn.Linear(54, 3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(input=x - torch.tensor([0.25]))))
        x = self.relu(self.norm2(self.conv2(input=x)))
        return self.fc(x.flatten(1))


class Untraceable(Functional):
    """What it does next depends on the values; `fault` makes it fail behind its convolutions."""

    fault = False

    @no_type_check
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            return x
        x = super().forward(x)
        if self.fault:
            raise ZeroDivisionError("the network's own")
        return x


def spectral() -> nn.Module:
    """Its convolutions have children: those that make their weights."""
    network = sequential(nn.ReLU, None)
    for name in ("conv1", "conv2"):
        spectral_norm(network.get_submodule(name))
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: sequential(nn.ReLU, nn.BatchNorm2d),
    "in place": lambda: sequential(lambda: nn.ReLU(inplace=True), nn.BatchNorm2d),
    "group norm": lambda: sequential(nn.GELU, lambda n: nn.GroupNorm(2, n)),
    "no norm": lambda: sequential(nn.ReLU, None),
    "spectral": spectral,
    "functional": Functional,
    "method in place": lambda: Functional(torch.relu_),
    "functional gelu": lambda: Functional(F.gelu),
    "shared": Shared,
    "residual": Residual,
    "untraceable": Untraceable,
}


def make(name: str, seed: int = 0) -> nn.Module:
    """A network as if trained: batch norms with statistics of their own; in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name]()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network.train()(images(64))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
    return network.eval()


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def in_disorder(network: nn.Module) -> nn.Module:
    """Mix training flags, demands for gradients, and gradients already there."""
    for i, module in enumerate(network.modules()):
        module.training = i % 2 == 0
    for i, p in enumerate(network.parameters()):
        p.requires_grad_(i % 3 != 0)
        p.grad = torch.full_like(p, i) if i % 2 else None
    next(network.children()).register_forward_hook(lambda *_: None)
    return network


def traces(network: nn.Module) -> list[Any]:
    """All that a pass could leave behind, in a form that compares with `==`."""
    found: list[Any] = [torch._C._len_torch_function_stack()]
    for name, module in network.named_modules():
        hooks = {k: list(v.items()) for k, v in vars(module).items() if "hooks" in k and v}
        found.append((name, module.training, sorted(vars(module)), hooks))
    for name, p in network.named_parameters():
        grad = None if p.grad is None else p.grad.tolist()
        found.append((name, id(p), p._version, p.requires_grad, grad))
    found += [(name, value.tolist()) for name, value in network.state_dict().items()]
    return found
