"""`FilterPool2d` as a layer: its reductions, its draws, its training, and its export."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from geometries import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images, make
from torch import Tensor, nn
from torch.func import functional_call

from filtergan.classifiers.fitting import fit
from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.gan import FilterGAN
from filtergan.pooling.draws import FreshDraws
from filtergan.pooling.pool import FilterPool2d, Reduction
from filtergan.sites.convolution import Convolution, Geometry
from filtergan.sites.site import Site

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

REDUCTIONS: tuple[Reduction, ...] = ("mean", "max", "attention")
CONFIG = GanConfig(latent=3, hidden=8, discriminator_channels=4)
EXPORTERS = ("onnx", "onnxscript", "onnxruntime")
MISSING = [name for name in EXPORTERS if importlib.util.find_spec(name) is None]


def site_of(name: str = "plain", layer: str = "conv2", point: str = "activation") -> Site:
    return Site(make(name), layer, images(2), point)


def gan_of(site: Site) -> FilterGAN:
    return FilterGAN.new(site, site.input(images(4)), CONFIG, seed=1)


def pool_in(network: nn.Module, layer: str = "conv2") -> FilterPool2d:
    pool = network.get_submodule(layer)
    assert isinstance(pool, FilterPool2d)
    return pool


def draws_in(network: nn.Module) -> FreshDraws:
    draws = pool_in(network).filters
    assert isinstance(draws, FreshDraws)
    return draws


# ------------------------------------------------------------------------------- reductions


def looped(responses: list[Tensor], reduction: str, score: Tensor | None) -> Tensor:
    """Image by image and number by number where that matters, from one response of each set."""
    if reduction == "mean":
        return sum(responses, torch.zeros(())) / len(responses)
    if reduction == "max":
        best = responses[0]
        for response in responses[1:]:
            best = torch.where(response > best, response, best)
        return best
    assert score is not None
    rows = []
    for i in range(len(responses[0])):
        scores = [sum(w * plane.mean() for w, plane in zip(score, r[i], strict=True))
                  for r in responses]  # fmt: skip
        shares = [float(torch.as_tensor(s).exp()) for s in scores]
        rows.append(sum(s * r[i] for s, r in zip(shares, responses, strict=True)) / sum(shares))
    return torch.stack([torch.as_tensor(row) for row in rows])


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.integers(1, 4), st.sampled_from(REDUCTIONS))
def test_one_convolution_does_what_a_loop_over_the_sets_does(
    case: tuple[Convolution, Tensor], k: int, reduction: Reduction
) -> None:
    """Any stride, padding, dilation, groups and mode, in one to three dimensions."""
    conv, inputs = case
    filters = torch.randn(k, *conv.weight.shape, dtype=torch.float64)
    pool = FilterPool2d(filters, conv.bias, Geometry.of(conv), nn.Tanh(), reduction=reduction)
    score = None
    if reduction == "attention":
        score = torch.randn(conv.out_channels, dtype=torch.float64)
        pool.load_state_dict({**pool.state_dict(), "score": score})
    own = {} if conv.bias is None else {"bias": conv.bias}
    with torch.no_grad():
        responses = [functional_call(conv, {"weight": f, **own}, inputs).tanh() for f in filters]
        torch.testing.assert_close(pool(inputs), looped(responses, reduction, score))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("plain", "conv2"),
        ("in place", "conv1"),
        ("group norm", "conv2"),
        ("functional", "conv1"),  # its ReLU stays in the network
        ("residual", "block.conv1"),
        ("untraceable", "conv2"),
    ],
)
@pytest.mark.parametrize("point", ["conv", "activation"])
def test_in_networks(name: str, layer: str, point: str, reduction: Reduction) -> None:
    site, x = site_of(name, layer, point), images(5)
    noise = torch.randn(3, *site.filters.shape, generator=torch.Generator().manual_seed(3))
    filters = site.filters + 0.3 * noise
    network = FilterPool2d.into(site, filters, reduction=reduction)
    pool = pool_in(network, layer)
    h, score = site.input(x), None
    with torch.no_grad():
        if reduction == "attention":
            torch.testing.assert_close(
                network(x), FilterPool2d.into(site, filters)(x), rtol=1e-5, atol=1e-6
            )
            score = pool.score.copy_(torch.linspace(-3, 3, len(pool.score)))
        want = looped([site.respond(h, f) for f in filters], reduction, score)
        torch.testing.assert_close(network(x), site.output(x, response=want))
        if reduction == "attention":
            mean = FilterPool2d.into(site, filters)(x)
            assert not torch.allclose(network(x), mean, rtol=1e-4)


def test_the_score_is_learned_though_all_else_is_frozen() -> None:
    site, x = site_of(), images(6)
    network = FilterPool2d.into(site, torch.randn(4, *site.filters.shape), reduction="attention")
    pool = pool_in(network)
    pool(site.input(x)).square().sum().backward()
    assert [name for name, p in pool.named_parameters() if p.requires_grad] == ["score"]
    assert pool.score.grad is not None
    assert pool.score.grad.abs().min() > 0


def test_a_normalisation_by_the_batch_sees_one_set_at_a_time() -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    site, x = Site(network.eval(), "0", images(2)), images(5)
    filters = torch.randn(3, *site.filters.shape)
    with torch.no_grad():
        want = torch.stack([site.respond(site.input(x), f) for f in filters]).mean(0)
        pooled = FilterPool2d.into(site, filters)
        torch.testing.assert_close(pooled(x), site.output(x, response=want))


# ------------------------------------------------------------------------------------ draws


def test_latents_in_pairs_sum_to_zero() -> None:
    gan = gan_of(site_of())
    z = gan.latents(6, antithetic=True)
    assert torch.equal(z[:3] + z[3:], torch.zeros(3, 3))
    assert torch.equal(z[:3], gan.latents(6)[:3])
    with pytest.raises(UserError, match="in pairs, z and -z; 5 is odd"):
        gan.latents(5, antithetic=True)


@pytest.mark.parametrize("antithetic", [False, True])
def test_draws_are_fresh_in_training_and_the_same_in_evaluation(antithetic: bool) -> None:
    site, x = site_of(), images(5)
    gan = gan_of(site)
    network = FilterPool2d.into(site, gan, 4, antithetic=antithetic)
    assert not network.training
    assert not pool_in(network).training  # as the convolution was
    fixed = gan.draw(gan.latents(4, antithetic=antithetic))
    with torch.no_grad():
        want = FilterPool2d.into(site, fixed)(x)
        torch.testing.assert_close(network(x), want)
        draws, seen = draws_in(network), list[Tensor]()
        draws.generator.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        network.train()
        torch.manual_seed(0)
        one, two = draws(), draws()
        assert not torch.equal(one, two)
        torch.manual_seed(0)
        assert torch.equal(draws(), one)
        for z in seen:
            assert z.shape == (4, 3)
            assert torch.equal(z[:2], -z[2:]) == antithetic
            assert len(z.unique(dim=0)) == 4
        torch.testing.assert_close(network.eval()(x), want)


def test_draws_are_standard_normal() -> None:
    gan = gan_of(site_of())
    draws, seen = FreshDraws(gan.generator, gan.latents(2000)).train(), list[Tensor]()
    draws.generator = Seen(seen)  # pyright: ignore[reportAttributeAccessIssue]
    torch.manual_seed(1)
    draws()
    assert seen[0].mean().abs() < 0.05
    assert abs(seen[0].std() - 1) < 0.05


class Seen(nn.Module):
    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, z: Tensor) -> Tensor:
        self.seen.append(z)
        return z[:, :, None, None]


# --------------------------------------------------------------------------------- training


def test_what_is_trained() -> None:
    site = site_of("plain")
    gan = gan_of(site)
    filters = gan.draw(4)

    def wanting(given: Any, freeze: bool, **more: Any) -> set[str]:
        pool = pool_in(FilterPool2d.into(site, given, freeze=freeze, **more))
        return {name for name, p in pool.named_parameters() if p.requires_grad}

    generator = {f"filters.generator.{name}" for name, _ in gan.generator.named_parameters()}
    site_s = {"bias", "tail.0.weight", "tail.0.bias"}
    assert wanting(filters, True) == set()
    assert wanting(gan, True, draws=4) == set()
    assert wanting(filters, False) == {"filters", *site_s}
    assert wanting(gan, False, draws=4) == generator | site_s
    assert all(p.requires_grad for p in gan.generator.parameters())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("fresh", [False, True])
def test_gradients_are_finite_differences(reduction: Reduction, fresh: bool) -> None:
    """Of filters, or of the generator under the latents of a step, in all directions at once."""
    site = site_of("group norm")
    given: Any = gan_of(site) if fresh else site.filters + torch.randn(4, *site.filters.shape)
    network = FilterPool2d.into(
        *(site, given, 4 if fresh else None), reduction=reduction, freeze=False
    )
    pool = pool_in(network).double().train()
    if reduction == "attention":
        nn.init.normal_(pool.score)
    h = site.input(images(3)).double()
    weight = torch.randn(pool(h).shape, dtype=torch.float64)

    def loss() -> Tensor:
        torch.manual_seed(0)  # the same latents
        return (pool(h) * weight).sum()

    moved = {n: p for n, p in pool.named_parameters() if n.startswith("filters")}
    assert len(moved) > 5 if fresh else len(moved) == 1
    gradients = torch.autograd.grad(loss(), list(moved.values()))
    for (name, p), gradient in zip(moved.items(), gradients, strict=True):
        direction = torch.randn_like(p)
        with torch.no_grad():
            ends = []
            for step in (1e-6, -2e-6):
                p += step * direction
                ends.append(loss())
            p += 1e-6 * direction
        slope = (ends[0] - ends[1]) / 2e-6
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=1e-6)


def test_training_end_to_end() -> None:
    """The copy learns, and what it was made from stays."""
    site, x = site_of(), images(64)
    gan, labels = gan_of(site), torch.arange(64) % 3
    before = copy.deepcopy(gan.generator.state_dict())
    network = FilterPool2d.into(site, gan, 2, antithetic=True, freeze=False)
    started = copy.deepcopy(network.state_dict())
    fit(network, network.parameters(), x, labels, epochs=2, batch=16)
    ended = network.state_dict()
    torch.testing.assert_close(gan.generator.state_dict(), before, rtol=0, atol=0)
    assert not torch.equal(
        ended["conv2.filters.generator.mean"], started["conv2.filters.generator.mean"]
    )
    for name in ("conv2.filters.latents", "conv2.tail.0.running_mean"):
        assert torch.equal(ended[name], started[name])

    frozen = FilterPool2d.into(site, gan, 2)
    started = copy.deepcopy(frozen.state_dict())
    fit(frozen, frozen.parameters(), x, labels, epochs=1, batch=16)
    for name, value in frozen.state_dict().items():
        if name.startswith("conv2"):
            assert torch.equal(value, started[name]), name
    assert not torch.equal(frozen.state_dict()["fc.weight"], started["fc.weight"])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_are_saved_and_loaded(reduction: Reduction, tmp_path: Path) -> None:
    site, x = site_of(), images(5)
    gan = gan_of(site)
    other = FilterGAN.new(site, site.input(images(4)), CONFIG, seed=2)
    sets = gan.draw(4), other.draw(4, seed=3)
    for (one, two), more in ((sets, ()), ((gan, other), (4,))):
        a, b = (FilterPool2d.into(site, f, *more, reduction=reduction) for f in (one, two))
        if reduction == "attention":
            nn.init.normal_(pool_in(a).score)
        with torch.no_grad():
            want = a(x)
            assert not torch.allclose(b(x), want)
            torch.save(a.state_dict(), tmp_path / "pooled.pt")
            b.load_state_dict(torch.load(tmp_path / "pooled.pt", weights_only=True))
            assert torch.equal(b(x), want)
            assert torch.equal(copy.deepcopy(a)(x), want)


# ----------------------------------------------------------------------------------- misuse


def test_what_does_not_go_together() -> None:
    site = site_of()
    gan, into = gan_of(site), FilterPool2d.into
    with pytest.raises(UserError, match="as in draws=10"):
        into(site, gan)
    with pytest.raises(UserError, match="as in draws=10"):
        into(site, gan, 0)
    with pytest.raises(UserError, match="3 is odd"):
        into(site, gan, 3, antithetic=True)
    for more in ({"draws": 4}, {"antithetic": True}):
        with pytest.raises(UserError, match="hand over the generator"):
            into(site, gan.draw(4), **more)  # pyright: ignore[reportArgumentType]
    other, words = site_of(layer="conv1"), r"'conv1' are \[4, 1, 3, 3\] each; these are \[6, 4"
    with pytest.raises(UserError, match=words):
        into(other, gan, 4)
    with pytest.raises(UserError, match=words):
        into(other, gan.draw(2))


def test_an_unknown_reduction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a user
    with pytest.raises(UserError, match="'sum' over draws; use mean, max, attention"):
        FilterPool2d(
            torch.ones(1, 1, 1, 1),
            None,
            Geometry(),
            nn.Identity(),
            reduction="sum",  # pyright: ignore[reportArgumentType]
        )


# ----------------------------------------------------------------------------------- export


def exportable(reduction: Reduction, fresh: bool) -> nn.Module:
    site = site_of("in place", "conv2")
    gan = gan_of(site)
    given: tuple[Any, ...] = (gan, 4) if fresh else (gan.draw(4),)
    network = FilterPool2d.into(site, *given, reduction=reduction, antithetic=fresh)
    if reduction == "attention":
        nn.init.normal_(pool_in(network).score)
    return network.eval()


EXPORTED = pytest.mark.parametrize(
    ("reduction", "fresh"), [("mean", False), ("max", True), ("attention", True)]
)


@EXPORTED
def test_torch_export(reduction: Reduction, fresh: bool, tmp_path: Path) -> None:
    network, x = exportable(reduction, fresh), images(7)
    batch = torch.export.Dim("batch", min=2, max=512)
    program = torch.export.export(network, (images(3),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "pooled.pt2")
    again = torch.export.load(tmp_path / "pooled.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x))


@pytest.mark.skipif(bool(MISSING), reason=f"extra `dev` is not installed: {MISSING}")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@EXPORTED
def test_onnx(reduction: Reduction, fresh: bool, tmp_path: Path) -> None:
    import onnxruntime

    network, x, path = exportable(reduction, fresh), images(7), tmp_path / "pooled.onnx"
    batch = torch.export.Dim("batch", min=2, max=512)
    torch.onnx.export(
        network, (images(3),), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = [given.name for given in session.get_inputs()]
    (got,) = session.run(None, {name: x.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(got), network(x), rtol=1e-4, atol=1e-5)
