"""Networks that the project did not write: read, exchanged, played with, inverted and pooled."""

import copy
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import foreign
import pytest
import torch
from networks import traces
from torch import Tensor, nn

from filtergan.config.fields import GanConfig, TraversalConfig
from filtergan.game.training import train
from filtergan.pooling.pool import FilterPool2d
from filtergan.pooling.retraining import later_parameters
from filtergan.sites.site import Site
from filtergan.sites.wrappers import output_of
from filtergan.walks.points import points_around
from filtergan.walks.search import PixelSearch
from filtergan.walks.walk import walk

RESNET = "resnet.encoder.stages"
CONVNEXT = "convnext.encoder.stages"
# network, layer, modules of the site behind the convolution, whether channels are last there
SITES: list[tuple[str, str, tuple[str, ...], bool]] = [
    (
        "resnet",  # its stem
        "resnet.embedder.embedder.convolution",
        ("resnet.embedder.embedder.normalization", "resnet.embedder.embedder.activation"),
        False,
    ),
    (
        "resnet",  # 3x3 in a residual block
        f"{RESNET}.1.layers.1.layer.0.convolution",
        (f"{RESNET}.1.layers.1.layer.0.normalization", f"{RESNET}.1.layers.1.layer.0.activation"),
        False,
    ),
    (
        "resnet",  # the 1x1 around a block
        f"{RESNET}.1.layers.0.shortcut.convolution",
        (f"{RESNET}.1.layers.0.shortcut.normalization",),
        False,
    ),
    # The stem's layer norm moves the channels to the end and back.
    ("convnext", "convnext.embeddings.patch_embeddings", ("convnext.embeddings.layernorm",), False),
    # Depthwise 7x7; its layer norm, and all behind it in the block, have the channels last.
    (
        "convnext",
        f"{CONVNEXT}.1.layers.0.dwconv",
        (f"{CONVNEXT}.1.layers.0.layernorm",),
        True,
    ),
    ("convnext", f"{CONVNEXT}.1.downsampling_layer.1", (), False),
]
MAKE: dict[str, Callable[[], nn.Module]] = {
    "resnet": foreign.resnet,
    "convnext": foreign.convnext,
}


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


def seen(network: nn.Module, names: tuple[str, ...], x: Tensor) -> dict[str, Tensor]:
    """What modules put out in an ordinary pass."""
    found: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _args: Any, output: Tensor, name: str) -> None:
        found[name] = output.clone()

    hooks = [
        network.get_submodule(name).register_forward_hook(partial(keep, name=name))
        for name in names
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found


def with_filters(network: nn.Module, layer: str, filters: Tensor) -> nn.Module:
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.get_parameter(f"{layer}.weight").copy_(filters)
    return other


@pytest.mark.parametrize(("make", "layer", "behind", "last"), SITES)
def test_what_is_read_and_exchanged(
    make: str, layer: str, behind: tuple[str, ...], last: bool
) -> None:
    network, x = MAKE[make](), images(3)
    network.train()
    before = traces(network)
    site = Site(network, layer, x)
    noise = torch.randn(3, *site.filters.shape, generator=torch.Generator().manual_seed(1))
    filters = site.filters + 0.3 * noise
    with torch.no_grad():
        response = site.respond(site.input(x))
        each = site.respond(site.input(x), filters)
        output, exchanged = site.output(x), site.output(x, filters=filters)
        returned = site.output(x, response=each)
    assert traces(network) == before

    network.eval()
    end = behind[-1] if behind else layer
    want = seen(network, (end,), x)[end]
    torch.testing.assert_close(response, want.movedim(-1, 1) if last else want)
    torch.testing.assert_close(output, network(x).logits)
    others = [with_filters(network, layer, f) for f in filters]
    wants = [seen(o, (end,), x)[end][i] for i, o in enumerate(others)]
    torch.testing.assert_close(each, torch.stack([w.movedim(-1, 0) if last else w for w in wants]))
    want = torch.stack([other(x).logits[i] for i, other in enumerate(others)])
    assert (want - network(x).logits).abs().max() > 1e-3
    torch.testing.assert_close(exchanged, want)
    torch.testing.assert_close(returned, want)


@pytest.mark.parametrize(
    ("make", "layer", "point", "module", "straight"),
    [
        ("resnet", SITES[0][1], f"{RESNET}.1.layers.1", None, True),  # a whole block
        (
            "resnet",  # its second convolution, with nothing but a normalisation
            f"{RESNET}.1.layers.1.layer.0.convolution",
            "+1",
            f"{RESNET}.1.layers.1.layer.1.normalization",
            False,
        ),
        ("convnext", "convnext.embeddings.patch_embeddings", "convnext.layernorm", None, True),
        ("convnext", f"{CONVNEXT}.1.downsampling_layer.1", f"{CONVNEXT}.1.layers.0", None, True),
        ("convnext", f"{CONVNEXT}.1.layers.0.dwconv", f"{CONVNEXT}.1.layers.0.act", None, False),
    ],
)
def test_readings_further_on(
    make: str, layer: str, point: str, module: str | None, straight: bool
) -> None:
    """They check the number of channels, which a trace must know."""
    network, x = MAKE[make](), images(3)
    before = traces(network)
    site = Site(network, layer, x, point)
    assert site.point == (module or point)
    assert site.straight == straight
    noise = torch.randn(3, *site.filters.shape, generator=torch.Generator().manual_seed(1))
    filters = site.filters + 0.3 * noise
    with torch.no_grad():
        response, each = site.respond(site.input(x)), site.respond(site.input(x), filters)
        returned = site.output(x, response=each)
    torch.testing.assert_close(response, seen(network, (site.point,), x)[site.point])
    others = [with_filters(network, layer, f) for f in filters]
    wants = [seen(o, (site.point,), x)[site.point][i] for i, o in enumerate(others)]
    torch.testing.assert_close(each, torch.stack(wants))
    logits = [other(x).logits[i] for i, other in enumerate(others)]
    torch.testing.assert_close(returned, torch.stack(logits))
    assert traces(network) == before


@pytest.mark.parametrize(("make", "layer", "behind", "last"), SITES)
def test_game_inversion_and_pooling(
    make: str, layer: str, behind: tuple[str, ...], last: bool
) -> None:
    network, x = MAKE[make](), images(10)
    before = traces(network)
    site = Site(network, layer, x[:2])
    config = GanConfig(latent=2, hidden=8, discriminator_channels=4, steps=3, batch=4, log_every=1)
    losses: list[dict[str, float]] = []
    gan = train(site, site.input(x), config, log=lambda _, values: losses.append(values))
    assert len(losses) == 3
    assert traces(network) == before

    z = gan.latents(2)
    search = PixelSearch.measured(x, TraversalConfig(evaluations=12))
    targets = points_around(z, 1, 2.0, 0)
    found = walk(gan, search, x[:2], z, targets)
    assert found.images.shape == (2, 3, 12, 12)
    assert (found.after + search.prior(found.images) < found.before + search.prior(x[:2])).all()
    assert traces(network) == before

    filters = gan.draw(gan.latents(2))
    with torch.no_grad():
        pooled = FilterPool2d.into(site, filters)
        mean = (
            site.respond(site.input(x), filters[0]) + site.respond(site.input(x), filters[1])
        ) / 2
        torch.testing.assert_close(output_of(pooled, x), site.output(x, response=mean))
        same = FilterPool2d.into(site, site.filters[None])
        torch.testing.assert_close(same(x).logits, network(x).logits)
    later = later_parameters(site, x[:2])
    assert "classifier.bias" in {name.replace("classifier.1", "classifier") for name in later}
    assert f"{layer}.weight" not in later
    assert not any("embed" in name for name in later)
    assert traces(network) == before


def test_stochastic_depth_is_off_and_the_mode_stays() -> None:
    network, x = foreign.convnext(drop=0.9), images(3)
    want = network(x).logits
    network.train()
    before = traces(network)
    site = Site(network, f"{CONVNEXT}.1.layers.0.dwconv", x)
    torch.testing.assert_close(site.output(x), want)
    assert torch.equal(site.output(x, filters=site.filters), site.output(x))
    assert traces(network) == before
    assert all(module.training for module in network.modules())


def _loads(library: str) -> bool:
    if importlib.util.find_spec(library) is None:
        return False
    try:
        importlib.import_module(library)
    except Exception:  # beside another build of torch it does not import
        return False
    return True


@pytest.mark.skipif(not _loads("torchvision"), reason="torchvision is not installed")
@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv1", "layer2.0.downsample.0"])
def test_torchvision(layer: str) -> None:
    from torchvision.models import resnet18  # pyright: ignore[reportMissingImports]

    check(foreign.settled(resnet18(num_classes=3)), layer)


@pytest.mark.skipif(not _loads("timm"), reason="timm is not installed")
@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet10t", "layer1.0.conv1"), ("convnext_atto", "stages.0.blocks.0.conv_dw")],
)
def test_timm(name: str, layer: str) -> None:
    import timm  # pyright: ignore[reportMissingImports]

    check(foreign.settled(timm.create_model(name, num_classes=3)), layer)


def check(network: nn.Module, layer: str) -> None:
    x = torch.rand(2, 3, 64, 64)
    before = traces(network)
    site = Site(network, layer, x)
    filters = site.filters + 0.1 * torch.randn_like(site.filters)
    with torch.no_grad():
        response = site.respond(site.input(x), filters)
        want = with_filters(network, layer, filters)(x)
        torch.testing.assert_close(site.output(x, filters=filters), want)
        torch.testing.assert_close(site.output(x, response=response), want)
    assert traces(network) == before
