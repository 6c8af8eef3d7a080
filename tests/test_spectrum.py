"""The spectrum: planted directions, each share against a plain solution, and what is refused."""

import networks
import pytest
import torch
from torch import Tensor, nn

from filtergan import figures
from filtergan.ceilings.spectrum import Forms, Spectrum, slope, spectrum_of
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.errors import UserError
from filtergan.images.image_fields import KINDS, FieldSpace
from filtergan.sites.convolution import convolve
from filtergan.sites.site import Site

SHORT = CeilingConfig(steps=5, batch=8, test_images=20)


def pictures(n: int, *shape: int, seed: int = 0) -> Tensor:
    return 0.2 + 0.6 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def plain(bias: bool = False) -> Site:
    """Two convolutions with ReLU; the second is the site."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = nn.Conv2d(1, 4, 3, padding=1, bias=bias), nn.Conv2d(4, 5, 3, bias=bias)
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(180, 2))
    return Site(network.eval(), "2", pictures(2, 1, 8, 8))


def test_tangents_are_the_derivatives_of_fields() -> None:
    space, x = FieldSpace((2, 9, 8), KINDS, grid=3), pictures(3, 2, 9, 8)
    x = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    got, eps = space.tangents(x), 1e-2
    units = torch.eye(len(got)).unflatten(1, space.size)
    assert len(got) == space.count * 9
    for unit, tangent in zip(units, got, strict=True):
        up, down = (space.apply(x, (s * eps * unit).expand(3, -1, -1, -1)) for s in (1, -1))
        inside = (..., slice(1, -1), slice(1, -1))  # outside the image sampling is one-sided
        want = (up - down) / (2 * eps)
        torch.testing.assert_close(tangent[inside], want[inside], atol=5e-3, rtol=0.02)


def test_slopes_are_finite_differences() -> None:
    x = pictures(3, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv2", x[:2])
    inputs = site.input(x)
    out = convolve(inputs, site.filters, site.bias, site.geometry)
    want = (site.answer(out + 1e-3) - site.answer(out - 1e-3)) / 2e-3
    found = slope(site, inputs)
    assert ((found - want).abs() < 1e-2).float().mean() > 0.99  # but at the kinks
    torch.testing.assert_close(site.answer(out), site.respond(inputs))


@pytest.mark.parametrize("null", [False, True])
def test_forms_are_those_of_a_plain_least_squares_problem(null: bool) -> None:
    """What a solution leaves, summed over images and places, one direction at a time."""
    site, x = plain(bias=True), pictures(6, 1, 8, 8)
    space = FieldSpace((1, 8, 8), ("gain", "flow"), grid=2)
    forms = Forms.of(site, space, x, lambda _: None)
    solution = torch.randn(5, 36, 12, generator=torch.Generator().manual_seed(0)).double()
    left = forms.residual(solution, null)
    for m in range(12):
        tangent = 0.05 * space.tangents(x)[m]
        ends = [site.respond(site.input(x + s * tangent)) for s in (1, -1)]
        change = (ends[0] - ends[1]) / 0.1
        change = change.roll(1, 0) if null else change
        inputs = site.input(x)
        filters = solution[:, :, m].float().reshape(site.filters.shape)
        undone = slope(site, inputs) * convolve(inputs, filters)
        there = slope(site, inputs) != 0
        want = (change - undone).square()[there].sum() + change.square()[~there].sum()
        assert float(left[m, m]) == pytest.approx(float(want), rel=1e-3)


def test_a_gain_is_undone_wholly_and_first_where_nothing_is_added() -> None:
    x = pictures(400, 1, 8, 8)
    site = plain()
    found = spectrum_of(site, x[:250], x[250:], ("gain", "flow"), 2, 4, SHORT)
    assert float(found.shares[0]) > 0.98
    assert float(found.shares[1]) < 0.95
    assert found.fields.shape == (4, 3, 2, 2)
    gain = found.fields[0, 0]
    assert float(gain.std() / gain.mean().abs()) < 0.3
    assert found.kinds(x[:9])[0]["gain"] > 0.99
    compensation = found.ceilings[0].compensation
    assert compensation.value is not None
    assert compensation.value > 0.9
    assert (found.nulls < found.shares).all()


def test_a_gain_alone_is_undone_exactly() -> None:
    x = pictures(200, 1, 8, 8)
    found = spectrum_of(plain(), x[:100], x[100:], ("gain",), 1, 4, SHORT)
    assert found.shares.tolist() == pytest.approx([1], abs=1e-3)
    assert found.ridge == 1e-5
    site = plain()
    inputs, want = site.input(x), -float(found.fields[0, 0]) * site.filters
    undone, wanted = (slope(site, inputs) * convolve(inputs, f) for f in (found.filters[0], want))
    assert float((undone - wanted).norm() / wanted.norm()) < 0.02


def test_a_direction_of_its_own_has_the_size_that_is_promised() -> None:
    x = pictures(200, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv2", x[:2])
    found = spectrum_of(site, x[:120], x[120:], ("flow", "blur"), 2, 3, SHORT, seed=1)
    again = spectrum_of(site, x[:120], x[120:], ("flow", "blur"), 2, 3, SHORT, seed=1)
    assert torch.equal(found.fields, again.fields)
    tangents = found.space.tangents(x[:120]).flatten(1)
    moved = (found.fields.flatten(1) @ tangents).unflatten(1, (120, -1)).square().sum((1, 2))
    sizes = (moved / x[:120].square().sum()).sqrt()
    torch.testing.assert_close(sizes, torch.full((3,), 0.3), atol=1e-3, rtol=0)


def test_the_figure_shows_every_direction() -> None:
    x = pictures(40, *networks.SHAPE)
    found = spectrum_of(Site(networks.make("plain"), "conv2", x[:2]), x, x, ("gain",), 2, 2, SHORT)
    assert isinstance(found, Spectrum)
    figure = found.figure(x[:2])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(texts) == 2
    assert all(t.startswith("gain 100%\nundone ") for t in texts)
    assert sum(len(axes.images) for axes in figure.axes) == 2 * 2 * 5
    assert figures.png(figure).startswith(b"\x89PNG")


def test_what_cannot_be_asked_is_refused() -> None:
    x = pictures(40, *networks.SHAPE)
    with pytest.raises(UserError, match="there is one at conv and at activation"):
        spectrum_of(Site(networks.make("plain"), "conv1", x[:2], "norm2"), x, x)
    with pytest.raises(UserError, match="mixes places or channels"):
        spectrum_of(Site(networks.make("group norm"), "conv1", x[:2]), x, x, ("gain",), 2, 2)
    with pytest.raises(UserError, match="needs four images"):
        spectrum_of(Site(networks.make("plain"), "conv1", x[:2]), x, x[:2])
    convs = nn.Conv2d(1, 300, 1), nn.Conv2d(300, 300, 3)
    huge = nn.Sequential(*convs, nn.Flatten(), nn.Linear(10800, 2))
    with pytest.raises(UserError, match="GiB"):
        spectrum_of(Site(huge.eval(), "1", x[:2], "conv"), x, x)
