"""The public object: draws that repeat, files that come back, nothing else disturbed."""

import copy
import hashlib
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from filtergan.classifiers.fitting import channels_last
from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.machine.files import load_tensors
from filtergan.sites.site import Site
from filtergan.sites.wrappers import fingerprint


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


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_of_other_numbers_are_refused(site: Site, kind: torch.dtype) -> None:
    x = torch.rand(2, 1, 9, 9, dtype=kind)
    other = Site(site.network.to(kind), "3", x)
    with pytest.raises(UserError, match=rf"in {kind}, but .* network.to\(torch.float32\)"):
        FilterGAN.new(other, other.input(x), config(), 4)


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


@pytest.mark.parametrize(
    "changes",
    [
        *({}, {"latent": 4}, {"hidden": 9}, {"head": "dense"}, {"spectral_norm": False}),
        *({"discriminator_channels": 5}, {"start": "real"}),
    ],
)
def test_saved_and_loaded(
    site: Site, inputs: Tensor, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """The folder and the network are all that is needed."""
    one = FilterGAN.new(site, inputs, config(**changes), 4)
    one.save(str(tmp_path))
    assert {f.name for f in tmp_path.iterdir()} == {
        *("filtergan.json", "generator.safetensors", "discriminator.safetensors")
    }
    state = torch.get_rng_state()
    other = FilterGAN.load(str(tmp_path), site.network)
    assert torch.equal(torch.get_rng_state(), state)
    z = one.latents(10)
    assert torch.equal(other.draw(z), one.draw(z))
    assert torch.equal(other.predict(inputs, z), one.predict(inputs, z))
    assert (other.config, other.site.layer, other.site.point) == (one.config, "3", "activation")
    assert other.site.straight == site.straight


@pytest.mark.parametrize("point", ["conv", "5"])
def test_where_the_response_is_read_is_loaded(site: Site, tmp_path: Path, point: str) -> None:
    images = torch.rand(10, 1, 9, 9)
    site = Site(site.network, "3", images[:2], point)
    site.backend = "unfolded"
    one = FilterGAN.new(site, site.input(images), config(), 4)
    one.save(tmp_path)
    other = FilterGAN.load(tmp_path, site.network)
    assert (other.site.point, other.site.backend) == (point, "unfolded")
    assert other.site.respond(site.input(images)).shape == site.respond(site.input(images)).shape


ELSEWHERE = """
import torch
import filtergan as fg

network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(196, 3)
)
network.load_state_dict(torch.load("network.pt", weights_only=True))
torch.save(fg.FilterGAN.load("g", network).draw(3), "drawn.pt")
"""


def test_loaded_in_another_process_and_folder(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(196, 3))
    site = Site(network, "0", torch.rand(2, 1, 9, 9))
    gan = FilterGAN.new(site, torch.rand(10, 1, 9, 9), config(), 4)
    gan.save(tmp_path / "g")
    torch.save(network.state_dict(), tmp_path / "network.pt")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "g", tmp_path / "elsewhere" / "g")
    shutil.move(tmp_path / "network.pt", tmp_path / "elsewhere" / "network.pt")
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path / "elsewhere",
        check=True,
    )
    found = torch.load(tmp_path / "elsewhere" / "drawn.pt", weights_only=True)
    torch.testing.assert_close(found, gan.draw(3), rtol=1e-5, atol=1e-6)


def test_another_network_is_refused(site: Site, inputs: Tensor, tmp_path: Path) -> None:
    FilterGAN.new(site, inputs, config(), 4).save(tmp_path)
    with torch.no_grad():
        site.conv.weight[0, 0, 0, 0] += 1e-6
    with pytest.raises(UserError, match="for another network, or for other weights") as e:
        FilterGAN.load(tmp_path, site.network)
    assert e.value.exit_code == 2
    assert str(tmp_path) in str(e.value)


def test_the_fingerprint_is_of_values_only() -> None:
    torch.manual_seed(0)
    norm, linear = nn.BatchNorm2d(4), nn.Linear(5, 6)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), norm, linear)
    said = fingerprint(network)
    assert fingerprint(nn.DataParallel(network)) == said
    assert fingerprint(channels_last(copy.deepcopy(network))) == said
    by_hand = hashlib.sha256()
    for name in sorted(network.state_dict()):
        value = network.state_dict()[name].numpy()
        by_hand.update(f"{name} torch.{value.dtype} {list(value.shape)}\n".encode())
        by_hand.update(np.ascontiguousarray(value).tobytes())
    assert by_hand.hexdigest() == said
    renamed = nn.Sequential(OrderedDict(zip("abc", network, strict=True)))
    assert fingerprint(renamed) != said
    norm.bias.data[2] += 1e-6
    assert fingerprint(network) != said
    norm.bias.data[2] -= 1e-6
    linear.weight.data = linear.weight.data.reshape(5, 6)
    assert fingerprint(network) != said


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_a_missing_or_damaged_file(site: Site, inputs: Tensor, tmp_path: Path, name: str) -> None:
    gan = FilterGAN.new(site, inputs, config(), 4)
    gan.save(tmp_path)
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{name}\.safetensors is damaged"):
        FilterGAN.load(tmp_path, site.network)
    # Whole, but of another save: a generator never meets somebody else's discriminator.
    FilterGAN.new(site, inputs, config(), 5).save(tmp_path / "other")
    path.write_bytes((tmp_path / "other" / path.name).read_bytes())
    with pytest.raises(UserError, match=r"was not saved with the filtergan\.json beside it"):
        FilterGAN.load(tmp_path, site.network)
    path.unlink()
    with pytest.raises(UserError, match=rf"{name}\.safetensors cannot be read"):
        FilterGAN.load(tmp_path, site.network)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda said: said[:-9], "is damaged"),
        (lambda said: said.replace("latent", "latents"), "is damaged"),
        (lambda said: "[]", "is damaged"),
        (lambda said: said.replace('"latent": 3', '"latent": 4'), "does not fit"),
        (
            lambda said: said.replace('"schema_version": 1', '"schema_version": 2, "new": 0'),
            r"was written by a newer filtergan .*; install",
        ),
    ],
    ids=["cut", "unknown field", "no mapping", "another size", "newer"],
)
def test_a_description_that_cannot_be_followed(
    site: Site, inputs: Tensor, tmp_path: Path, change: Callable[[str], str], told: str
) -> None:
    FilterGAN.new(site, inputs, config(), 4).save(tmp_path)
    path = tmp_path / "filtergan.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=told):
        FilterGAN.load(tmp_path, site.network)
    path.unlink()
    with pytest.raises(UserError, match=r"filtergan\.json cannot be read"):
        FilterGAN.load(tmp_path, site.network)


def test_draws_of_a_number(site: Site, inputs: Tensor) -> None:
    gan = FilterGAN.new(site, inputs, config(), 4)
    assert torch.equal(gan.draw(10), gan.draw(gan.latents(10)))
    assert torch.equal(gan.draw(10, seed=3), gan.draw(gan.latents(10, 3)))
    assert not torch.equal(gan.draw(10, seed=3), gan.draw(10))


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
