"""The public object: draws that repeat, files that come back, nothing else disturbed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.machine.files import load_tensors
from filtergan.sites.site import Site


def config(**changes: Any) -> GanConfig:
    small = GanConfig(latent=3, hidden=8, discriminator_channels=4)
    return GanConfig.model_validate(small.model_dump() | changes)


@pytest.fixture
def site() -> Site:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, groups=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, (3, 2), groups=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    network(torch.rand(2, 1, 9, 9))
    return Site(network.requires_grad_(False), "3", torch.rand(2, 1, 9, 9))


@pytest.fixture
def inputs(site: Site) -> Tensor:
    return site.input(torch.rand(10, 1, 9, 9, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("head", ["shared", "dense"])
def test_draws(site: Site, inputs: Tensor, head: str) -> None:
    gan = FilterGAN.new(site, inputs, config(head=head), 4)
    z = gan.latents(5, 2)
    draws = gan.draw(z)
    assert z.shape == (5, 3)
    assert draws.shape == (5, *site.filters.shape) == (5, 6, 2, 3, 2)
    assert not draws.requires_grad
    assert torch.equal(draws, FilterGAN.new(site, inputs, config(head=head), 4).draw(z))
    assert not torch.equal(draws, FilterGAN.new(site, inputs, config(head=head), 5).draw(z))
    assert len(draws.flatten(1).unique(dim=0)) == 5


def test_latents_repeat_by_seed_and_purpose(site: Site, inputs: Tensor) -> None:
    gan = FilterGAN.new(site, inputs, config(), 0)
    assert torch.equal(gan.latents(4, 1, "a"), gan.latents(4, 1, "a"))
    for other in (gan.latents(4, 2, "a"), gan.latents(4, 1, "b"), gan.latents(4, 1)):
        assert not torch.equal(gan.latents(4, 1, "a"), other)
    many = gan.latents(20000)
    assert many.mean(0).abs().max() < 0.03
    assert (many.std(0) - 1).abs().max() < 0.03


def test_each_response_is_under_the_filters_of_its_own_latent(site: Site, inputs: Tensor) -> None:
    gan = FilterGAN.new(site, inputs, config(), 0)
    z = gan.latents(10)
    responses = gan.respond(inputs, z)
    for i in (0, 7):
        alone = site.respond(inputs[i : i + 1], gan.draw(z[i : i + 1])[0])
        torch.testing.assert_close(responses[i : i + 1].detach(), alone)
    responses.sum().backward()
    assert all(w.grad is not None for w in gan.generator.parameters())


def test_torch_s_own_randomness_is_left_alone(site: Site, inputs: Tensor) -> None:
    torch.manual_seed(9)
    state = torch.get_rng_state()
    gan = FilterGAN.new(site, inputs, config(), 4)
    gan.predict(inputs, gan.latents(10))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_start(site: Site, inputs: Tensor) -> None:
    real = FilterGAN.new(site, inputs, config(start="real"), 4)
    assert torch.equal(real.generator.mean, site.filters)
    assert real.generator.mean.data_ptr() != site.filters.data_ptr()
    assert not torch.equal(FilterGAN.new(site, inputs, config(), 4).generator.mean, site.filters)


def test_a_look_by_q_changes_nothing(site: Site, inputs: Tensor) -> None:
    """Spectral normalisation must not go on estimating while Q is only asked."""
    gan = FilterGAN.new(site, inputs, config(spectral_norm=True), 4)
    z = gan.latents(10)
    before = {name: value.clone() for name, value in gan.discriminator.state_dict().items()}
    first = gan.predict(inputs, z)
    assert torch.equal(first, gan.predict(inputs, z))
    torch.testing.assert_close(first[:3], gan.predict(inputs[:3], z[:3]))
    after = gan.discriminator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert gan.discriminator.training


@pytest.mark.parametrize("changes", [{}, {"head": "dense"}, {"spectral_norm": False}])
def test_saved_and_loaded(
    site: Site, inputs: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    one = FilterGAN.new(site, inputs, config(**changes), 4)
    one.save(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {
        "generator.safetensors",
        "discriminator.safetensors",
    }
    other = FilterGAN.new(site, inputs[:2], config(**changes), 5)
    z = one.latents(10)
    assert not torch.equal(other.draw(z), one.draw(z))
    assert other.load(tmp_path) is other
    assert torch.equal(other.draw(z), one.draw(z))
    assert torch.equal(other.predict(inputs, z), one.predict(inputs, z))


@pytest.mark.parametrize(
    "changes",
    [{"latent": 4}, {"hidden": 9}, {"head": "dense"}, {"discriminator_channels": 5}],
)
def test_files_of_another_configuration(
    site: Site, inputs: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    FilterGAN.new(site, inputs, config(**changes), 4).save(tmp_path)
    with pytest.raises(UserError, match="does not fit this configuration") as e:
        FilterGAN.new(site, inputs, config(), 4).load(tmp_path)
    assert e.value.exit_code == 2
    assert str(tmp_path) in str(e.value)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_a_missing_or_damaged_file(site: Site, inputs: Tensor, tmp_path: Path, name: str) -> None:
    gan = FilterGAN.new(site, inputs, config(), 4)
    gan.save(tmp_path)
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{name}\.safetensors is damaged"):
        gan.load(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=rf"{name}\.safetensors cannot be read"):
        gan.load(tmp_path)


def test_the_filters_never_reach_the_discriminator(site: Site, inputs: Tensor) -> None:
    """It receives responses and nothing else; what it keeps of the site is their scale."""
    gan = FilterGAN.new(site, inputs, config(), 4)
    seen: list[torch.Size] = []
    gan.discriminator.register_forward_pre_hook(lambda _, args: seen.extend(a.shape for a in args))
    gan.predict(inputs, gan.latents(10))
    assert seen == [site.respond(inputs).shape]


def test_the_generator_never_sees_the_real_filters(
    site: Site, inputs: Tensor, tmp_path: Path
) -> None:
    """With a random start, other real filters give the same generator."""
    FilterGAN.new(site, inputs, config(), 4).save(tmp_path / "a")
    with torch.no_grad():
        site.conv.weight.mul_(2)
    FilterGAN.new(site, inputs, config(), 4).save(tmp_path / "b")
    one, other = (load_tensors(tmp_path / side / "generator.safetensors") for side in "ab")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
