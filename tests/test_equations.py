"""The equations against closed forms, the prior against finite differences, and who sees what."""

import math
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import images, make, traces
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from filtergan.config.fields import GanConfig
from filtergan.game.discriminator import Discriminator
from filtergan.game.gan import FilterGAN
from filtergan.game.generator import Generator
from filtergan.game.objectives import discriminator_loss, generator_loss, information_loss
from filtergan.game.training import Game
from filtergan.sites.site import Site
from filtergan.walks import prior
from filtergan.walks.prior import NaturalImagePrior, squared_gradient

score = st.floats(-60, 60)


@given(st.lists(st.tuples(score, score), min_size=1, max_size=5))
def test_equation_1(scores: list[tuple[float, float]]) -> None:
    real, generated = torch.tensor(scores, dtype=torch.float64).unbind(1)
    log_d, log_not_d = logsigmoid(real), logsigmoid(-generated)
    value = log_d.mean() + log_not_d.mean()
    torch.testing.assert_close(discriminator_loss(real, generated), -value)
    torch.testing.assert_close(generator_loss(generated, "minimax"), log_not_d.mean())
    torch.testing.assert_close(
        generator_loss(generated, "non_saturating"), -logsigmoid(generated).mean()
    )


def test_equation_1_of_a_certain_discriminator() -> None:
    real, generated = torch.tensor([1e4, -1e4]), torch.tensor([-1e4, 1e4])
    assert discriminator_loss(real, generated).isfinite()
    for form in ("minimax", "non_saturating"):
        assert generator_loss(generated, form).isfinite()
    # One that cannot tell pays ln 4.
    loss = discriminator_loss(torch.zeros(3), torch.zeros(3))
    torch.testing.assert_close(loss, torch.tensor(math.log(4)))


@pytest.mark.parametrize("form", ["minimax", "non_saturating"])
def test_the_players_want_opposites(form: str) -> None:
    real, generated = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    to_real, to_generated = torch.autograd.grad(
        discriminator_loss(real, generated), (real, generated)
    )
    (of_generator,) = torch.autograd.grad(generator_loss(generated, form), generated)
    assert (to_real < 0).all()
    assert (to_generated > 0).all()
    assert (of_generator < 0).all()


def test_equation_3() -> None:
    z = torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
    predicted = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 1.0]])
    want = torch.tensor((0 + 4 + 0.25 + 0 + 1 + 4) / 6)
    torch.testing.assert_close(information_loss(z, predicted), want)
    assert information_loss(z, z) == 0
    many = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0))
    chance = information_loss(many, torch.zeros_like(many))
    torch.testing.assert_close(chance, torch.tensor(1.0), rtol=0.02, atol=0)
    predicted.requires_grad_()
    (gradient,) = torch.autograd.grad(information_loss(z, predicted), predicted)
    torch.testing.assert_close(gradient, 2 * (predicted - z).detach() / 6)


def by_hand(prior: NaturalImagePrior, image: Tensor) -> tuple[float, float]:
    """Both terms of the prior, pixel by pixel."""
    channels, height, width = image.shape
    norm = variation = 0.0
    for y in range(height):
        for x in range(width):
            length = math.sqrt(sum(float(image[c, y, x]) ** 2 for c in range(channels)))
            norm += (length / prior.norm) ** 6
            for c in range(channels):
                here = float(image[c, y, x])
                right = float(image[c, y, x + 1]) - here if x + 1 < width else 0.0
                below = float(image[c, y + 1, x]) - here if y + 1 < height else 0.0
                variation += right**2 + below**2
    pixels = height * width
    return norm / pixels, variation / pixels / prior.variation


@given(
    st.tuples(*(st.integers(1, high) for high in (3, 3, 4, 4))),
    st.floats(0, 10),
    st.floats(0, 10),
    st.integers(0, 99),
)
def test_equation_7(
    shape: tuple[int, int, int, int], alpha: float, variation: float, seed: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=rng, dtype=torch.float64)
    prior = NaturalImagePrior(1.5, 0.7, alpha, variation)
    want = torch.tensor([by_hand(prior, image) for image in x], dtype=torch.float64)
    torch.testing.assert_close(prior.norm_term(x), want[:, 0])
    torch.testing.assert_close(prior.variation_term(x), want[:, 1])
    torch.testing.assert_close(prior(x), alpha * want[:, 0] + variation * want[:, 1])


def test_prior_of_simple_images() -> None:
    prior = NaturalImagePrior(0.5, 2.0, 1.0, 1.0)
    flat = torch.full((1, 1, 4, 5), 0.5)
    torch.testing.assert_close(prior.norm_term(flat), torch.ones(1))
    torch.testing.assert_close(prior.variation_term(flat), torch.zeros(1))
    edge = torch.zeros(1, 1, 4, 4)
    edge[..., 2:] = 1  # one of four columns has a gradient of one
    torch.testing.assert_close(prior.variation_term(edge), torch.tensor([1 / 4 / 2]))
    torch.testing.assert_close(prior.norm_term(edge), torch.tensor([0.5 * 2**6]))


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_of_the_prior(channels: int) -> None:
    x = torch.randn(2, channels, 4, 3, dtype=torch.float64, requires_grad=True)
    prior = NaturalImagePrior(0.9, 0.3, 2.0, 3.0)
    for term in (prior, prior.norm_term, prior.variation_term, squared_gradient):
        assert torch.autograd.gradcheck(term, x)
    # An empty image is where a power could lose its gradient.
    black = torch.zeros(1, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(prior(black).sum(), black)
    assert torch.equal(gradient, torch.zeros_like(black))


@pytest.mark.parametrize("scale", [1 / 255, 0.1, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_scale_of_the_prior(channels: int, scale: float) -> None:
    """Both terms are one on the data they were measured on, whatever its range."""
    data = scale * torch.rand(20, channels, 6, 7, dtype=torch.float64)
    prior = NaturalImagePrior.measured(data, 0.3, 0.2)
    one = torch.ones((), dtype=torch.float64)
    torch.testing.assert_close(prior.variation_term(data).mean(), one, rtol=1e-6, atol=0)
    torch.testing.assert_close(prior.norm_term(data).mean(), one, rtol=1e-6, atol=0)
    torch.testing.assert_close(prior(data).mean(), 0.5 * one, rtol=1e-6, atol=0)


def test_scale_of_a_prior_is_taken_from_few_images_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, sizes = torch.rand(20, 3, 6, 7, dtype=torch.float64), list[int]()
    whole = NaturalImagePrior.measured(data, 0.3, 0.2)
    assert whole.variation - 1e-12 == float(squared_gradient(data).mean())
    monkeypatch.setattr(prior, "AT_ONCE", 6)
    monkeypatch.setattr(prior, "as_pixels", lambda x: (sizes.append(len(x)), x)[1])
    parts = NaturalImagePrior.measured(data, 0.3, 0.2)
    assert sizes == [6, 6, 6, 2]
    assert [parts.norm, parts.variation] == pytest.approx([whole.norm, whole.variation], rel=1e-12)


def test_prior_of_data_without_variation() -> None:
    prior = NaturalImagePrior.measured(torch.zeros(2, 1, 4, 4), 1.0, 1.0)
    torch.testing.assert_close(prior(torch.zeros(2, 1, 4, 4)), torch.zeros(2))


@pytest.mark.parametrize("head", ["shared", "dense"])
def test_generator(head: str) -> None:
    generator = Generator((6, 4, 3, 3), latent=5, hidden=8, head=head)
    z = torch.randn(7, 5)
    filters = generator(z)
    assert filters.shape == (7, 6, 4, 3, 3)
    alone = torch.cat([generator(one[None]) for one in z])
    torch.testing.assert_close(filters, alone)
    assert filters.std(0).min() > 0, "every weight hangs on z"
    for p in generator.parameters():
        p.grad = None
    filters.square().sum().backward()
    assert all(p.grad is not None and p.grad.norm() > 0 for p in generator.parameters())


def test_the_shared_head_grows_with_one_filter() -> None:
    def weights(head: str, count: int) -> int:
        return sum(p.numel() for p in Generator((count, 9, 3, 3), 4, 16, head).parameters())

    per_filter = 81 + 16  # its mean and its embedding
    assert weights("shared", 50) - weights("shared", 10) == 40 * per_filter
    assert weights("dense", 50) - weights("dense", 10) == 40 * 81 * (1 + 16 + 1)


def test_start_of_the_generator() -> None:
    start = torch.randn(6, 4, 3, 3, requires_grad=True)
    generator = Generator((6, 4, 3, 3), 5, 8, start=start)
    torch.testing.assert_close(generator.mean.detach(), start.detach())
    assert generator.mean.data_ptr() != start.data_ptr()
    # A random start has the spread of torch's own.
    mean = Generator((64, 32, 3, 3), 5, 8).mean
    bound = 1 / math.sqrt(32 * 9)
    assert mean.abs().max() <= bound
    assert mean.std() > 0.9 * bound / math.sqrt(3)


@pytest.mark.parametrize(
    "shape", [(7,), (3, 1, 1), (5, 2, 2), (4, 7, 7), (4, 5, 9), (2, 14, 14), (2, 33, 40)]
)
@pytest.mark.parametrize("spectral", [False, True])
def test_discriminator(shape: tuple[int, ...], spectral: bool) -> None:
    real = 3 + 2 * torch.randn(50, *shape)
    discriminator = Discriminator(shape, latent=6, channels=8, spectral=spectral).eval()
    discriminator.standardise(real)
    assert discriminator.shape == shape
    scores, latents = discriminator(real[:9])
    assert scores.shape == (9,)
    assert latents.shape == (9, 6)
    assert not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in discriminator.modules())
    alone = [discriminator(one[None]) for one in real[:9]]
    torch.testing.assert_close(scores, torch.cat([score for score, _ in alone]))
    torch.testing.assert_close(latents, torch.cat([latent for _, latent in alone]))


def test_discriminator_does_not_mind_the_scale_of_responses() -> None:
    real = torch.randn(40, 3, 6, 6)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        discriminator = Discriminator((3, 6, 6), 2, 4)
        torch.manual_seed(1)
        other = Discriminator((3, 6, 6), 2, 4)
    discriminator.standardise(real)
    other.standardise(100 * real + 7)
    torch.testing.assert_close(other(100 * real + 7), discriminator(real), rtol=1e-3, atol=1e-4)


def test_discriminator_of_a_channel_that_never_fires() -> None:
    real = torch.rand(40, 3, 6, 6)
    real[:, 1] = 0
    discriminator = Discriminator((3, 6, 6), 2, 4)
    discriminator.standardise(real)
    assert discriminator.scale.flatten()[1] >= 0.1 * real.std((0, 2, 3)).mean()
    assert discriminator(real + 0.1)[0].isfinite().all()


SETTINGS = [
    GanConfig(latent=3, batch=6, steps=9, hidden=8, discriminator_channels=4, updates="algorithm1"),
    GanConfig(latent=3, batch=6, steps=9, hidden=8, discriminator_channels=4),
]


@pytest.mark.parametrize("config", SETTINGS, ids=["algorithm1", "summed"])
@pytest.mark.parametrize(
    ("name", "layer", "point"),
    [("plain", "conv2", "activation"), ("plain", "conv1", "conv"), ("residual", "last", "fc")],
)
def test_the_discriminator_sees_responses_only(
    name: str, layer: str, point: str, config: GanConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make(name)
    site = Site(network, layer, images(2), point)
    h = site.input(images(20))
    gan = FilterGAN.new(site, h, config, seed=1)
    game = Game(gan, config, seed=1)
    before = traces(network)

    used: list[Tensor | None] = []
    responses: list[Tensor] = []
    shown: list[Tensor] = []
    respond, score = site.respond, gan.discriminator.forward

    def responding(inputs: Tensor, filters: Tensor | None = None) -> Tensor:
        response = respond(inputs, filters)
        used.append(filters)
        responses.append(response.detach().clone())
        torch.testing.assert_close(response, respond(inputs, filters), rtol=0, atol=0)
        return response

    def scoring(*args: Tensor, **kwargs: Tensor) -> tuple[Tensor, Tensor]:
        shown.extend((*args, *kwargs.values()))
        return score(*args, **kwargs)

    monkeypatch.setattr(site, "respond", responding)
    monkeypatch.setattr(gan.discriminator, "forward", scoring)
    for _ in range(2):
        game.play(h)

    shape = respond(h[:1]).shape[1:]
    known = {tuple(row.flatten().tolist()) for batch in responses for row in batch}
    assert shown
    for received in shown:
        assert received.shape[1:] == shape
        assert all(tuple(row.detach().flatten().tolist()) in known for row in received)
    # Both kinds are shown, real ones first, and each generated sample under filters of its own.
    assert len(shown[0]) == 2 * config.batch
    torch.testing.assert_close(shown[0][: config.batch].detach(), responses[0], rtol=0, atol=0)
    assert used[0] is None
    generated = used[1]
    assert generated is not None
    assert generated.shape == (config.batch, *site.filters.shape)
    assert len({tuple(f.flatten().tolist()) for f in generated.detach()}) == config.batch
    assert traces(network) == before


def weights_of(
    network: nn.Module, start: Literal["random", "real"]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    config = GanConfig(latent=3, hidden=8, discriminator_channels=4, start=start)
    site = Site(network, "conv2", images(2))
    gan = FilterGAN.new(site, site.input(images(20)), config, seed=1)
    return gan.generator.state_dict(), {"filters": site.filters}


def test_the_generator_never_sees_the_real_filters() -> None:
    rng = torch.get_rng_state()
    one, filters = weights_of(make("plain", seed=1), "random")
    other, others = weights_of(make("plain", seed=2), "random")
    assert not torch.equal(filters["filters"], others["filters"])
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), rng)
    told, filters = weights_of(make("plain", seed=1), "real")
    torch.testing.assert_close(told["mean"], filters["filters"], rtol=0, atol=0)
