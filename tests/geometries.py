"""Convolutions of every geometry, for tests that hold for all."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from filtergan.sites.convolution import Convolution

KINDS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
MODES = ("zeros", "reflect", "replicate", "circular")


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Convolution, Tensor]:
    """A convolution of one to three dimensions in float64, and a batch that it takes."""
    dims = draw(st.integers(1, 3))

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 2))  # depthwise where there is one in each group
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    torch.manual_seed(draw(st.integers(0, 1000)))
    conv = KINDS[dims](
        channels,
        groups * draw(st.integers(1, 3)),
        numbers(1, 3),  # pyright: ignore[reportArgumentType]
        stride=1 if padding == "same" else numbers(1, 3),  # pyright: ignore[reportArgumentType]
        padding=numbers(0, 3) if padding == "numbers" else padding,  # pyright: ignore
        dilation=numbers(1, 2),  # pyright: ignore[reportArgumentType]
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(MODES)),
        dtype=torch.float64,
    )
    size = (draw(st.integers(1, 3)), channels, *numbers(5, 7))
    return conv, torch.randn(size, dtype=torch.float64)
