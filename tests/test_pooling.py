"""Pooling over draws, its place in networks of many makes, and the re-training behind it."""

import pytest
import torch
import torch.nn.functional as F
from networks import images, in_disorder, make, traces
from torch import Tensor, nn

from filtergan.classifiers.fitting import predict
from filtergan.config.fields import MeasureConfig
from filtergan.errors import UserError
from filtergan.images.domain import to_float
from filtergan.pooling.pool import FilterPool2d, pooled_response
from filtergan.pooling.retraining import draw_accuracy, later_parameters, retrain, retraining
from filtergan.sites.convolution import convolve
from filtergan.sites.site import Site

CPU = torch.device("cpu")
PLACES = [
    *(("plain", layer) for layer in ("conv1", "conv2")),
    *(("in place", layer) for layer in ("conv1", "conv2")),
    ("group norm", "conv1"),
    ("no norm", "conv2"),
    ("spectral", "conv2"),
    ("functional", "conv1"),
    *(("shared", layer) for layer in ("conv1", "conv2")),
    *(("residual", layer) for layer in ("stem", "block.conv1", "block.conv2", "block.skip")),
    ("untraceable", "conv1"),
]


def draws(site: Site, k: int = 4) -> Tensor:
    noise = torch.Generator().manual_seed(3)
    return site.filters + 0.3 * torch.randn(k, *site.filters.shape, generator=noise)


def dataset(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Bytes of images in three classes of brightness."""
    labels = torch.arange(n) % 3
    pixels = images(n, seed) * (labels[:, None, None, None] + 1) / 3
    return (pixels * 255).to(torch.uint8), labels


@pytest.mark.parametrize(("name", "layer"), PLACES)
@pytest.mark.parametrize("point", ["conv", "activation"])
def test_equation_9(name: str, layer: str, point: str) -> None:
    site, x = Site(make(name), layer, images(2), point), images(5)
    filters = draws(site)
    h = site.input(x)
    want = torch.stack([site.respond(h, f) for f in filters]).mean(0)
    torch.testing.assert_close(pooled_response(site, h, filters), want)
    # Averaged before a nonlinearity it would be one convolution with the mean filters.
    mean = site.respond(h, filters.mean(0))
    linear = point == "conv" or layer in ("block.conv2", "block.skip")
    assert torch.allclose(want, mean, atol=1e-5) == linear


@pytest.mark.parametrize(("name", "layer"), PLACES)
@pytest.mark.parametrize("point", ["conv", "activation"])
def test_into_a_network(name: str, layer: str, point: str) -> None:
    network, x = in_disorder(make(name)), images(5)
    before = traces(network)
    site = Site(network, layer, x, point)
    filters = draws(site)
    pooled = FilterPool2d.into(site, filters)
    assert traces(network) == before

    want = site.output(x, response=pooled_response(site, site.input(x), filters))
    with torch.no_grad():
        torch.testing.assert_close(pooled.eval()(x), want)
    assert traces(network) == before

    state = pooled.state_dict()
    torch.testing.assert_close(state[f"{layer}.filters"], filters)
    assert f"{layer}.weight" not in state
    other = FilterPool2d.into(site, torch.zeros_like(filters)).eval()
    other.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(other(x), want)


def test_the_real_filters_pooled_are_the_network() -> None:
    network, x = make("plain"), images(5)
    site = Site(network, "conv2", x)
    pooled = FilterPool2d.into(site, site.filters.expand(3, -1, -1, -1, -1))
    torch.testing.assert_close(pooled(x), network(x))


def test_what_was_studied_stays_in_evaluation_mode() -> None:
    network, x = make("plain"), images(6)
    pooled = FilterPool2d.into(Site(network, "conv2", x), torch.rand(2, 6, 4, 3, 3))
    conv = pooled.get_submodule("conv2")
    assert isinstance(conv, FilterPool2d)
    kept = {name: value.clone() for name, value in conv.state_dict().items()}
    h = torch.rand(6, 4, 4, 4)
    want = pooled.eval().get_submodule("conv2")(h)
    pooled.train()
    assert conv.training
    assert not any(module.training for module in conv.tail.modules())
    assert pooled.get_submodule("norm1").training
    torch.testing.assert_close(conv(h), want, rtol=0, atol=0)
    pooled(x)
    torch.testing.assert_close(conv.state_dict(), kept, rtol=0, atol=0)
    assert conv.filters.requires_grad is False


def test_the_module_alone() -> None:
    site = Site(make("group norm"), "conv2", images(1))
    filters, h = draws(site), torch.rand(3, 4, 4, 4)
    with torch.no_grad():
        pool = FilterPool2d(filters, site.bias, site.geometry, nn.Tanh())
        want = sum(convolve(h, f, site.bias, site.geometry).tanh() for f in filters) / 4
        torch.testing.assert_close(pool(h), want)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("functional gelu", "'conv1' cannot be pooled: gelu behind it"),
        ("shared norm", "batch_norm"),
    ],
)
def test_what_cannot_be_taken_out(name: str, words: str) -> None:
    if name == "shared norm":
        network = nn.Sequential(nn.Conv2d(1, 4, 3), norm := nn.BatchNorm2d(4), nn.Tanh(), norm)
        site = Site(network.eval(), "0", images(1))
    else:
        site = Site(make(name), "conv1", images(1))
    with pytest.raises(UserError, match=words):
        FilterPool2d.into(site, draws(site))
    # At `conv` nothing has to be taken out.
    FilterPool2d.into(Site(site.network, site.layer, images(1), "conv"), draws(site))


class Moved(nn.Module):
    """Moves dimensions, as a module of torchvision's does."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)


@pytest.mark.parametrize("width", [3, 4])  # channels as many as a side, or not
def test_modules_that_move_dimensions_stay(width: int) -> None:
    last = (Moved(0, 2, 3, 1), nn.LayerNorm(4), nn.Linear(4, 5), nn.Flatten())
    network, x = nn.Sequential(nn.Conv2d(1, 4, 3), *last).eval(), images(2)[..., : width + 2]
    site = Site(network, "0", x)
    filters = draws(site)
    with torch.no_grad():
        want = site.output(x, response=pooled_response(site, site.input(x), filters))
        torch.testing.assert_close(FilterPool2d.into(site, filters)(x), want)


def test_a_later_response_point() -> None:
    site = Site(make("plain"), "conv1", images(1), "pool1")
    with pytest.raises(UserError, match="'pool1' lies beyond it"):
        FilterPool2d.into(site, draws(site))


def both(*layers: str) -> list[str]:
    return [f"{layer}.{p}" for layer in layers for p in ("weight", "bias")]


@pytest.mark.parametrize(
    ("name", "layer", "point", "names"),
    [
        ("plain", "conv1", "activation", both("conv2", "norm2", "fc")),
        ("plain", "conv1", "conv", both("norm1", "conv2", "norm2", "fc")),
        ("plain", "conv1", "conv2", both("norm2", "fc")),
        ("plain", "conv2", "activation", both("fc")),
        ("plain", "fc", "activation", []),
        ("shared", "conv1", "activation", both("conv2", "norm2", "fc")),
        ("untraceable", "conv1", "activation", ["conv2.weight", *both("norm2", "fc")]),
        # The way around the site runs later than it, but is not downstream of it.
        ("residual", "block.conv1", "activation", both("block.conv2", "block.norm2", "last", "fc")),
        (
            "residual",
            "block.conv1",
            "conv",
            both(*(f"block.{n}" for n in ("norm1", "conv2", "norm2")), "last", "fc"),
        ),
        ("residual", "block.skip", "activation", both("last", "fc")),
        (
            "residual",
            "stem",
            "activation",
            both(
                *(f"block.{n}" for n in ("conv1", "norm1", "conv2", "norm2", "skip")), "last", "fc"
            ),
        ),
        (
            "spectral",
            "conv1",
            "activation",
            ["conv2.bias", "conv2.parametrizations.weight.original", *both("fc")],
        ),
    ],
)
def test_later_parameters(name: str, layer: str, point: str, names: list[str]) -> None:
    network = in_disorder(make(name))
    if layer == "fc":
        network, layer = nn.Sequential(nn.Linear(8, 8), nn.Conv2d(1, 2, 3)), "1"
    before = traces(network)
    site = Site(network, layer, images(2), point)
    assert later_parameters(site, images(2)) == names
    assert traces(network) == before


class Attending(nn.Module):
    """Attention, which uses the weights of a layer of its own without running it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.unused = nn.Conv2d(1, 4, 3), nn.Linear(2, 2)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.conv(x).flatten(2).mT
        return self.attention(rows, rows, rows)[0].mean(1) + 0 * x.sum()


def test_parts_that_do_not_run_are_later_as_well() -> None:
    network = Attending().eval()
    own = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    for point in ("conv", "activation"):
        site = Site(network, "conv", images(2), point)
        assert later_parameters(site, images(2)) == [f"attention.{name}" for name in own]


@pytest.mark.parametrize(
    ("name", "layer", "point"),
    [
        ("plain", "conv2", "activation"),
        ("in place", "conv2", "activation"),
        ("no norm", "conv1", "conv"),
        ("residual", "block.conv1", "activation"),
        ("residual", "block.conv1", "conv"),
        ("plain", "conv1", "pool1"),
    ],
)
@pytest.mark.parametrize("batch", [3, 1000])
def test_accuracy_of_draws(name: str, layer: str, point: str, batch: int) -> None:
    site = Site(make(name), layer, images(2), point)
    pixels, labels = dataset(10)
    filters, x = draws(site, 5), to_float(pixels)
    ticks: list[int] = []
    got = draw_accuracy(
        site, pixels, labels, filters, (1, 3, 5, 9), device=CPU, batch=batch, tick=ticks.append
    )
    assert sum(ticks) == 5 * 10
    assert got.single.shape == (5, 10)
    assert sorted(got.pooled) == [1, 3, 5]  # of nine there are not enough
    with torch.no_grad():
        for one, right in zip(filters, got.single, strict=True):
            logits = torch.cat([site.output(image[None], filters=one) for image in x])
            assert torch.equal(logits.argmax(1) == labels, right)
        for k, right in got.pooled.items():
            mean = torch.stack([site.respond(site.input(x), f) for f in filters[:k]]).mean(0)
            assert torch.equal(site.output(x, response=mean).argmax(1) == labels, right)
    assert torch.equal(got.pooled[1], got.single[0])


RETRAINED = [
    ("plain", "conv2", "activation"),
    ("in place", "conv2", "conv"),
    ("residual", "stem", "activation"),
    ("residual", "block.conv1", "activation"),
    ("residual", "block.conv1", "conv"),
    ("shared", "conv2", "activation"),
    ("untraceable", "conv2", "activation"),
]


@pytest.mark.parametrize(("name", "layer", "point"), RETRAINED)
def test_retraining(name: str, layer: str, point: str) -> None:
    network = in_disorder(make(name))
    before = traces(network)
    site = Site(network, layer, images(2), point)
    train, (test, truth) = dataset(256), dataset(60, seed=1)
    filters = draws(site, 2)
    config = MeasureConfig(retrain_epochs=8, retrain_rate=3e-3)

    rng = torch.get_rng_state()
    got = retrain(site, filters, train, test, config, seed=5, device=CPU)
    assert torch.equal(torch.get_rng_state(), rng)
    assert traces(network) == before
    again = retrain(site, filters, train, test, config, seed=5, device=CPU)
    assert torch.equal(got, again)

    x = to_float(test)
    with torch.no_grad():
        mean = pooled_response(site, site.input(x), filters)
        untrained = site.output(x, response=mean)
    assert F.cross_entropy(got, truth) < F.cross_entropy(untrained, truth) - 0.05


@pytest.mark.parametrize(
    ("name", "layer"), [("plain", "conv2"), ("residual", "block.conv2"), ("untraceable", "conv2")]
)
def test_retraining_the_real_filters_at_no_rate(name: str, layer: str) -> None:
    """It gives the network as it is, up to the half precision in which responses are kept."""
    network, test = make(name), dataset(20, seed=1)[0]
    site = Site(network, layer, images(2))
    config = MeasureConfig(retrain_epochs=1, retrain_rate=1e-12)
    train, ticks = dataset(150), list[int]()  # 22 more than a minibatch
    got = retrain(
        *(site, site.filters[None], train, test, config), seed=0, device=CPU, tick=ticks.append
    )
    assert sum(ticks) == retraining(site, 150, 20, config)
    close = 2e-3 if site.straight else 1e-5
    torch.testing.assert_close(got, predict(network, test), rtol=close, atol=close)


def test_nothing_left_to_retrain() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
    site = Site(network, "0", images(1))
    (test, _), ticks = dataset(9), list[int]()
    got = retrain(
        *(site, site.filters[None], dataset(8), test, MeasureConfig()),
        seed=0,
        device=CPU,
        tick=ticks.append,
    )
    torch.testing.assert_close(got, predict(network, test), rtol=2e-3, atol=2e-3)
    assert sum(ticks) == retraining(site, 8, 9, MeasureConfig())


def test_a_network_that_views_its_planes() -> None:
    """`view` takes no other layout of the same numbers, so a user's network must keep its own."""

    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.relu(self.conv(x)).view(-1, 4 * 64))

    pixels = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8)
    labels, network = torch.arange(10) % 3, Viewing().eval()
    site = Site(network, "conv", to_float(pixels[:2]))
    filters = draws(site)
    found = draw_accuracy(site, pixels, labels, filters, (2,), device=CPU)
    want = torch.stack(
        [site.output(to_float(pixels), filters=one).argmax(1) == labels for one in filters]
    )
    assert torch.equal(found.single, want)
    config = MeasureConfig(retrain_epochs=1)
    logits = retrain(site, filters, (pixels, labels), pixels, config, seed=0, device=CPU)
    assert logits.shape == (10, 3)
