"""What filters can undo: exact cases, least squares against a design matrix, and planted truth."""

import dataclasses
import math
from itertools import pairwise
from pathlib import Path

import networks
import pytest
import torch
from torch import Tensor, nn

import filtergan as fg
from filtergan.ceilings.ceiling import (
    Asked,
    Ceilings,
    at_best_length,
    ceilings_of,
    random_filters,
    site_inputs,
)
from filtergan.ceilings.question import Answers
from filtergan.ceilings.undoing import System, left, responses, undo
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.errors import UserError
from filtergan.families.family import Family, Fixed
from filtergan.families.shift import shifted
from filtergan.sites.convolution import Geometry, convolve
from filtergan.sites.site import Site

SHORT = CeilingConfig(steps=60, batch=16)


def pictures(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def bare(*channels: int, kernel: int = 3) -> nn.Sequential:
    """Convolutions with ReLU, without biases or normalisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pairs = pairwise(channels)
        convs = [nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False) for i, o in pairs]
    parts = [part for conv in convs for part in (conv, nn.ReLU())]
    return nn.Sequential(*parts, nn.Flatten(), nn.LazyLinear(3, bias=False))


def site_of(network: nn.Module, layer: str, x: Tensor, point: str = "activation") -> Site:
    network(x[:2])
    return Site(network.eval(), layer, x[:2], point)


def family(change: object, name: str = "planted") -> Family:
    """A family of one's own with one transformation, whatever its strength."""
    return Family(name, name, fixed=(Fixed(name, lambda x, _: change(x), 1.0),))  # type: ignore


@pytest.mark.parametrize("point", ["conv", "activation", "4", "7"])
def test_brightness_is_undone_exactly_where_nothing_is_added(point: str) -> None:
    x = pictures(150, 1, 8, 8)
    site = site_of(bare(1, 4, 5, 3), "2", x, point)
    found = ceilings_of(site, x[:80], x[80:], ["brightness"], SHORT)["brightness x0.7"]
    assert found.compensation.value == pytest.approx(1, abs=1e-4)
    assert found.share.value == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(found.filters, site.filters / 0.7, atol=2e-3, rtol=0)
    assert found.image_change == pytest.approx(0.3)
    assert found.response_change == pytest.approx(0.3, abs=1e-5)
    null = found.compensation.null
    assert null is not None
    assert null < 0.1
    row = Ceilings({"brightness x0.7": found}).to_dataframe().loc["brightness x0.7"]
    assert row["family"] == "brightness"
    assert row["compensation"] == found.compensation.value
    assert row["at_best"] == found.record.undone.value
    assert row["share_low"] == found.share.ci95[0]
    assert row["image_change"] == found.image_change


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    x = pictures(60, 1, 8, 8)
    site = site_of(bare(1, 4, 5, 3), "2", x, "conv")
    found = ceilings_of(site, x[:30], x[30:], ["brightness", "shift"], SHORT)
    found.save(tmp_path / "ceilings.safetensors")
    again = Ceilings.load(tmp_path / "ceilings.safetensors")
    assert list(again) == list(found)
    for one, other in zip(found.values(), again.values(), strict=True):
        assert (one.name, one.record) == (other.name, other.record)
        assert torch.equal(one.filters, other.filters)
    moved = dataclasses.replace(found["brightness x0.7"], image_change=math.nan)
    Ceilings({"nothing there": moved}).save(tmp_path / "ceilings.safetensors")
    assert math.isnan(
        Ceilings.load(tmp_path / "ceilings.safetensors")["nothing there"].image_change
    )
    with pytest.raises(UserError, match=r"holds nothing that Answers\.save wrote"):
        Answers.load(tmp_path / "ceilings.safetensors")
    (tmp_path / "other").write_bytes(b"something else")
    with pytest.raises(UserError):
        Ceilings.load(tmp_path / "other")


def test_a_shift_inside_a_kernel_with_room_is_undone_exactly() -> None:
    network = bare(1, 4, kernel=5)
    with torch.no_grad():
        weight = network.get_parameter("0.weight")
        weight[..., [0, -1], :] = 0
        weight[..., [0, -1]] = 0
    x = torch.zeros(100, 1, 28, 28)
    x[..., 6:-6, 6:-6] = pictures(100, 1, 16, 16)
    site = site_of(network, "0", x)
    one = Family("shift", "shift", fixed=(Fixed("shift", shifted, 1.0),))
    found = ceilings_of(site, x[:60], x[60:], [one], SHORT)["shift"]
    assert found.compensation.value == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(found.filters, site.filters.roll(1, 3), atol=1e-3, rtol=0)


def test_channels_that_are_exchanged_are_exchanged_back() -> None:
    x = pictures(100, 2, 6, 6)
    site = site_of(bare(2, 5), "0", x)
    swapped = family(lambda x: x.flip(1))
    found = ceilings_of(site, x[:60], x[60:], [swapped], SHORT)["planted"]
    assert found.share.value == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(found.filters, site.filters.flip(1), atol=1e-3, rtol=0)


def test_what_differs_from_place_to_place_has_the_ceiling_of_its_closed_form() -> None:
    """One weight for an image whose left half is dimmed: the best weight is a ratio of sums."""
    x, half = pictures(120, 1, 4, 4), torch.ones(4)
    half[:2] = 0.5
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(16, 2))
    site = Site(network.eval(), "0", x[:2], "conv")
    found = ceilings_of(site, x, x, [family(lambda x: x * half)], seed=3)["planted"]
    w, used = float(site.filters), x.square()
    best = w * float((half * used).sum() / (half.square() * used).sum())
    assert float(found.filters) == pytest.approx(best, rel=1e-4)
    after = ((best * half - w) * x).flatten(1).square().sum(1)
    before = ((best - w) * x).flatten(1).square().sum(1)
    direct = ((half - 1) * w * x).flatten(1).square().sum(1)
    median = float((1 - after / before).quantile(0.5))
    assert found.compensation.value == pytest.approx(median, rel=1e-3)
    assert found.share.value == pytest.approx(1 - float(after.sum() / direct.sum()), rel=1e-3)


def test_a_longer_step_undoes_the_share_that_fitted_filters_take_back() -> None:
    """One weight, images whose halves are exchanged: no statistics change, and rho is known."""
    x = pictures(400, 1, 4, 4)
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(16, 2))
    site = Site(network.eval(), "0", x[:2], "conv")
    found = ceilings_of(site, x[:200], x[:200], [family(lambda x: x.roll(2, 3))])["planted"]
    rho, best = found.share.value, found.at_best
    assert rho is not None
    assert best is not None
    assert 0.1 < rho < 0.5
    assert found.compensation.value is not None
    assert found.compensation.value < 0  # 1 - (1 - rho) / rho
    assert best.value == pytest.approx(rho, abs=0.03)  # a median, where rho is pooled
    for length in torch.linspace(0.5, 8, 60):  # the slow loop over lengths
        longer = site.filters + float(length) * (found.filters - site.filters)
        wanted, moved = responses(site, x[:200]), x[:200].roll(2, 3)
        before, after = (left(site, h, wanted, longer) for h in (x[:200], moved))
        assert 1 - float(after.sum() / before.sum()) <= rho + 1e-3


@pytest.mark.parametrize("point", ["conv", "activation", "4"])
def test_the_best_length_leaves_no_more_than_the_fitted_one(point: str) -> None:
    x = pictures(150, 1, 8, 8)
    site = site_of(bare(1, 4, 5, 3), "2", x, point)
    inputs, moved = site_inputs(site, x), site_inputs(site, x.flip(3))
    fitted = undo(site, inputs, moved, SHORT)
    best = at_best_length(site, inputs, moved, fitted)
    change, longer = fitted - site.filters, best - site.filters
    torch.testing.assert_close(longer, change * (longer.norm() / change.norm()))
    wanted = responses(site, inputs)

    def stays(filters: Tensor) -> float:
        before, after = (float(left(site, h, wanted, filters).sum()) for h in (inputs, moved))
        return after / before

    assert stays(best) < 0.95 * stays(fitted)


def test_images_that_have_nothing_to_do_with_the_first_cannot_be_undone() -> None:
    x = pictures(150, 1, 8, 8)
    site = site_of(bare(1, 4, 5), "2", x)
    others = family(lambda x: pictures(len(x), 1, 8, 8, seed=7))
    found = ceilings_of(site, x[:100], x[100:], [others], SHORT)["planted"]
    assert found.compensation.value is not None
    assert found.compensation.value < 0.3


GEOMETRIES = {
    "plain": Geometry(),
    "padded": Geometry(padding=(1, 1, 1, 1)),
    "one-sided": Geometry(padding=(0, 1, 2, 0)),
    "strided": Geometry((2, 1), (1, 1, 1, 1)),
    "dilated": Geometry(padding=(2, 2, 2, 2), dilation=(2, 2)),
    "grouped": Geometry((2, 2), (1, 1, 1, 1), groups=2),
    "depthwise": Geometry((1, 1), (1, 1, 1, 1), groups=4),
    "reflected": Geometry((1, 1), (1, 1, 1, 1), mode="reflect"),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_least_squares_is_that_of_a_design_matrix(name: str) -> None:
    """Its columns are what each weight alone makes of the changed inputs."""
    geometry = GEOMETRIES[name]
    x, y = pictures(12, 4, 7, 6), pictures(12, 4, 7, 6, seed=1)
    filters = pictures(4, 4 // geometry.groups, 3, 3, seed=2) - 0.5
    got = System.of(x, y, filters, geometry).solution(1e-9)
    wanted = convolve(x, filters, None, geometry) - convolve(y, filters, None, geometry)
    units = torch.eye(filters.numel()).unflatten(1, filters.shape)
    columns = [convolve(y, unit, None, geometry).flatten() for unit in units]
    want = torch.linalg.lstsq(torch.stack(columns, 1).double(), wanted.flatten()[:, None].double())
    torch.testing.assert_close(
        got.double(), want.solution.reshape(filters.shape), atol=1e-4, rtol=1e-3
    )


def test_no_perturbation_of_a_solution_leaves_less() -> None:
    x = pictures(60, 1, 8, 8)
    site = site_of(bare(1, 4, 5), "2", x, "conv")
    h, changed = site_inputs(site, x), site_inputs(site, x.flip(3))
    found, wanted = undo(site, h, changed), responses(site, h)
    least = left(site, changed, wanted, found).sum()
    for seed in range(20):
        noise = pictures(*found.shape, seed=seed) - 0.5
        assert left(site, changed, wanted, found + 0.01 * noise).sum() > least


@pytest.mark.parametrize("point", ["activation", "norm2", "fc"])
def test_a_search_leaves_less_than_its_start(point: str) -> None:
    x = pictures(200, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv1", x[:2], point)
    h, changed = site_inputs(site, x), site_inputs(site, x.mT)
    wanted = responses(site, h)
    short, long = (undo(site, h, changed, CeilingConfig(steps=steps)) for steps in (0, 200))
    least = [float(left(site, changed, wanted, f).sum()) for f in (site.filters, short, long)]
    assert least[2] < 0.95 * least[1]
    assert least[1] <= least[0]
    assert torch.equal(long, undo(site, h, changed, CeilingConfig(steps=200)))  # seeded
    noise = [pictures(*long.shape, seed=seed) - 0.5 for seed in range(10)]
    near = [float(left(site, changed, wanted, long + 0.1 * n).sum()) for n in noise]
    assert min(near) > least[2]


def test_random_filters_change_the_response_as_much() -> None:
    x = pictures(80, *networks.SHAPE)
    site = Site(networks.make("plain"), "conv2", x[:2], "activation")
    h = site_inputs(site, x)
    others = 1.4 * site.filters
    wanted = responses(site, h)
    random = random_filters(site, h, others, seed=0, draw=0)
    aim = float(left(site, h, wanted, others).sum())
    assert float(left(site, h, wanted, random).sum()) == pytest.approx(aim, rel=0.02)
    change = (random - site.filters).flatten()
    assert abs(float(nn.functional.cosine_similarity(change, site.filters.flatten(), 0))) < 0.3


def test_the_network_is_left_as_it_was() -> None:
    network = networks.in_disorder(networks.make("plain"))
    x = pictures(60, *networks.SHAPE)
    before = networks.traces(network)
    ceilings_of(Site(network, "conv2", x[:2], "fc"), x, x, ["shift"], CeilingConfig(steps=3))
    assert networks.traces(network) == before


def test_mistakes_are_told() -> None:
    x = pictures(60, 3, 8, 8)
    site = site_of(bare(3, 4), "0", x)
    with pytest.raises(UserError, match="no family 'tilt'; choose brightness"):
        ceilings_of(site, x, x, ["tilt"])
    with pytest.raises(UserError, match="matter of grey images"):
        ceilings_of(site, x, x, ["width"])
    with pytest.raises(UserError, match="pixels from 0 to 1"):
        ceilings_of(site, 255 * x, x)
    signals = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 2))
    flat = Site(signals.eval(), "0", pictures(2, 1, 8))
    with pytest.raises(UserError, match="convolutions have two"):
        ceilings_of(flat, pictures(4, 1, 8), pictures(4, 1, 8), [])


@pytest.mark.mnist
@pytest.mark.slow
def test_ceilings_on_mnist_are_those_of_the_laboratory(mnist_path: Path) -> None:
    """Local changes are undone at once, rotation and size the more the later it is read."""
    data = fg.load_dataset(str(mnist_path))
    network = fg.PaperCNN(fg.mnist().cnn, data.shape, len(data.classes))
    images, labels = data.train.images[:20_000], data.train.labels[:20_000]
    fg.fit(network, network.parameters(), images, labels, epochs=1)
    train, test = data.train.pixels(slice(2000)), data.test.pixels()

    def found(layer: str, point: str, *families: str) -> dict[str, float]:
        site = Site(network.eval(), layer, test[:2], point)
        values = ceilings_of(site, train, test, families)
        return {name: one.compensation.value or 0.0 for name, one in values.items()}

    early = found("conv2", "activation", "brightness", "blur", "rotation")
    assert early["brightness x0.7"] > 0.95
    assert early["blur 1 px"] > 0.9
    assert early["rotation 20 deg"] < 0.2
    late = found("conv4", "activation", "brightness", "rotation", "size")
    assert late["brightness x0.7"] > 0.9
    assert 0.2 < late["rotation 20 deg"] < 0.7
    assert 0.15 < late["size x1.1"] < 0.65
    behind = found("conv4", "bn5", "rotation", "size")
    assert all(behind[name] > late[name] + 0.05 for name in ("rotation 20 deg", "size x1.1"))


def test_as_many_images_are_fitted_as_are_asked_for() -> None:
    x = networks.images(80)
    site = Site(networks.make("plain"), "conv2", x[:2])
    for count in (10, 60):
        config = SHORT.model_copy(update={"train_images": count, "test_images": 20})
        assert len(Asked.of(site, x, x, config, seed=0).train) == count
