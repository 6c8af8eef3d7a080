"""What the benchmarks count and compare with, against closed forms and plain loops."""

import json
from pathlib import Path

import growth
import plain
import pooled
import pytest
import summary
import torch
import transformations
from convolutions import Shape
from timing import Machine, Spread, Times, operations
from torch import nn

from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.fields import GanConfig
from filtergan.sites.convolution import convolve
from filtergan.sites.site import Site


def test_operations_are_counted_both_ways() -> None:
    """2 k^2 c o for each place and pass; grouped backwards, which torch's counter gets wrong."""
    shape = Shape(6, 4, 8, kernel=3)
    inputs, filters = shape.tensors(5, torch.device("cpu"))
    inputs.requires_grad_()
    filters.requires_grad_()
    one = 2 * 9 * 4 * 8 * 36 * 5
    assert operations(lambda: convolve(inputs, filters, None, shape.geometry)) == one

    def both() -> None:
        out = convolve(inputs, filters, None, shape.geometry)
        torch.autograd.grad(out.sum(), (inputs, filters))

    assert operations(both) == 3 * one


def test_the_floor_is_the_larger_of_arithmetic_and_bytes() -> None:
    a, b = torch.randn(10, 20), torch.randn(20, 30)
    flop, moved = 2 * 10 * 20 * 30, 4 * (200 + 600 + 300)
    assert Machine(1.0, 1e9).floor(lambda: a @ b) == flop
    assert Machine(1e9, 1.0).floor(lambda: a @ b) == moved
    assert Machine(1e9, 1.0).floor(lambda: a.t()) == 0
    # What is expanded is read once.
    assert Machine(1e9, 1.0).floor(lambda: a.new_ones(1).expand(50) + 1) >= 4 * (1 + 50)


def test_times_are_of_each_work() -> None:
    calls = {"one": 0, "two": 0}

    def work(name: str) -> None:
        calls[name] += 1
        torch.randn(200, 200) @ torch.randn(200, 200)

    times = Times({name: lambda name=name: work(name) for name in calls}, rounds=3)
    assert min(calls.values()) > 3
    assert times.of("one").low <= times.of("one").median <= times.of("one").high
    assert times.ratio("one", "one") == Spread(1.0, 1.0, 1.0)


@pytest.mark.parametrize("power", [1.0, 1.7])
def test_exponents(power: float) -> None:
    sizes = [1.0, 3.0, 9.0]
    assert growth.slope(sizes, [5 * s**power for s in sizes]) == pytest.approx(power)


def test_the_plain_game_plays_the_same_game() -> None:
    """Its responses are those of the site under the same filters, and a step moves everybody."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ).eval()
    images = torch.rand(20, 2, 6, 6)
    site = Site(network, "0", images[:2])
    config = GanConfig(batch=5, hidden=8, discriminator_channels=4, steps=3)
    game = plain.PlainGame(site, images, config)
    z = torch.randn(5, config.latent)
    with torch.no_grad():
        want = site.respond(site.input(images[:5]), game.generator(z))
        torch.testing.assert_close(game.generated(images[:5], z), want)
    before = [p.clone() for p in (*game.of_g, *game.of_d, *game.of_q)]
    game.play()
    after = [*game.of_g, *game.of_d, *game.of_q]
    assert not any(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("groups", [1, 2])
def test_the_pooled_passes_compute_the_same(groups: int) -> None:
    shape = Shape(5, 4, 6, stride=2, groups=groups)
    for works in pooled.works_of(shape, torch.device("cpu"), batch=3).values():
        torch.testing.assert_close(works["pool"](), works["apart"]())


def test_ceilings_and_spectrum_are_timed() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)
    ).eval()
    x = torch.rand(80, 1, 8, 8)
    config = CeilingConfig(steps=2, batch=8, test_images=20, train_images=40)
    found = transformations.bounds(Site(network, "0", x[:2]), x[:40], x[40:], config)
    assert found.keys() == {"ceilings_seconds", "spectrum_seconds"}
    assert all(seconds > 0 for seconds in found.values())


def test_records_from_before_a_row_are_read() -> None:
    path = Path(__file__).parents[1] / "results" / "benchmarks" / "cpu" / "record.json"
    record = json.loads(path.read_bytes())
    for name in ("spectrum_seconds", "ceilings_seconds", "peak_mib"):
        record["parts"]["natural"]["found"].pop(name)
    of_old = {line[0]: line for line in summary.targets(record)[1]}
    assert "spectrum, conv4" not in of_old
    record["parts"]["natural"]["found"] |= {"spectrum_seconds": 121.0, "ceilings_seconds": 60.0}
    record["parts"]["natural"]["found"] |= {"peak_mib": 1024.0}
    lines = {line[0]: line for line in summary.targets(record)[1]}
    assert lines.keys() - of_old.keys() == {
        *("spectrum, conv4", "ceilings of all families, conv4", "their training's peak memory"),
    }
    assert lines["spectrum, conv4"][2:] == ["≤ 120 s", "121 s", "**no**"]
    assert lines["ceilings of all families, conv4"][4] == "yes"
    assert lines["their training's peak memory"][3] == "1.00 GiB"


def test_whole_studies_are_told_with_all_their_stages() -> None:
    """Of a run that has the natural stage; else of the committed study."""
    stages = {"train-cnn": 10.0, "measure": 20.0}
    old = {"minutes": 0.5, "peak_mib": 500.0, "stages": stages}
    new = old | {"stages": stages | {"natural": 30.0}}
    (line,) = summary._demo(new)
    assert line[1:4] == ["-", "≤ 3 minutes", "0.5"]
    (line,) = summary._demo(old)
    path = Path(__file__).parents[1] / "results" / "digits" / "seed0" / "record.json"
    made = json.loads(path.read_bytes())["stages"].values()
    assert line[1] == "the stages of `results/digits`, 2 threads"
    assert line[3] == f"{sum(round(stage['seconds'], 1) for stage in made) / 60:.1f}"
