"""The site in networks of many makes: what is read, what is exchanged, and that nothing is left."""

import copy
from collections.abc import Callable
from contextlib import suppress

import networks
import pytest
import torch
import torch.nn.functional as F
from networks import images, in_disorder, make, traces
from torch import Tensor, nn

from filtergan.errors import UserError
from filtergan.sites.site import Site
from filtergan.sites.tracing import behind

Function = Callable[[Tensor], Tensor]

# network, layer, its normalisation, its activation, whether what follows needs the response only
CASES: list[tuple[str, str, str | None, Function, bool]] = [
    ("plain", "conv1", "norm1", torch.relu, True),
    ("plain", "conv2", "norm2", torch.relu, True),
    ("in place", "conv1", "norm1", torch.relu, True),
    ("group norm", "conv1", "norm1", F.gelu, True),
    ("no norm", "conv2", None, torch.relu, True),
    ("spectral", "conv2", None, torch.relu, True),
    ("functional", "conv1", "norm1", torch.relu, True),
    ("method in place", "conv1", "norm1", torch.relu, True),
    ("functional gelu", "conv2", "norm2", F.gelu, True),
    ("shared", "conv1", "norm1", torch.relu, True),
    ("shared", "conv2", "norm2", torch.relu, True),
    ("residual", "stem", None, torch.relu, True),
    ("residual", "block.conv1", "block.norm1", torch.relu, False),
    ("residual", "block.conv2", "block.norm2", lambda x: x, False),
    ("residual", "block.skip", None, lambda x: x, False),
    ("residual", "last", None, torch.relu, True),
    ("untraceable", "conv1", "norm1", torch.relu, False),
]
PLACES = [(name, layer) for name, layer, *_ in CASES]
POINTS = [
    *((name, layer, point) for name, layer in PLACES for point in ("conv", "activation")),
    *(("plain", "conv1", later) for later in ("norm1", "relu1", "pool1", "conv2", "fc")),
    ("in place", "conv1", "norm1"),
    ("functional", "conv1", "conv2"),
    ("residual", "stem", "block"),
    ("residual", "block.conv1", "block.conv2"),
    ("residual", "block.conv1", "block.norm2"),
]


def draws(site: Site, n: int, seed: int = 1) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    return site.filters + 0.2 * torch.randn(n, *site.filters.shape, generator=noise)


def exchanged(network: nn.Module, layer: str, filters: Tensor) -> nn.Module:
    """A copy whose convolution really has these weights."""
    other = copy.deepcopy(network)
    if hasattr(network.get_submodule(layer), "parametrizations"):  # it has no weight of its own
        other.set_submodule(layer, nn.Conv2d(filters.shape[1], len(filters), 3, padding=1))
        other.load_state_dict(network.state_dict(), strict=False)
    conv = other.get_submodule(layer)
    assert isinstance(conv, nn.Conv2d)
    with torch.no_grad():
        conv.weight.copy_(filters)
    return other


@pytest.mark.parametrize(("name", "layer", "norm", "activation", "straight"), CASES)
def test_input_and_response(
    name: str, layer: str, norm: str | None, activation: Function, straight: bool
) -> None:
    network, x = make(name), images(3)
    h: list[Tensor] = []
    conv = network.get_submodule(layer)
    hook = conv.register_forward_hook(lambda _m, _a, _k, out: h.append(out), with_kwargs=True)
    copies = exchanged(network, layer, Site(network, layer, x).filters)
    with torch.no_grad():
        h.clear()
        at_conv = conv(Site(network, layer, x).input(x))
        hook.remove()
        # What the convolution gives in a copy, before anything in place can reach it.
        copies.get_submodule(layer).register_forward_hook(lambda _m, _a, out: h.append(out.clone()))
        h.clear()
        copies(x)
        torch.testing.assert_close(at_conv, h[0])

        site = Site(network, layer, x, "conv")
        torch.testing.assert_close(site.respond(site.input(x)), at_conv)
        site = Site(network, layer, x)
        assert site.straight == straight
        assert (site.suffix is not None) == straight
        want = activation(at_conv if norm is None else network.get_submodule(norm)(at_conv))
        torch.testing.assert_close(site.respond(site.input(x)), want)

        for f in draws(site, 2):
            at_conv = exchanged(network, layer, f).get_submodule(layer)(site.input(x))
            want = activation(at_conv if norm is None else network.get_submodule(norm)(at_conv))
            torch.testing.assert_close(site.respond(site.input(x), f), want)


@pytest.mark.parametrize(("name", "layer", "point"), POINTS)
def test_output(name: str, layer: str, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = make(name), images(4)
    site = Site(network, layer, x[:2], point)
    filters = draws(site, 4)
    with torch.no_grad():
        torch.testing.assert_close(site.output(x), network(x))
        others = [exchanged(network, layer, f) for f in filters]
        want = torch.cat([other(image[None]) for other, image in zip(others, x, strict=True)])
        torch.testing.assert_close(site.output(x, filters=filters), want)
        torch.testing.assert_close(site.output(x, filters=filters[0]), others[0](x))

        response = site.respond(site.input(x), filters)
        kept = response.clone()
        torch.testing.assert_close(site.output(x, response=response), want)
        if site.straight:
            torch.testing.assert_close(site.output(response=response), want)
        monkeypatch.setattr(site, "_suffix", None)
        torch.testing.assert_close(site.output(x, response=response), want)
        assert torch.equal(response, kept), "a given response stays as it was"


@pytest.mark.parametrize(("name", "layer", "point"), POINTS)
def test_gradients_reach_what_is_given_and_leave_no_trace(
    name: str, layer: str, point: str
) -> None:
    network, x = in_disorder(make(name)), images(3)
    before = traces(network)
    site = Site(network, layer, x, point)
    assert traces(network) == before
    filters = draws(site, 3).requires_grad_()
    h = site.input(x.clone().requires_grad_())
    response = site.respond(h, filters)
    given = response.detach().clone().requires_grad_()
    for value in (response, site.output(x, filters=filters), site.output(x, response=given)):
        weight = torch.randn(value.shape, generator=torch.Generator().manual_seed(2))
        (value * weight).sum().backward()
        assert traces(network) == before
    assert filters.grad is not None
    assert filters.grad.norm() > 0
    assert given.grad is not None
    assert given.grad.norm() > 0


@pytest.mark.parametrize(("name", "layer"), [case for case in PLACES if case[0] != "spectral"])
def test_gradient_of_the_filters_is_that_of_a_weight(name: str, layer: str) -> None:
    network, x = make(name).double(), images(3).double()
    site = Site(network, layer, x)
    filters = draws(site, 1)[0].requires_grad_()
    other = exchanged(network, layer, filters.detach())
    F.cross_entropy(site.output(x, filters=filters), torch.tensor([0, 1, 2])).backward()
    F.cross_entropy(other(x), torch.tensor([0, 1, 2])).backward()
    torch.testing.assert_close(filters.grad, other.get_submodule(layer).weight.grad)


@pytest.mark.parametrize(("name", "layer"), PLACES)
@pytest.mark.parametrize("point", ["conv", "activation"])
def test_no_trace_after_an_exception(name: str, layer: str, point: str) -> None:
    network, x = in_disorder(make(name)), images(3)
    before = traces(network)
    wrong = torch.rand(3, 2, 8, 8)
    with pytest.raises(RuntimeError):
        Site(network, layer, wrong, point)
    assert traces(network) == before

    site = Site(network, layer, x, point)
    filters = draws(site, 3)
    small = torch.rand(3, 1, 1, 1)
    missing = filters[:, :, :, :0]
    with suppress(UserError):  # the first convolution's input is seen before it could fail
        site.input(wrong)
    assert traces(network) == before
    failures: list[Callable[[], object]] = [
        lambda: site.respond(site.input(x), missing),
        lambda: site.respond(site.input(x)[:, :0], filters),
        lambda: site.output(wrong, filters=filters),
        lambda: site.output(small, filters=filters),
        lambda: site.output(x, filters=missing),
        lambda: site.output(x, response=torch.rand(3, 7, 1, 1)),
    ]
    for fail in failures:
        with pytest.raises((RuntimeError, ValueError, UserError)):
            fail()
        assert traces(network) == before


def test_no_trace_of_a_network_that_fails() -> None:
    network = networks.Untraceable()
    site = Site(network, "conv1", images(2))
    before = traces(in_disorder(network))
    network.fault = True
    for act in (
        lambda: site.output(images(2)),
        lambda: site.output(images(2), filters=draws(site, 2)),
        lambda: site.output(images(2), response=torch.rand(2, 4, 8, 8)),
        lambda: Site(network, "conv1", images(2)),
    ):
        with pytest.raises(ZeroDivisionError):
            act()
        del network.fault
        assert traces(network) == before
        network.fault = True
    # The input is seen before the network fails.
    assert torch.equal(site.input(images(2)), images(2))


def test_training_does_not_change_what_is_seen() -> None:
    """The site is studied in evaluation mode, whatever mode the network is in."""
    network, x = make("plain"), images(4)
    site = Site(network, "conv2", x)
    want = site.respond(site.input(x)), site.output(x)
    network.train()
    got = site.respond(site.input(x)), site.output(x)
    torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_filters_are_the_networks_own() -> None:
    network = make("plain")
    site = Site(network, "conv1", images(1))
    assert site.filters.data_ptr() == network.get_parameter("conv1.weight").data_ptr()
    assert not site.filters.requires_grad


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("conv9", "no layer 'conv9'; its convolutions are: stem, block.conv1, block.conv2"),
        ("block", "'block' is a Block, not a convolution; those are: stem, "),
        ("fc", "'fc' is a Linear"),
    ],
)
def test_no_such_convolution(layer: str, words: str) -> None:
    network = in_disorder(make("residual"))
    before = traces(network)
    with pytest.raises(UserError, match=words):
        Site(network, layer, images(1))
    assert traces(network) == before


def test_a_network_without_convolutions() -> None:
    with pytest.raises(UserError, match="its convolutions are: none"):
        Site(nn.Sequential(nn.Flatten()), "conv1", images(1))


@pytest.mark.parametrize(("times", "point"), [(0, "activation"), (2, "activation"), (2, "conv")])
def test_a_convolution_that_does_not_run_once(times: int, point: str) -> None:
    class Repeated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(times):
                x = torch.relu(self.conv(x))
            return x

    network = in_disorder(Repeated())
    before = traces(network)
    with pytest.raises(UserError, match=f"'conv' runs {times} times in one forward pass"):
        Site(network, "conv", images(1), point)
    assert traces(network) == before


@pytest.mark.parametrize(
    ("name", "layer", "point"),
    [
        ("residual", "block.conv1", "block"),  # also hangs on what goes around the site
        ("residual", "block.conv1", "block.skip"),
        ("residual", "block.conv1", "block.relu"),  # runs twice
        ("residual", "last", "stem"),
        ("plain", "conv1", "nowhere"),
        ("plain", "conv2", "conv1"),
        ("untraceable", "conv1", "conv2"),
    ],
)
def test_a_response_point_out_of_reach(name: str, layer: str, point: str) -> None:
    network = in_disorder(make(name))
    before = traces(network)
    with pytest.raises(UserError, match=f"response point '{point}' is not a module"):
        Site(network, layer, images(2), point)
    assert traces(network) == before


@pytest.mark.parametrize("point", ["activation", "2"])
@pytest.mark.parametrize("relu", [torch.relu_, lambda x: x.relu_(), nn.ReLU(inplace=True)])
def test_an_answer_leaves_what_it_is_given(relu: Function, point: str) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = relu

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(x)

    last = nn.Conv2d(3, 2, 3)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), InPlace(), last, nn.Flatten(), nn.Linear(32, 3))
    site, convolved = Site(network, "0", images(2), point), torch.randn(2, 3, 6, 6)
    given, want = convolved.clone(), convolved.clamp(min=0)
    torch.testing.assert_close(site.answer(given), want if point == "activation" else last(want))
    assert torch.equal(given, convolved)


def test_what_a_module_keeps_is_no_stand_in() -> None:
    class Keeping(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            self.seen = super().forward(input)
            return self.seen

    block = Keeping(nn.Conv2d(1, 3, 3), nn.ReLU())
    network = nn.Sequential(block, nn.Flatten(), nn.Linear(108, 3))
    network(images(2))
    kept = block.seen
    assert [name for name, _ in behind(network, (1, 8, 8), "0.0")] == ["0.1", "1", "2"]
    assert block.seen is kept


def test_a_site_that_is_not_straight_needs_the_images() -> None:
    site = Site(make("residual"), "block.conv1", images(2))
    response = site.respond(site.input(images(2)))
    with suppress(AssertionError):
        site.output(response=response)
        pytest.fail("it had no images")
