"""Overlap of error sets, against a loop; what each kind of filters is made of."""

import sys
from pathlib import Path

import games
import torch

from filtergan.game.gan import FilterGAN

sys.path.insert(0, str(Path(__file__).parents[1] / "studies"))
import error_sets


def test_overlap_is_shared_over_all() -> None:
    rng = torch.Generator().manual_seed(0)
    ours, theirs = (torch.rand(200, generator=rng) < share for share in (0.2, 0.1))
    one = {i for i in range(200) if ours[i]}
    other = {i for i in range(200) if theirs[i]}
    found = error_sets.compare(ours, theirs)
    assert found["overlap"] == len(one & other) / len(one | other)
    assert found["accuracy"] == 1 - len(one) / 200
    assert error_sets.compare(theirs, theirs)["overlap"] == 1
    # The null is the overlap of errors that have nothing to do with each other.
    at_random = [
        error_sets.compare(ours[torch.randperm(200, generator=rng)], theirs)["overlap"]
        for _ in range(300)
    ]
    assert abs(sum(at_random) / 300 - found["null"]) < 0.01


def test_kinds_of_filters() -> None:
    site = games.site()
    gan = FilterGAN.new(site, games.inputs(site), games.config(), 7)
    made = {kind: make() for kind, make in error_sets.kinds(gan, 0).items()}
    draws = torch.stack(made["draws"])
    torch.testing.assert_close(made["mean of 16 draws"][0], draws.mean(0))
    for size in error_sets.NOISE:
        noise = torch.stack(made[f"W with noise, {size} of its size"]) - site.filters
        relative = float(noise.square().mean().sqrt() / site.filters.square().mean().sqrt())
        assert abs(relative - size) < 0.1 * size
    many = torch.stack(made["a Gaussian for each weight"])
    assert torch.allclose(many.mean((0, 1)), draws.mean((0, 1)), atol=0.2)


def test_the_table_has_a_cell_for_each_run() -> None:
    one = {"accuracy": 0.99, "overlap": 0.5, "null": 0.004}
    found = {"a": {"sites": {"s": {"draws": one}}}, "b": {"sites": {}}}
    head, lines = error_sets.rows_of(found)
    assert head[2:] == ["a: accuracy, overlap (null)", "b: accuracy, overlap (null)"]
    assert lines == [["s", "draws", "0.9900, 0.50 (0.004)", "-"]]


def test_studies_of_one_preset_are_kept_apart() -> None:
    keys = [error_sets.key_of(Path("runs") / name / "seed0") for name in ("mnist_both", "mnist")]
    assert keys == ["mnist_both/seed0", "mnist/seed0"]
