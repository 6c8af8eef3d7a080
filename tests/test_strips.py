"""Figures of walks and what has changed in their images; animations; colours for all eyes."""

import io
import itertools

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image, ImageSequence
from skimage.color import deltaE_ciede2000, rgb2lab

from filtergan import figures
from filtergan.figures import tiles
from filtergan.images import palette


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_row_below_a_walk_is_what_has_changed(channels):
    """Pixel by pixel x' - x; of colours each channel, around grey, and of others their mean."""
    source = torch.rand(channels, 5, 4, generator=seeded(0))
    walked = torch.rand(3, channels, 5, 4, generator=seeded(1))
    walked[1] = source
    kept = torch.tensor([False, True, True])
    figure = figures.walk_figure(source, {"z2": walked}, {"z2": kept}, [-1.0, 0.0, 1.0], "walk")
    edges = [to_rgb(p.get_edgecolor()) for p in figure.findobj(Rectangle) if not p.get_fill()]
    assert edges.count(to_rgb(palette.RED)) == edges.count(to_rgb(palette.BLUE)) == 1
    above, below = (axes for axes in figure.axes if axes.images)
    shown = np.asarray(below.images[0].get_array(), dtype=float)
    large = 12  # 56 pixels of the canvas for 5 of an image, rounded up
    most = max(abs(float(c)) for c in (walked - source).mean(1 if channels < 3 else ()).flatten())
    most = most if channels < 3 else float((walked - source).abs().max())
    for k, (y, x) in itertools.product(range(3), itertools.product(range(5), range(4))):
        pixel = shown[y * large + 6, k * (4 * large + 3) + x * large + 6]
        change = (walked[k, :, y, x] - source[:, y, x]).numpy()
        wanted = 0.5 + change / most / 2 if channels == 3 else change.mean()
        np.testing.assert_allclose(pixel, wanted, atol=1e-6)
    ends = below.images[0].get_clim()
    assert ends == pytest.approx((-most, most))
    assert np.asarray(above.images[0].get_array(), dtype=float).shape[:2] == shown.shape[:2]
    assert figures.png(figure)


def test_frames_of_a_walk_move_alone():
    """Images that brighten: so do their frames, one by one; all else stands still."""
    source = torch.full((3, 1, 8, 8), 0.5)
    offsets = [-2.0, -1.0, 0.0, 1.0, 2.0]
    walked = torch.stack([source + 0.2 * offset for offset in offsets])
    painted = list(figures.walk_frames(source, walked, offsets, "z3", "brighter"))
    assert len({frame.shape for frame in painted}) == 1
    differ = np.ptp(np.stack(painted).astype(int), axis=0).max(axis=-1) > 0
    rows = np.flatnonzero(differ.mean(axis=1) > 0.3)
    height, width, _ = painted[0].shape
    assert rows.min() > 0.3 * height  # below the images themselves
    place = int(rows.min()) + 20, width // 5
    assert [int(frame[place][0]) for frame in painted] == pytest.approx(
        [255 * value for value in (0.1, 0.3, 0.5, 0.7, 0.9)], abs=1.5
    )


def test_an_animation_goes_there_and_back():
    painted = [np.full((6, 9, 3), 40 * k, dtype=np.uint8) for k in range(5)]
    for ending in ("gif", "webp"):
        with Image.open(io.BytesIO(figures.animated(painted, ending))) as film:
            copies = [one.convert("RGB") for one in ImageSequence.Iterator(film)]
        shown = [int(np.asarray(one)[3, 4, 0]) for one in copies]
        assert shown == [0, 40, 80, 120, 160, 120, 80, 40]


# Machado, Oliveira and Fernandes 2009: their matrices of severity 1, for linear RGB.
BLIND = {
    "protan": "0.152286 1.052583 -0.204868 0.114503 0.786281 0.099216 -0.003882 -0.048116 1.051998",
    "deutan": "0.367322 0.860646 -0.227968 0.280085 0.672501 0.047413 -0.011820 0.042940 0.968881",
    "tritan": "1.255528 -0.076749 -0.178779 -0.078411 0.930809 0.147602 0.004733 0.691367 0.303900",
}


@pytest.mark.parametrize("kind", BLIND)
def test_colours_can_be_told_apart_by_the_colour_blind(kind):
    """By CIEDE2000; of Okabe and Ito's own set the nearest two are 10.9 apart, seen so."""

    matrix = np.array(BLIND[kind].split(), dtype=float).reshape(3, 3)

    def seen(colour):
        value = np.array(to_rgb(colour))
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        linear = (matrix @ linear).clip(0, 1)
        curved = 1.055 * linear ** (1 / 2.4) - 0.055
        return rgb2lab(np.where(linear <= 0.0031308, linear * 12.92, curved))

    def apart(*colours):
        pairs = itertools.combinations(map(seen, colours), 2)
        return min(deltaE_ciede2000(*pair) for pair in pairs)

    assert apart(*palette.COLOURS) > 10
    assert apart(palette.RED, palette.BLUE, "white") > 35
    scale = matplotlib.colormaps[tiles.CHANGE]
    assert apart(scale(0.0), scale(0.5), scale(1.0)) > 20
    assert apart(scale(0.25), scale(0.5), scale(0.75)) > 15
