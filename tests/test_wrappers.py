"""Networks as others hand them over: compiled, wrapped, scripted, exported, weights computed."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import images, make, traces
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from filtergan.classifiers.loading import load_model
from filtergan.errors import UserError
from filtergan.sites.site import Site
from filtergan.sites.wrappers import unwrapped

pytestmark = pytest.mark.filterwarnings("ignore")  # torch deprecates half of what is tested here


def compiled(network: nn.Module) -> Any:
    return torch.compile(network, backend="eager")


def same(site: Site, network: nn.Module, layer: str) -> None:
    """What the site reads and exchanges is what it does in the plain network."""
    x = images(3)
    plain = Site(network, layer, x)
    noise = torch.randn(3, *plain.filters.shape, generator=torch.Generator().manual_seed(1))
    filters = plain.filters + 0.2 * noise
    with torch.no_grad():
        torch.testing.assert_close(site.respond(site.input(x)), plain.respond(plain.input(x)))
        torch.testing.assert_close(
            site.output(x, filters=filters), plain.output(x, filters=filters)
        )
        response = site.respond(site.input(x), filters)
        torch.testing.assert_close(
            site.output(x, response=response), plain.output(x, filters=filters)
        )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: torch.compile(network),
        nn.DataParallel,
        lambda network: nn.DataParallel(compiled(network)),
    ],
    ids=["compiled", "data parallel", "both"],
)
def test_wrapped(wrap: Callable[[nn.Module], Any]) -> None:
    network = make("residual")
    wrapped = wrap(network)
    before = traces(network)
    site = Site(wrapped, "block.conv1", images(2))
    assert site.network is network
    same(site, network, "block.conv1")
    assert traces(network) == before


@pytest.mark.parametrize("ran", [False, True])
def test_a_compiled_part(ran: bool) -> None:
    """It runs as the plain module that it is, also where it was compiled and ran before."""
    network, partly = make("residual"), make("residual")
    partly.set_submodule("block", compiled(partly.get_submodule("block")))
    if ran:
        partly(images(3))
    site = Site(partly, "block._orig_mod.conv1", images(2))
    same(site, network, "block.conv1")
    same(Site(partly, "last", images(2)), network, "last")
    torch.testing.assert_close(partly(images(3)), network(images(3)))


def test_a_network_compiled_in_place() -> None:
    network, own = make("plain"), make("plain")
    own.compile(backend="eager")
    own(images(3))
    same(Site(own, "conv2", images(2)), network, "conv2")


@pytest.mark.parametrize(
    "script",
    [torch.jit.script, lambda network: torch.jit.trace(network, images(2))],
    ids=["scripted", "traced"],
)
def test_torch_script(script: Callable[[nn.Module], Any]) -> None:
    with pytest.raises(UserError, match=r"is a TorchScript module, .* use the network that was"):
        Site(script(make("plain")), "conv1", images(2))


@pytest.mark.parametrize(
    "hand_over",
    [
        lambda program: program,
        lambda program: program.module(),
        lambda program: torch.export.unflatten(program),
    ],
    ids=["program", "module", "unflattened"],
)
def test_exported(hand_over: Callable[[Any], Any]) -> None:
    program = torch.export.export(make("plain"), (images(2),))
    with pytest.raises(UserError, match=r"comes from torch.export, .* use the network that was"):
        unwrapped(hand_over(program))


def test_symbolically_traced() -> None:
    network = make("plain")
    same(Site(torch.fx.symbolic_trace(network), "conv2", images(2)), network, "conv2")


def test_lazy() -> None:
    network = nn.Sequential(nn.LazyConv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(UserError, match="Layer '0' of the network is lazy and has no weights yet"):
        Site(network, "0", images(2))
    assert isinstance(network[0], nn.LazyConv2d), "it was not run"
    network(images(2))
    assert Site(network, "0", images(2)).filters.shape == (2, 1, 3, 3)


def test_transposed() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 3))
    with pytest.raises(
        UserError, match="'1' is a ConvTranspose2d, not a convolution; those are: 0"
    ):
        Site(network, "1", images(2))


WEIGHTS: dict[str, Callable[[nn.Module], object]] = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "old weight norm": weight_norm,
    "old spectral norm": spectral_norm,
    "pruned": lambda conv: prune.random_unstructured(conv, "weight", 0.5),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_computed(kind: str) -> None:
    torch.manual_seed(0)
    network = make("plain")
    conv = network.get_submodule("conv2")
    WEIGHTS[kind](conv)
    state = {name: v + 0.1 for name, v in network.state_dict().items() if v.is_floating_point()}
    network.load_state_dict(state, strict=False)  # what was computed before is out of date
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    site = Site(network, "conv2", images(2))

    plain = make("plain")
    with torch.no_grad():
        network(images(2))
        plain.load_state_dict(network.state_dict(), strict=False)
        plain.get_parameter("conv2.weight").copy_(site.conv.weight)
        plain.get_parameter("conv2.bias").copy_(network.get_parameter("conv2.bias"))
        torch.testing.assert_close(site.filters, plain.get_parameter("conv2.weight"))
    same(site, plain, "conv2")
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


class Standardised(nn.Conv2d):
    """Its weights are standardised on the way, as those of some networks are."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight / self.weight.std(), self.bias)


def test_a_convolution_that_does_more() -> None:
    network = nn.Sequential(Standardised(1, 2, 3), nn.ReLU())
    with pytest.raises(UserError, match="'0', a Standardised, computes something else than a conv"):
        Site(network, "0", images(2))


@pytest.mark.parametrize("shape", [(4, 1, 4, 8), (2, 64)])
def test_inputs_that_are_not_one_for_each_image(shape: tuple[int, ...]) -> None:
    conv = nn.Conv2d(1, 2, 3) if len(shape) == 4 else nn.Conv1d(2, 2, 3)

    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.reshape(shape))

    with pytest.raises(UserError, match=r"'conv' receives \[.*\] for 2 images"):
        Site(Folded(), "conv", images(2))


# ------------------------------------------------------------------------- handed over by --model

FACTORIES = """
from collections import OrderedDict
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
def named():
    return nn.Sequential(OrderedDict(module=make()))
def compiled():
    return torch.compile(make())
def parallel():
    return nn.DataParallel(make())
def scripted():
    return torch.jit.script(make())
def exported():
    return torch.export.export(make(), (torch.rand(2, 1, 8, 8),))
def module():
    return exported().module()
def lazy():
    return nn.Sequential(nn.LazyConv2d(2, 3))
"""


@pytest.fixture
def _factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrapped_factories.py").write_text(FACTORIES)
    monkeypatch.delitem(sys.modules, "wrapped_factories", raising=False)  # of another test
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_factories")
@pytest.mark.parametrize("name", ["make", "named", "compiled", "parallel"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_factories_and_weights_of_wrapped_networks(name: str, prefix: str, tmp_path: Path) -> None:
    state = load_model(f"wrapped_factories:{name}", None).state_dict()
    kept = {prefix + key: torch.full_like(value, 0.5) for key, value in state.items()}
    save_file(kept, tmp_path / "w.safetensors")
    network = load_model(f"wrapped_factories:{name}", tmp_path / "w.safetensors")
    assert type(network) is nn.Sequential
    assert all((value == 0.5).all() for value in network.state_dict().values())


@pytest.mark.usefixtures("_factories")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scripted", "is a TorchScript module"),
        ("exported", "comes from torch.export"),
        ("module", "comes from torch.export"),
        ("lazy", "is lazy and has no weights yet"),
    ],
)
def test_factories_that_are_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_model(f"wrapped_factories:{name}", None)
