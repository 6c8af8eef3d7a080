"""The spectrum: planted directions, each share against a plain solution, and what is refused."""

from pathlib import Path

import networks
import pytest
import torch
from torch import Tensor, nn

from filtergan import figures
from filtergan.ceilings.ceiling import ceilings_of
from filtergan.ceilings.spectrum import Spectrum, spectrum_of
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.errors import UserError
from filtergan.images.image_fields import KINDS, FieldSpace
from filtergan.sites.convolution import convolve
from filtergan.sites.site import Site
from filtergan.spectra.forms import EachFilter, Forms, parts_of, slope
from filtergan.spectra.krylov import Together, along, gradient
from filtergan.spectra.leading import leading

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
    assert found is not None
    assert ((found - want).abs() < 1e-2).float().mean() > 0.99  # but at the kinks
    torch.testing.assert_close(site.answer(out), site.respond(inputs))


@pytest.mark.parametrize("null", [False, True])
def test_forms_are_those_of_a_plain_least_squares_problem(null: bool) -> None:
    """What a solution leaves, summed over images and places, one direction at a time."""
    site, x = plain(bias=True), pictures(6, 1, 8, 8)
    space = FieldSpace((1, 8, 8), ("gain", "flow"), grid=2)
    forms = Forms.of(site, space, EachFilter(site), x, lambda _: None)
    solution = torch.randn(5, 36, 12, generator=torch.Generator().manual_seed(0)).double()
    left = forms.residual(solution, null)
    for m in range(12):
        tangent = 0.05 * space.tangents(x)[m]
        ends = [site.respond(site.input(x + s * tangent)) for s in (1, -1)]
        change = (ends[0] - ends[1]) / 0.1
        change = change.roll(1, 0) if null else change
        inputs = site.input(x)
        filters = solution[:, :, m].float().reshape(site.filters.shape)
        slopes = slope(site, inputs)
        assert slopes is not None
        undone, there = slopes * convolve(inputs, filters), slopes != 0
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
    slopes = slope(site, inputs)
    assert slopes is not None
    undone, wanted = (slopes * convolve(inputs, f) for f in (found.filters[0], want))
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


def test_figure_and_table_show_every_direction() -> None:
    x = pictures(40, *networks.SHAPE)
    found = spectrum_of(Site(networks.make("plain"), "conv2", x[:2]), x, x, ("gain",), 2, 2, SHORT)
    assert isinstance(found, Spectrum)
    frame = found.to_dataframe()
    assert frame["share"].tolist() == found.shares.tolist()
    assert frame["share_null"].tolist() == found.nulls.tolist()
    assert frame.loc[1, "at_size_low"] == found.ceilings[1].record.undone.ci95[0]
    assert "at_size_null" in found._repr_html_()
    figure = found.figure(x[:2])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(texts) == 2
    assert all(t.startswith("gain 100%\nundone ") for t in texts)
    assert sum(len(axes.images) for axes in figure.axes) == 2 * 2 * 5
    assert figures.png(figure).startswith(b"\x89PNG")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    x = pictures(40, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv2", x[:2])
    found = spectrum_of(site, x, x, ("flow", "gain"), 2, 2, SHORT)
    found.save(tmp_path / "spectrum.safetensors")
    again = Spectrum.load(tmp_path / "spectrum.safetensors")
    assert (again.space, again.ridge) == (found.space, found.ridge)
    assert hash(again.space) == hash(found.space)  # tuples, as they were
    for name in ("shares", "nulls", "fields", "filters"):
        assert torch.equal(getattr(again, name), getattr(found, name))
    for one, other in zip(found.ceilings, again.ceilings, strict=True):
        assert (one.name, one.record) == (other.name, other.record)
        assert torch.equal(one.filters, other.filters)
    ceilings_of(site, x, x, ["brightness"], SHORT).save(tmp_path / "ceilings.safetensors")
    with pytest.raises(UserError, match=r"holds nothing that Spectrum\.save wrote"):
        Spectrum.load(tmp_path / "ceilings.safetensors")


def eye(site: Site) -> Tensor:
    """Every weight of the filters alone, as a change of filters."""
    return torch.eye(site.filters.numel()).unflatten(1, site.filters.shape)


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def groups() -> nn.Sequential:
    """The first of its convolutions has two groups, and strides."""
    first = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    return nn.Sequential(*first, nn.GELU(), nn.Conv2d(6, 3, 3), nn.Flatten(), nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("network", "layer", "point"),
    [
        (networks.make("plain"), "conv2", "activation"),
        (networks.make("group norm"), "conv1", "conv2"),
        (groups().eval(), "1", "3"),
    ],
)
def test_changes_along_filters_and_their_gradients(
    network: nn.Module, layer: str, point: str
) -> None:
    """Gradients are autograd's, and the way along is their transpose."""
    x = pictures(3, *networks.SHAPE)
    site = Site(network, layer, x, point)
    inputs = site.input(x)
    changes = 100 * noise(2, *site.filters.shape, seed=2)
    moved = along(site, inputs, changes)
    weights = noise(4, *moved.shape[1:], seed=3)
    found = gradient(site, inputs, weights)
    for own, got in zip(weights, found, strict=True):
        filters = site.filters.clone().requires_grad_()
        answer = site.respond(inputs, filters).flatten(1)
        (want,) = torch.autograd.grad((answer * own).sum(), [filters])
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-3)
    one = torch.einsum("pnr,mnr->mp", moved, weights)
    other = found.flatten(1) @ changes.flatten(1).mT
    torch.testing.assert_close(one, other, rtol=0.03, atol=0.03 * float(other.abs().max()))


def test_all_weights_together_are_every_filter_on_its_own() -> None:
    """Where a response hangs on one filter alone, both ways solve the same problem."""
    site, x, space = plain(bias=True), pictures(30, 1, 8, 8), FieldSpace((1, 8, 8), ("gain",), 2)
    separate = Forms.of(site, space, EachFilter(site), x, lambda _: None)
    together = Forms.of(site, space, Together(site, eye(site)), x, lambda _: None)
    pairs = {"gram": torch.block_diag(*separate.gram)}
    pairs |= {name: getattr(separate, name).flatten(0, 1) for name in ("cross", "null")}
    for name, want in pairs.items():
        got = getattr(together, name)[0]
        torch.testing.assert_close(got, want, rtol=0.03, atol=0.03 * float(want.abs().max()))


def test_the_krylov_space_finds_what_all_weights_find(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.nn.functional.avg_pool2d(pictures(300, *networks.SHAPE), 3, 1, 1)
    site = Site(networks.make("plain"), "conv1", x[:2], "conv2")

    def shares() -> Tensor:
        return leading(site, x[:200], x[200:], ("gain", "flow"), 2, 6).shares

    found = shares()
    whole = Together(site, eye(site))
    monkeypatch.setattr("filtergan.spectra.leading.krylov", lambda *_: whole)
    torch.testing.assert_close(found, shares(), atol=0.03, rtol=0)
    assert float(found[0]) > 0.9


def test_a_reading_further_on_may_be_a_vector() -> None:
    x = pictures(80, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv2", x[:2], "fc")
    found = spectrum_of(site, x, x, ("gain",), 2, 2, SHORT)
    assert found.shares.shape == (2,)
    assert len(found.ceilings) == 2


def test_what_cannot_be_asked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(40, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv1", x[:2])
    with pytest.raises(UserError, match="needs four images"):
        spectrum_of(site, x, x[:2])
    signals = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(UserError, match="convolutions have two"):
        spectrum_of(Site(signals.eval(), "0", pictures(2, 1, 8)), x, x)
    # With no memory for systems of single filters all are one, for which there is none as well.
    monkeypatch.setattr("filtergan.spectra.leading.MEMORY", 0)
    assert len(spectrum_of(site, x, x, ("gain",), 2, 2, SHORT).shares) == 2
    monkeypatch.setattr("filtergan.spectra.krylov.MEMORY", 0)
    with pytest.raises(UserError, match="coarser grid"):
        spectrum_of(site, x, x, ("gain",), 2, 2, SHORT)


def test_no_image_is_its_own_other() -> None:
    """Of 26 images the last is not alone; what fields do to another they do to none of these."""
    parts = list(parts_of(torch.arange(26.0).reshape(26, 1, 1, 1)))
    assert min(map(len, parts)) > 1
    assert torch.cat(parts).flatten().tolist() == list(range(26))
    assert [len(part) for part in parts_of(torch.zeros(250, 1, 1, 1))] == [25] * 10


def test_in_64_bits_the_forms_stay_as_they_are() -> None:
    site, x = plain(), pictures(12, 1, 8, 8)
    single = leading(site, x, x, KINDS[:2], 2, 2)
    double = leading(
        Site(site.network.double(), "2", x.double()), x.double(), x.double(), KINDS[:2], 2, 2
    )
    assert double.ridge == single.ridge
    torch.testing.assert_close(double.nulls, single.nulls, atol=1e-3, rtol=1e-3)
