"""Per-sample convolution against a loop over the samples, forwards and backwards."""

import copy

import pytest
import torch
from geometries import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from filtergan.sites.convolution import Backend, Convolution, Geometry, convolve, fastest
from filtergan.sites.site import Site

# Torch tells that it copies what cannot be padded evenly.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

BACKENDS: tuple[Backend, ...] = ("grouped", "unfolded")
NORMS = ("none", "batch", "group", "instance", "layer")


def loop(conv: Convolution, inputs: Tensor, filters: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution's own forward, once for every sample with its filters as weights."""
    own = {} if bias is None else {"bias": bias}
    return torch.cat(
        [
            functional_call(conv, {"weight": f, **own}, (x[None],))
            for x, f in zip(inputs, filters, strict=True)
        ]
    )


@settings(max_examples=100)
@given(convolutions())
def test_every_sample_has_its_own_filters(case: tuple[Convolution, Tensor]) -> None:
    conv, inputs = case
    filters = torch.randn(len(inputs), *conv.weight.shape, dtype=torch.float64)
    bias = conv.bias
    leaves = [inputs, filters] if bias is None else [inputs, filters, bias]
    for leaf in leaves:
        leaf.requires_grad_()

    geometry, want = Geometry.of(conv), loop(conv, inputs, filters, bias)
    weight = torch.randn_like(want)
    gradients = torch.autograd.grad(want, leaves, weight)
    planes = inputs.ndim == 4 or (max(conv.kernel_size) == 1 and not any(geometry.padding))
    for backend in BACKENDS if geometry.groups == 1 and planes else BACKENDS[:1]:
        got = convolve(inputs, filters, bias, geometry, backend)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(torch.autograd.grad(got, leaves, weight), gradients)


@settings(max_examples=50)
@given(convolutions(), st.integers(1, 3), st.sampled_from(BACKENDS))
def test_a_set_of_filters_for_every_few_samples(
    case: tuple[Convolution, Tensor], sets: int, backend: Backend
) -> None:
    conv, inputs = case
    inputs = inputs.repeat_interleave(sets, 0)  # 2: of the first, of the second
    inputs = inputs + torch.randn_like(inputs)
    filters = torch.randn(len(inputs) // sets, *conv.weight.shape, dtype=torch.float64)
    geometry = Geometry.of(conv)
    if geometry.groups > 1 or inputs.ndim != 4:
        backend = "grouped"
    want = loop(conv, inputs, filters.repeat_interleave(sets, 0), conv.bias)
    torch.testing.assert_close(convolve(inputs, filters, conv.bias, geometry, backend), want)


def test_the_backend_follows_the_shape() -> None:
    plain = Geometry(padding=(1,) * 4)
    assert fastest((64, 64, 3, 3), 49, plain) == "grouped"
    assert fastest((512, 512, 3, 3), 49, plain) == "unfolded"
    assert fastest((512, 1, 3, 3), 49, Geometry(padding=(1,) * 4, groups=512)) == "grouped"
    assert fastest((512, 64, 3), 49, Geometry(padding=(1, 1))) == "grouped"
    assert fastest((16, 64, 1, 1), 196, Geometry((2,))) == "unfolded"
    assert fastest((16, 64, 1), 196, Geometry()) == "unfolded"
    assert fastest((16, 64, 1, 1), 196, plain) == "grouped"


@settings(max_examples=50)
@given(convolutions())
def test_one_set_of_filters_is_the_module_itself(case: tuple[Convolution, Tensor]) -> None:
    conv, inputs = case
    with torch.no_grad():
        got = convolve(inputs, conv.weight, conv.bias, Geometry.of(conv))
        torch.testing.assert_close(got, conv(inputs))


@settings(max_examples=60, deadline=None)
@given(
    convolutions(), st.booleans(), st.sampled_from(["none", "batch", "group", "instance", "layer"])
)
def test_a_site_of_any_geometry(
    case: tuple[Convolution, Tensor], activated: bool, norm: str
) -> None:
    """Its response is the modules' own, its output that of a network with other weights."""
    conv, inputs = case
    dims, o = inputs.ndim - 2, conv.out_channels
    with torch.no_grad():
        shape = conv(inputs).shape[1:]
    norms: dict[str, list[nn.Module]] = {
        "none": [],
        "batch": [(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1](o)],
        "group": [nn.GroupNorm(1, o)],
        "instance": [(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[dims - 1](o)],
        "layer": [nn.LayerNorm(list(shape))],
    }
    alone = {"instance": shape[1:].numel(), "group": len(inputs) * shape.numel()}
    if alone.get(norm) == 1:
        norm = "none"  # torch refuses to normalise a single number
    own = [conv, *norms[norm], *([nn.GELU()] if activated else [])]
    network = nn.Sequential(*own, nn.Flatten(), nn.Linear(shape.numel(), 2)).double().eval()
    site = Site(network, "0", inputs)
    with torch.no_grad():
        h = site.input(inputs)
        assert torch.equal(h, inputs)
        torch.testing.assert_close(site.respond(h), nn.Sequential(*own)(inputs))
        torch.testing.assert_close(site.respond(h, site.filters), site.respond(h))
        filters = torch.randn_like(site.filters)
        other = copy.deepcopy(network)
        other.get_parameter("0.weight").copy_(filters)
        torch.testing.assert_close(site.output(inputs, filters=filters), other(inputs))
        each = torch.stack([filters] + [site.filters] * (len(inputs) - 1))
        want = torch.cat(
            [other(inputs[:1]), network(inputs[1:])] if len(inputs) > 1 else [other(inputs)]
        )
        torch.testing.assert_close(site.output(inputs, filters=each), want)
        torch.testing.assert_close(site.output(response=site.respond(h, each)), want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives(backend: Backend) -> None:
    """The penalty on gradients needs them."""
    conv = nn.Conv2d(2, 2, 2, padding=1, dtype=torch.float64)
    inputs = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(2, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x, f: convolve(x, f, None, Geometry.of(conv), backend), (inputs, filters)
    )


def test_one_set_equals_the_same_set_for_each_sample() -> None:
    inputs, filters = torch.randn(5, 4, 6, 6), torch.randn(6, 2, 3, 3)
    geometry = Geometry(padding=(1, 1, 1, 1), groups=2)
    each = filters.expand(5, *filters.shape)
    torch.testing.assert_close(
        convolve(inputs, each, None, geometry), convolve(inputs, filters, None, geometry)
    )


def test_as_many_sets_as_samples() -> None:
    with pytest.raises(Exception, match=r"equally many|type-check"):
        convolve(torch.randn(3, 1, 4, 4), torch.randn(2, 1, 1, 3, 3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_products_in_bfloat16(backend: Backend) -> None:
    """Taken outside of autocast, as the game takes them."""
    inputs, filters = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 4, 3, 3)

    def gradients(mixed: bool) -> list[Tensor]:
        leaves = inputs.clone().requires_grad_(), filters.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out = convolve(*leaves, None, Geometry(padding=(1, 1, 1, 1)), backend)
        return list(torch.autograd.grad(out.float().square().sum(), leaves))

    for got, want in zip(gradients(mixed=True), gradients(mixed=False), strict=True):
        assert got.dtype == torch.float32
        assert float((got - want).norm() / want.norm()) < 0.02
