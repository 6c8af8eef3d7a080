"""The domain of images: a normalising network is the same with the normalisation folded in."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign
import pytest
import torch
from torch import Tensor, nn

import filtergan as fg
from filtergan.classifiers.loading import check_fits
from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.images.domain import Domain, as_pixels
from filtergan.pooling.pool import FilterPool2d
from filtergan.pooling.retraining import later_parameters, retrain
from filtergan.sites.convolution import convolutions
from filtergan.sites.site import Site
from filtergan.sites.wrappers import Classifier, unwrapped
from filtergan.study.selection import execution_order
from filtergan.walks.search import invert

MEAN, STD = (0.485, 0.2, 0.4), (0.25, 0.5, 0.1)
DOMAIN = Domain(MEAN, STD)
NORMAL = (Domain(), Domain(0.5, 0.25), Domain(MEAN, 0.3), Domain(0.1, STD), DOMAIN)


def plain() -> nn.Module:
    """A network without a trace of what is before it: zeros are padded to normalised values."""
    return foreign.settled(
        nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 4, 3, padding=1),
                norm1=nn.BatchNorm2d(4),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(4, 5, 3, padding=1),
                relu2=nn.ReLU(),
                flatten=nn.Flatten(),
                fc=nn.Linear(5 * 64, 3),
            )
        )
    )


def folded(network: nn.Module, domain: Domain) -> nn.Module:
    """The network behind a layer that normalises."""
    first = nn.Conv2d(3, 3, 1, groups=3).requires_grad_(False)
    mean, std = (torch.tensor(values).expand(3) for values in (domain.mean, domain.std))
    first.weight.copy_((1 / std)[:, None, None, None])
    first.bias = nn.Parameter(-mean / std, requires_grad=False)
    return nn.Sequential(OrderedDict(first=first, net=network)).eval()


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def draws(site: Site, k: int) -> Tensor:
    noise = torch.randn(k, *site.filters.shape, generator=torch.Generator().manual_seed(3))
    return site.filters + 0.2 * noise.to(site.filters)


def logits(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.logits


# -------------------------------------------------------------------------------- the domain


@pytest.mark.parametrize("domain", NORMAL, ids=str)
def test_there_and_back(domain: Domain) -> None:
    x = images(4)
    normalised = domain.to_network(x)
    torch.testing.assert_close(normalised, folded(nn.Identity(), domain)(x))
    torch.testing.assert_close(domain.to_pixels(normalised), x)
    torch.testing.assert_close(domain.to_pixels(domain.to_network(x.double())), x.double())
    if domain == Domain():
        assert normalised is x


def test_of_range() -> None:
    x = images(3)
    torch.testing.assert_close(Domain.of_range(0.0, 255.0).to_network(x), 255 * x)
    torch.testing.assert_close(Domain.of_range(-1.0, 1.0).to_network(x), 2 * x - 1)


def test_signals_and_volumes() -> None:
    for shape in ((2, 3, 7), (2, 3, 2, 3, 4)):
        x = torch.rand(shape)
        want = torch.stack([(x[:, c] - MEAN[c]) / STD[c] for c in range(3)], dim=1)
        torch.testing.assert_close(DOMAIN.to_network(x), want)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (MEAN, (0.1, 0.2), r"3 means and 2 standard deviations; give one for each channel"),
        ((), 1.0, r"0 means and 1 standard"),
        ((123.7, 116.8, 103.9), 1.0, r"123.7, 116.8, 103.9 lies outside \[0, 1\].*divide .* 255"),
        (float("nan"), 1.0, r"nan lies outside"),
        (0.5, (0.2, 0.0, 0.1), r"deviation 0.2, 0, 0.1 must be above 0"),
        (0.5, float("inf"), r"must be above 0"),
    ],
)
def test_what_is_no_domain(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Domain(mean, std)


def test_other_channels() -> None:
    for change in (DOMAIN.to_network, DOMAIN.to_pixels):
        with pytest.raises(UserError, match=r"are of 3 channels, but the images have 1"):
            change(torch.rand(2, 1, 4, 4))
    with pytest.raises(UserError, match=r"are of 3 channels, but the images have 1"):
        check_fits(Classifier(nn.Conv2d(1, 2, 3), DOMAIN), (1, 8, 8), 2)


def test_what_are_pixels() -> None:
    x = images(2)
    assert torch.equal(as_pixels(x), x)
    torch.testing.assert_close(as_pixels((255 * x).round().byte()), x, atol=1 / 500, rtol=0)
    rounded = torch.tensor([-1e-6, 0.3, 1 + 1e-6])
    assert as_pixels(rounded).tolist() == [0, rounded[1].item(), 1]
    for wrong, said in (
        (DOMAIN.to_network(x), r"range from -[\d.]+ to [\d.]+, but images are pixels from 0 to 1"),
        (x - 0.01, r"range from -0.0\d+ to 0.\d+"),
        (255 * x, r"range from [\d.]+ to 25\d"),
        (x / 0, r"range from inf to inf"),
        (x.where(x > 0.1, torch.nan), r"range from nan to nan"),
    ):
        with pytest.raises(UserError, match=said):
            as_pixels(wrong)
    with pytest.raises(UserError, match=r"range from"):
        Domain(0.5, 2.0).to_pixels(DOMAIN.to_network(x))


# ------------------------------------------------------------------- a classifier's sites


@pytest.mark.parametrize(
    ("make", "layer", "point"),
    [
        (plain, "conv1", "activation"),
        (plain, "conv2", "conv"),
        (plain, "conv1", "relu2"),
        (foreign.resnet, "resnet.encoder.stages.1.layers.0.shortcut.convolution", "activation"),
        (foreign.convnext, "convnext.encoder.stages.1.layers.0.dwconv", "activation"),
    ],
)
def test_a_site_is_that_of_the_folded_network(
    make: Callable[[], nn.Module], layer: str, point: str
) -> None:
    network = make()
    whole, x = Classifier(network, DOMAIN), images(3)
    site = Site(whole, layer, x[:2], point)
    later = point if point in ("conv", "activation") else f"net.{point}"
    other = Site(folded(network, DOMAIN), f"net.{layer}", x[:2], later)
    assert site.network is network
    assert site.layer == layer
    filters = draws(site, 3)
    response = other.respond(other.input(x), filters)
    with torch.no_grad():
        torch.testing.assert_close(logits(whole(x)), other.output(x))
        torch.testing.assert_close(site.input(x), other.input(x))
        torch.testing.assert_close(site.respond(site.input(x), filters), response)
        torch.testing.assert_close(site.output(x), other.output(x))
        torch.testing.assert_close(
            site.output(x, filters=filters), other.output(x, filters=filters)
        )
        torch.testing.assert_close(
            site.output(x, response=response), other.output(x, response=response)
        )
    assert not torch.allclose(site.input(x), Site(network, layer, x[:2], point).input(x))


def compiled(network: nn.Module) -> Any:
    return torch.compile(network, backend="eager")


@pytest.mark.filterwarnings("ignore")  # torch deprecates some of it
@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: Classifier(compiled(network), DOMAIN),
        lambda network: compiled(Classifier(network, DOMAIN)),
        lambda network: nn.DataParallel(Classifier(nn.DataParallel(network), DOMAIN)),
    ],
    ids=["compiled in it", "compiled around it", "for several devices"],
)
def test_wrapped(wrap: Callable[[nn.Module], Any]) -> None:
    network, x = plain(), images(3)
    wrapped = wrap(network)
    site, other = Site(wrapped, "conv2", x), Site(Classifier(network, DOMAIN), "conv2", x)
    assert unwrapped(wrapped) is site.network is network
    torch.testing.assert_close(site.input(x), other.input(x))
    torch.testing.assert_close(site.output(x), other.output(x))
    assert list(convolutions(wrapped)) == execution_order(wrapped, x) == ["conv1", "conv2"]


def test_the_network_stays_as_it_is() -> None:
    network, x = plain(), images(3)
    before = copy.deepcopy(network.state_dict())
    whole = Classifier(network, DOMAIN, ("a", "b", "c"))
    torch.testing.assert_close(whole(x), network(DOMAIN.to_network(x)))
    assert whole.network is network
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "mean=(0.485, 0.2, 0.4)" in repr(whole)
    assert "classes=('a', 'b', 'c')" in repr(whole)
    with pytest.raises(UserError, match="is a Classifier already"):
        Classifier(nn.DataParallel(whole))


def test_faults_name_the_network_s_own_layers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(7, 2))
    with pytest.raises(UserError, match=r"its layer '2', a Linear, fails"):
        check_fits(Classifier(network, DOMAIN), (3, 8, 8), 2)
    with pytest.raises(UserError, match=r"its first convolution '0' takes 3 channels, they have 1"):
        check_fits(Classifier(network, Domain(0.5)), (1, 8, 8), 2)


def test_predict_and_fit_take_pixels() -> None:
    inputs, labels = (255 * images(12)).byte(), torch.arange(12) % 3
    first, second, third = plain(), plain(), plain()
    wholes = (Classifier(first, DOMAIN), folded(second, DOMAIN), third)
    for network, whole in zip((first, second, third), wholes, strict=True):
        fg.fit(whole, network.parameters(), inputs, labels, epochs=1, batch=4, rate=1e-3)
    found, want, other = (fg.predict(whole, inputs) for whole in wholes)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-3)  # AdamW enlarges what was rounded
    assert (found - other).abs().max() > 0.1


# ---------------------------------------------------------------------------------- pooling


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (plain, "conv1"),
        (foreign.resnet, "resnet.encoder.stages.1.layers.0.shortcut.convolution"),
    ],
    ids=["straight", "not straight"],
)
def test_pooling(make: Callable[[], nn.Module], layer: str) -> None:
    network, x = make(), images(9)
    site = Site(Classifier(network, DOMAIN, "abc"), layer, x[:2])
    other = Site(folded(network, DOMAIN), f"net.{layer}", x[:2])
    filters = draws(site, 4)
    pooled, want = FilterPool2d.into(site, filters), FilterPool2d.into(other, filters)
    assert isinstance(pooled, Classifier)
    assert pooled.classes == ("a", "b", "c")
    assert isinstance(pooled.network.get_submodule(layer), FilterPool2d)
    with torch.no_grad():
        torch.testing.assert_close(logits(pooled(x)), logits(want(x)))
    names = later_parameters(site, x[:2])
    assert [f"net.{name}" for name in names] == later_parameters(other, x[:2])
    train = ((255 * x).byte(), torch.arange(9) % 3)
    config, cpu = fg.MeasureConfig(retrain_epochs=2), torch.device("cpu")
    found, expected = (
        retrain(s, filters, train, train[0], config, seed=0, device=cpu) for s in (site, other)
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)  # through half precision


# ------------------------------------------------------------------------------ walks


def gans() -> tuple[FilterGAN, FilterGAN]:
    """The same generator for the network in its domain, and for the folded one; doubles."""
    site, made = Site(Classifier(plain(), DOMAIN), "conv2", images(2)), []
    config = fg.GanConfig(latent=3, hidden=8, discriminator_channels=4)
    single = FilterGAN.new(site, site.input(images(2)), config, 0)
    network, x, generator = plain().double(), images(2).double(), single.generator.double()
    for whole, layer in (
        (Classifier(network, DOMAIN), "conv2"),
        (folded(network, DOMAIN).double(), "net.conv2"),
    ):
        site = Site(whole, layer, x)
        made.append(FilterGAN(site, generator, single.discriminator, config))
    return made[0], made[1]


def test_walks_equal_those_of_the_folded_network() -> None:
    x = images(3).double()
    prior = fg.NaturalImagePrior.measured(x, 0.01, 0.01)
    search, found = fg.PixelSearch(prior, fg.TraversalConfig(evaluations=8)), []
    for gan in gans():
        z = gan.latents(3, seed=1).double()
        targets = fg.points_around(z, 4, 3.0, seed=2)
        grids = torch.stack([fg.latent_grid(one, (0, 1), torch.tensor([-2.0, 0, 2])) for one in z])
        walked = fg.walk(gan, search, x, z, targets)
        found.append((walked, fg.walk_grid(gan, search, x, z, grids)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.images, other.images, rtol=0, atol=1e-6)
        torch.testing.assert_close(one.before, other.before)
        torch.testing.assert_close(one.after, other.after, rtol=1e-4, atol=1e-9)
        assert one.images.min() >= 0
        assert one.images.max() <= 1
        assert (one.after < one.before).any()


def test_images_beside_the_domain_are_refused() -> None:
    (gan, _), x = gans(), images(3).double()
    config, normalised = fg.TraversalConfig(evaluations=2), DOMAIN.to_network(x)
    prior = fg.NaturalImagePrior.measured(x, 0.01, 0.01)
    search = fg.PixelSearch(prior, config)
    z = gan.latents(3, seed=1).double()
    grids = torch.stack([fg.latent_grid(one, (0, 1), torch.tensor([-2.0, 0, 2])) for one in z])
    filters, profiles = gan.draw(z), gan.respond(gan.site.input(x), z)
    said = r"range from -[\d.]+ to [\d.]+, .* 0 to 1: .*fg.Classifier.*to_pixels"
    for work in (
        lambda: fg.walk(gan, search, normalised, z, z[:, None]),
        lambda: fg.walk(gan, search, x, z, z[:, None], starts=normalised[:, None]),
        lambda: fg.walk_grid(gan, search, normalised, z, grids),
        lambda: invert(gan.site, prior, normalised, profiles, filters, config),
        lambda: invert(gan.site, prior, x, profiles, filters, config, normalised),
        lambda: fg.NaturalImagePrior.measured(normalised, 0.01, 0.01),
        lambda: fg.PixelSearch.measured(normalised, config),
    ):
        with pytest.raises(UserError, match=said):
            work()
    back = fg.walk(gan, search, DOMAIN.to_pixels(normalised), z, z[:, None])
    torch.testing.assert_close(back.images, x)  # nothing to make good: each stays at its own z


def test_a_generator_belongs_to_a_domain(tmp_path: Path) -> None:
    network, x = plain(), images(4)
    site = Site(Classifier(network, DOMAIN), "conv2", x)
    config = fg.GanConfig(latent=3, hidden=8, discriminator_channels=4)
    gan = FilterGAN.new(site, site.input(x), config, 0)
    gan.save(tmp_path)
    again = FilterGAN.load(tmp_path, Classifier(network, Domain(MEAN, STD)))
    torch.testing.assert_close(again.site.input(x), site.input(x))
    for other in (network, Classifier(network), Classifier(network, Domain(0.5))):
        with pytest.raises(UserError, match="another normalisation of this one"):
            FilterGAN.load(tmp_path, other)
