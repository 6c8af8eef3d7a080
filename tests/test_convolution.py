"""Per-sample convolution against a loop over the samples, forwards and backwards."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from filtergan.convolution import Geometry, convolve

# Torch tells that it copies what cannot be padded evenly.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

MODES = ("zeros", "reflect", "replicate", "circular")


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Conv2d, Tensor]:
    """A convolution in float64, and a batch that it takes."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    groups = draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    torch.manual_seed(draw(st.integers(0, 1000)))
    conv = nn.Conv2d(
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 3)),
        pair(1, 3),
        stride=1 if padding == "same" else pair(1, 3),  # torch refuses others
        padding=pair(0, 3) if padding == "numbers" else padding,
        dilation=pair(1, 2),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(MODES)),
        dtype=torch.float64,
    )
    size = (draw(st.integers(1, 3)), conv.in_channels, *pair(5, 7))
    return conv, torch.randn(size, dtype=torch.float64)


def loop(conv: nn.Conv2d, inputs: Tensor, filters: Tensor, bias: Tensor | None) -> Tensor:
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
def test_every_sample_has_its_own_filters(case: tuple[nn.Conv2d, Tensor]) -> None:
    conv, inputs = case
    filters = torch.randn(len(inputs), *conv.weight.shape, dtype=torch.float64)
    bias = conv.bias
    leaves = [inputs, filters] if bias is None else [inputs, filters, bias]
    for leaf in leaves:
        leaf.requires_grad_()

    got = convolve(inputs, filters, bias, Geometry.of(conv))
    want = loop(conv, inputs, filters, bias)
    torch.testing.assert_close(got, want)

    weight = torch.randn_like(want)
    torch.testing.assert_close(
        torch.autograd.grad(got, leaves, weight), torch.autograd.grad(want, leaves, weight)
    )


@settings(max_examples=50)
@given(convolutions())
def test_one_set_of_filters_is_the_module_itself(case: tuple[nn.Conv2d, Tensor]) -> None:
    conv, inputs = case
    with torch.no_grad():
        got = convolve(inputs, conv.weight, conv.bias, Geometry.of(conv))
        torch.testing.assert_close(got, conv(inputs))


def test_second_derivatives() -> None:
    """The penalty on gradients needs them."""
    conv = nn.Conv2d(2, 2, 2, padding=1, dtype=torch.float64)
    inputs = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(2, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x, f: convolve(x, f, None, Geometry.of(conv)), (inputs, filters)
    )


def test_one_set_equals_the_same_set_for_each_sample() -> None:
    inputs, filters = torch.randn(5, 4, 6, 6), torch.randn(6, 2, 3, 3)
    geometry = Geometry(padding=(1, 1, 1, 1), groups=2)
    each = filters.expand(5, *filters.shape)
    torch.testing.assert_close(
        convolve(inputs, each, None, geometry), convolve(inputs, filters, None, geometry)
    )


def test_as_many_sets_as_samples() -> None:
    with pytest.raises(Exception, match=r"as many sets|type-check"):
        convolve(torch.randn(3, 1, 4, 4), torch.randn(2, 1, 1, 3, 3))
