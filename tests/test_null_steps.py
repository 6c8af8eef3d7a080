"""The study of the null's steps: what it measures beside a loop, and its table."""

import games
import null_steps
import pytest
import torch
from test_natural import new


def test_what_is_undone_is_that_of_a_loop() -> None:
    x = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    gan = new(games.site(), x)
    with torch.no_grad():
        gan.generator.directions.mul_(20)
    z, z_k = gan.latents(12, seed=1), gan.latents(12, seed=2)
    found = null_steps.undone(gan, x, z, z_k)
    shares, changes = [], []
    for i in range(12):
        one, at, to = x[i : i + 1], z[i : i + 1], z_k[i : i + 1]
        moved = gan.transform(one, at, to)
        wanted = gan.site.respond(gan.site.input(one), gan.draw(at))
        before, after = (
            float((gan.site.respond(gan.site.input(image), gan.draw(to)) - wanted).square().sum())
            for image in (one, moved)
        )
        shares.append(1 - after / before)
        changes.append(float((moved - one).norm() / one.norm()))
    assert found["undone"] == pytest.approx(sum(shares) / 12, rel=1e-4, abs=1e-6)
    assert found["change"] == pytest.approx(sum(changes) / 12, rel=1e-4)
    low, high = found["ci95"]
    assert low < found["undone"] < high
    assert min(shares) < found["median"] < max(shares)


def test_the_table() -> None:
    one = {"undone": 0.5, "ci95": [0.4, 0.6], "median": 0.55, "change": 0.3}
    null = {**one, "undone": 0.1}
    entry = {"steps": 2500, "ours": one, "null": {"800": null, "2500": null}}
    sites = ("conv4@bn5/natural", "conv2@activation/natural")
    head, lines = null_steps.rows_of(dict.fromkeys(sites, entry))
    assert head == ["site", "trained", "undone, mean", "median", "change of image"]
    first = ["conv4@bn5/natural", "generator and T, 2,500 steps", "0.500 (0.400 to 0.600)"]
    assert lines[0] == [*first, "0.55", "0.30"]
    assert [line[1] for line in lines[1:3]] == ["the null, 800 steps", "the null, 2,500 steps"]
    assert [line[0] for line in lines[2:4]] == list(sites)
    assert null_steps.rows_of({})[1] == []
