"""Steps of latents nearest to known changes, against a transformer with one of them planted."""

import math
from pathlib import Path
from typing import Any

import family_steps
import games
import pytest
import torch
from commands import command
from configs import micro
from test_natural import new
from torch import Tensor

from filtergan import study
from filtergan.ceilings.latent_steps import LatentStep, nearest_steps
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.errors import UserError
from filtergan.natural.natural_gan import NaturalGAN

LATENT = 2  # whose field is dimming by 0.7, at a step of 1
DIMMED = "brightness x0.7"
HELD = CeilingConfig(test_images=30)


def pictures() -> Tensor:
    return torch.rand(80, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def planted(*, with_null: bool = True) -> NaturalGAN:
    """T(x, 0, d) is x times 0.7 to the power of d_2; its null moves pixels at random."""
    site = games.site()
    gan = new(site, pictures()[:20])
    null = new(site, pictures()[:20])
    fields = gan.transformer.space.channels
    gain = sum(count for kind, count in fields.items() if kind == "flow")  # behind it
    with torch.no_grad():
        for one in (gan, null):
            one.transformer.decode.weight.zero_()
            one.transformer.common.zero_()
            one.generator.directions.mul_(20)
        gan.transformer.common[LATENT, gain] = math.log(0.7)
        null.transformer.common[:, :gain].normal_(generator=torch.Generator().manual_seed(0))
    gan.null = null if with_null else None
    return gan


@pytest.fixture(scope="module")
def steps() -> dict[str, LatentStep]:
    x = pictures()
    return nearest_steps(planted(), x[:40], x[40:], ["brightness", "shift"], HELD)


def test_what_is_planted_is_found(steps: dict[str, LatentStep]) -> None:
    one = steps[DIMMED]
    torch.testing.assert_close(one.step, torch.eye(3)[LATENT], atol=0.01, rtol=0)
    assert one.share.value == pytest.approx(1, abs=1e-3)
    assert one.share.null is not None
    assert one.share.null < 0.5


def test_what_is_not_is_not(steps: dict[str, LatentStep]) -> None:
    value = steps["shift 1 px"].share.value
    assert value is not None
    assert value < 0.3


def test_undone_is_what_the_site_says(steps: dict[str, LatentStep]) -> None:
    """The median of 1 - after / before, image by image."""
    x, gan = pictures()[40:], planted()
    site, step = gan.site, steps[DIMMED].step
    real, moved = gan.draw(torch.zeros(1, 3))[0], gan.draw(step[None])[0]
    found = []
    for image in x:
        wanted = site.respond(site.input(image[None]), real)
        before = (site.respond(site.input(image[None]), moved) - wanted).square().sum()
        dimmed = gan.transform(image[None], torch.zeros(1, 3), step[None])
        after = (site.respond(site.input(dimmed), moved) - wanted).square().sum()
        found.append(float(1 - after / before))
    low, high = steps[DIMMED].compensation.ci95
    assert low is not None
    assert high is not None
    middle = float(torch.tensor(found).quantile(0.5))  # of all, where thirty were asked
    assert low - 0.05 <= middle <= high + 0.05


def test_a_generator_without_a_null_is_refused() -> None:
    x = pictures()
    with pytest.raises(UserError, match="no null"):
        nearest_steps(planted(with_null=False), x, x, ["brightness"])


def test_the_command_tells_of_steps_where_there_is_a_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    config = micro(recipe=("natural",), natural={"steps": 2, "null_steps": 1})
    study.run(config, tmp_path / "run", until="natural")
    said = command("ask", tmp_path / "run", "--family", "brightness")
    assert "Is it a step of the latents at conv2 read at activation?" in said
    said = command("ask", tmp_path / "run", "--family", "brightness", "--layer", "conv1")
    assert "Is it a step" not in said


def test_a_depth_asks_at_the_module_that_it_stands_for(tmp_path: Path) -> None:
    config = micro(layer=("conv1@bn2/natural",), natural={"steps": 2, "null_steps": 1})
    study.run(config, tmp_path / "run", until="natural")
    asked = ("ask", tmp_path / "run", "--family", "brightness", "--layer", "conv1", "--json")
    by_name = command(*asked, "--response", "bn2")
    assert '"latents"' in by_name
    assert command(*asked, "--response", "bn2", "+1") == by_name


def test_the_table(steps: dict[str, LatentStep]) -> None:
    told: dict[str, Any] = {name: one.record for name, one in steps.items()}
    found = {"mnist/seed0": {"sites": {"conv2@activation/natural": told}}}
    head, lines = family_steps.rows_of(found)
    assert head == ["change of images", "conv2@activation: share", "undone"]
    assert lines[0][0] == DIMMED
    assert lines[0][1].startswith("1.00; null ")
