"""Large layers: exact gradients, what is worked on at once, and the study of what they cost."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filtergan.config.fields import GanConfig, TraversalConfig
from filtergan.game import gan as gan_module
from filtergan.game.gan import FilterGAN
from filtergan.game.generator import Generator
from filtergan.measures import filters
from filtergan.sites.site import Site
from filtergan.walks.points import points_around
from filtergan.walks.prior import NaturalImagePrior
from filtergan.walks.search import PixelSearch
from filtergan.walks.walk import walk

STUDIES = Path(__file__).parents[1] / "studies"
sys.path.insert(0, str(STUDIES))
import large_layers  # noqa: E402


def plain(generator: Generator, z: Tensor) -> Tensor:
    """The shared head, filter by filter: W_d act(W_c (trunk(z) * e_o) + c) + d + mean_o."""
    weights = dict(generator.named_parameters())

    def linear(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    sets = []
    for row in z:
        code = F.leaky_relu(linear("trunk.0", row), 0.2)
        code = F.leaky_relu(linear("trunk.2", code), 0.2)
        of_row = [
            linear("decode.2", F.leaky_relu(linear("decode.0", code * e), 0.2))
            for e in generator.embedding
        ]
        sets.append(torch.stack(of_row).reshape(generator.shape) + generator.mean)
    return torch.stack(sets)


def test_the_shared_head_and_its_gradients_are_the_plain_formula_s() -> None:
    torch.manual_seed(0)
    generator = Generator((5, 3, 3, 2), latent=4, hidden=6).double()
    z = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    weights = [z, *generator.parameters()]
    towards = torch.randn(7, 5, 3, 3, 2, dtype=torch.float64)
    ours, wanted = generator(z), plain(generator, z)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)
    gradients = (torch.autograd.grad((f * towards).sum(), weights) for f in (ours, wanted))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_weights_of_the_shared_head_grow_with_a_filter_not_with_the_layer() -> None:
    def count(o: int, i: int) -> int:
        return sum(p.numel() for p in Generator((o, i, 3, 3), 8, 128).parameters())

    assert count(512, 512) < 10e6
    assert count(1024, 512) - count(512, 512) == 512 * (512 * 9 + 128)  # mean and embedding


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch) -> FilterGAN:
    torch.manual_seed(0)
    network = large_layers.Minimal(3).eval()
    images = torch.rand(8, 3, 6, 6)
    site = Site(network, "conv", images)
    return FilterGAN.new(site, images, GanConfig(latent=3, hidden=4), 0)


@pytest.mark.parametrize("null_seed", [None, 5])
def test_a_walk_is_the_same_however_few_points_fit(
    game: FilterGAN, monkeypatch: pytest.MonkeyPatch, null_seed: int | None
) -> None:
    images, z = torch.rand(3, 3, 6, 6), game.latents(3)
    targets = points_around(z, 4, 1.0, 0)
    prior = NaturalImagePrior.measured(images, 1.0, 1.0)
    sizes: list[int] = []
    draw = FilterGAN.draw

    def noted(self: FilterGAN, latents: Tensor) -> Tensor:
        sizes.append(len(latents))
        return draw(self, latents)

    monkeypatch.setattr(FilterGAN, "draw", noted)

    def walked() -> Tensor:
        search = PixelSearch(prior, TraversalConfig(evaluations=3, batch=8))
        return walk(game, search, images, z, targets, null_seed).images

    whole = walked()
    assert max(sizes) == 8
    sizes.clear()
    monkeypatch.setattr(gan_module, "AT_ONCE", 5 * game.site.filters.numel() + 1)
    torch.testing.assert_close(walked(), whole, rtol=1e-5, atol=1e-5)
    assert max(sizes) == 5
    monkeypatch.setattr(gan_module, "AT_ONCE", 1)
    assert game.at_once == 1


def test_the_variety_of_draws_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    draws, real = (torch.randn(*shape, 4, 3, 3, generator=rng) for shape in ((9, 5), (5,)))

    def found() -> list[float]:
        ends = filters.draws_interval(filters.participation_ratio, filters.coordinates(draws))
        spread, ratio = filters.filter_spread(draws, real), filters.participation_ratio(draws)
        return [spread, ratio, *ends]

    whole = found()
    monkeypatch.setattr(filters, "COLUMNS", 7)
    assert found() == pytest.approx(whole, rel=1e-9)


# --------------------------------------------------------------------------------- the study


def test_exponents_of_power_laws() -> None:
    rows = [
        {"site_weights": n, "generator_weights": 3 * n, "seconds": n**0.5, "peak_mib": 7.0}
        | {"gflop": 2 * n**1.5}
        for n in (1e4, 1e5, 1e6)
    ]
    small = {"site_weights": 99, **dict.fromkeys(large_layers.COSTS, 1e9)}
    found = large_layers.exponents([small, *rows, {"site_weights": 1e7, "does_not_fit": 99}])
    assert found == pytest.approx(
        {"generator_weights": 1.0, "seconds": 0.5, "peak_mib": 0.0, "gflop": 1.5}, abs=1e-9
    )
    assert set(large_layers.exponents([small]).values()) == {None}


def test_operations_are_counted_by_hand() -> None:
    n, c, o, k = 3, 4, 5, 3
    x, w = torch.rand(1, n * c, 6, 6), torch.rand(n * o, c, k, k, requires_grad=True)
    forward = 2 * (n * o * 6 * 6) * (c * k * k)

    def both() -> None:
        F.conv2d(x, w, None, 1, 1, 1, n).sum().backward()

    assert large_layers.counted(lambda: F.conv2d(x, w.detach(), None, 1, 1, 1, n)) == forward
    assert large_layers.counted(both) == 2 * forward  # the images need no gradient
    x.requires_grad_(True)
    assert large_layers.counted(both) == 3 * forward
    dense = nn.Linear(7, 8)
    assert large_layers.counted(lambda: dense(torch.rand(2, 7))) == 2 * 2 * 7 * 8


def test_what_does_not_fit_is_known_beforehand() -> None:
    shared, dense = (large_layers.needed_gib(512, head) for head in large_layers.HEADS)
    assert shared < 3 < 7 < dense


@pytest.mark.slow
def test_the_study_at_its_smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "record.json"
    options = ("--out", out, "--channels", 3, "--steps", 2, "--resnet-steps", 0, "--threads", 1)

    def run(*more: object) -> dict:
        monkeypatch.setattr(sys, "argv", ["large_layers.py", *map(str, (*options, *more))])
        large_layers.main()
        return json.loads(out.read_text())

    record = run("--limit-gib", 0)
    assert all("does_not_fit" in row for row in record["rows"])
    out.unlink()
    record = run()
    assert [row["head"] for row in record["rows"]] == list(large_layers.HEADS)
    for row in record["rows"]:
        assert row["site_weights"] == 81
        assert min(row["seconds"], row["peak_mib"], row["gflop"]) > 0
    assert {"versions", "device", "git", "threads", "limit_gib", "exponents"} <= record.keys()
    head, lines = large_layers.rows_of(record)
    assert {len(line) for line in lines} == {len(head)}
    assert run()["rows"] == record["rows"]  # nothing is measured again
