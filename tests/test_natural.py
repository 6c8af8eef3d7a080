"""The natural recipe: terms, transformer, joint training, what recovers images, and the null."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import games
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_effects import planted, smooth_images
from torch import Tensor, nn

from filtergan.config.fields import JointConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.errors import UserError
from filtergan.game import gan as gan_module
from filtergan.game.gan import FilterGAN
from filtergan.images.image_fields import FieldSpace
from filtergan.machine.files import load_tensors
from filtergan.natural import learning
from filtergan.natural.joint import JointGame, train_jointly
from filtergan.natural.learning import learn
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.random_directions import random_directions
from filtergan.natural.recovering import FieldSearch, Transformation
from filtergan.natural.terms import (
    FLOOR,
    STEP,
    compensation_loss,
    labels_loss,
    logits_loss,
    mean_changes,
    reading_loss,
    size_loss,
)
from filtergan.natural.transformer import Transformer
from filtergan.sites.site import Site
from filtergan.walks.walk import walk, walk_grid


def small(**changes: Any) -> JointConfig:
    natural = {"latent": (3,), "steps": 12, "null_steps": 4, "pairs": 3, "pair_images": 2}
    natural |= {"grid": 3, "channels": 4, "checkpoint_every": 5}
    chosen = NaturalConfig.model_validate(natural | changes)
    return joint_config(games.config(), chosen)


@pytest.fixture
def site() -> Site:
    return games.site()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def new(site: Site, images: Tensor, **changes: Any) -> NaturalGAN:
    return NaturalGAN.new(site, site.input(images), small(**changes), 7)


def stirred(gan: NaturalGAN) -> NaturalGAN:
    """With a transformer and directions that do something."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in gan.transformer.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
        gan.generator.directions.mul_(20)
    return gan


def test_terms_are_their_formulas() -> None:
    before, after = torch.tensor([0.5, 0.2, 1.0]), torch.tensor([0.1, 0.2, 0.0])
    loop = [torch.log(a + FLOOR) - torch.log(b + FLOOR) for a, b in zip(after, before, strict=True)]
    assert compensation_loss(before, after) == pytest.approx(float(sum(loop)) / 3, rel=1e-5)
    assert float(compensation_loss(before, before)) == 0
    step = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)) * 2**0.5
    assert float(reading_loss(step, torch.zeros_like(step))) == pytest.approx(1, abs=0.03)
    assert float(reading_loss(step, step)) == 0
    change = torch.tensor([0.1, 0.3, 0.5])
    distance = torch.tensor([0.5, 1.0, 1.0]) * STEP
    want = (0.5**2 + 0.25**2 + 0.25**2) / 3
    assert float(size_loss(change, distance, 0.4)) == pytest.approx(want)
    # Isotropic where directions are as long as each other and orthogonal, only there.
    steps = torch.randn(4000, 3, generator=torch.Generator().manual_seed(1))
    turned = torch.linalg.qr(torch.randn(5, 3, generator=torch.Generator().manual_seed(2)))[0]
    for directions, alike in ((turned, True), (turned[:, :1].expand(5, 3), False)):
        moved = (steps @ directions.mT).norm(dim=1)
        assert (float(size_loss(0.4 / STEP * moved, steps.norm(dim=1), 0.4)) < 1e-9) == alike
    x = torch.tensor([[[[3.0, 4.0]]], [[[0.0, 0.0]]]])
    pairs, usual = torch.stack([x, x.flip(0), 0 * x]), torch.tensor(12.0)
    # The black image has no share, whatever it turns to; nor has a pair of such images.
    changes = mean_changes(pairs, 0.5 * pairs + (pairs == 0), usual)
    assert changes.tolist() == pytest.approx([0.5, 0.5, 0.0])


@given(seed=st.integers(0, 99), n=st.integers(1, 4), classes=st.integers(2, 5))
def test_the_change_of_labels_is_a_divergence(seed: int, n: int, classes: int) -> None:
    before, after = torch.randn(2, n, classes, generator=torch.Generator().manual_seed(seed))
    total = 0.0
    for logits, others in zip(before.double(), after.double(), strict=True):
        p, q = logits.exp() / logits.exp().sum(), others.exp() / others.exp().sum()
        total += sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True))
    assert float(labels_loss(before, after)) == pytest.approx(total / n, abs=1e-5)
    assert float(labels_loss(before, before + 3)) == pytest.approx(0, abs=1e-6)


@given(seed=st.integers(0, 99), n=st.integers(1, 4), classes=st.integers(2, 5))
def test_the_change_of_logits_is_that_of_their_differences(seed: int, n: int, classes: int) -> None:
    """Between classes: squared and added up, each pair once, they are classes times it."""
    before, after = torch.randn(2, n, classes, generator=torch.Generator().manual_seed(seed))
    total = 0.0
    for moved in (after - before).double():
        total += sum(float(a - b) ** 2 for a, b in combinations(moved, 2)) / classes
    assert float(logits_loss(before, after)) == pytest.approx(total / n, abs=1e-4)
    assert float(logits_loss(before, before + 3)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize(
    ("term", "loss", "steps"), [("labels", labels_loss, 100), ("logits", logits_loss, 250)]
)
def test_what_the_network_puts_out_stays_where_that_is_asked_for(
    site: Site,
    images: Tensor,
    term: str,
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    fixed: bool,
) -> None:
    """By the transformer of the recipe, and by that of the null, whose generator stays."""
    last = site.network.get_submodule("5")
    assert isinstance(last, nn.Linear)
    last.weight.mul_(300)  # so that labels depend on images
    changes = []
    for weight in (0.0, 100.0):
        chosen = {term: weight, "average": 0.0, "steps": steps, "null_steps": steps}
        gan = stirred(new(site, images, **chosen))
        train_jointly(gan, images, fixed=fixed)
        with torch.no_grad():
            moved = gan.transform(images, gan.latents(20, 1), gan.latents(20, 2))
            changes.append(float(loss(site.output(images), site.output(moved))))
    assert changes[1] < 0.8 * changes[0]


def test_draws_keep_the_logits_where_that_is_asked_for(site: Site, images: Tensor) -> None:
    """And the transformer of a fixed generator has nothing to do with it."""
    changes, moved = [], []
    for weight in (0.0, 100.0):
        gan = stirred(new(site, images, draws=weight, average=0.0, steps=100))
        train_jointly(gan, images)
        with torch.no_grad():
            drawn = [site.output(images, filters=w) for w in gan.draw(20, seed=1)]
        changes.append(sum(float(logits_loss(site.output(images), one)) for one in drawn))
        null = stirred(new(site, images, draws=weight, average=0.0, null_steps=3))
        train_jointly(null, images, fixed=True)
        moved.append(null.transform(images, gan.latents(20, 1), gan.latents(20, 2)))
    assert changes[1] < 0.5 * changes[0]
    assert torch.equal(*moved)


def test_labels_cannot_be_asked_for_where_there_are_none(images: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 1))
    site = Site(network.requires_grad_(False), "0", images)
    for term in ("labels", "logits", "draws"):
        with pytest.raises(UserError, match=r"puts out \[1\] for an image, not a logit"):
            train_jointly(new(site, images, **{term: 1.0}), images)


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(5, 12), st.integers(5, 12)),
    latent=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_no_step_changes_nothing_and_steps_are_odd(
    shape: tuple[int, int, int], latent: int, seed: int
) -> None:
    torch.manual_seed(seed)
    transformer = Transformer(FieldSpace(shape, ("flow", "gain", "blur", "offset"), 4), latent, 4)
    x, z, z_k = torch.rand(3, *shape), *torch.randn(2, 3, latent)
    assert torch.equal(transformer(x, z, z), x)
    there, back = transformer.coefficients(x, z, z_k), transformer.coefficients(x, z_k, z)
    torch.testing.assert_close(there, -back)
    fields = transformer.fields(x, (z + z_k) / 2)
    loop = torch.zeros_like(there)
    for n in range(3):
        for j in range(latent):
            loop[n] += (z_k - z)[n, j] * fields[n, j]
    torch.testing.assert_close(there, loop)


def test_the_joint_training_undoes_and_goes_on_after_a_stop(
    site: Site, images: Tensor, tmp_path: Path
) -> None:
    told: list[dict[str, float]] = []
    whole = train_jointly(
        new(site, images, log_every=1), images, log=lambda step, values: told.append(values)
    )
    assert len(told) == 12
    assert {"compensation", "reading", "change", "discriminator", "generator"} <= told[0].keys()

    game = JointGame(new(site, images), 5)
    for _ in range(12):
        game.play(images)
    begun = JointGame(new(site, images), 5)
    for _ in range(5):
        begun.play(images)
    begun.save(tmp_path / "game")
    resumed = JointGame(new(site, images[:9]), 5)
    resumed.load(tmp_path / "game")
    for _ in range(7):
        resumed.play(images)
    states = []
    for one in (game, resumed):
        one.save(tmp_path / "state")
        states.append(load_tensors(tmp_path / "state"))
    assert games.same(*states)
    assert not torch.equal(whole.generator.directions, new(site, images).generator.directions)


def test_black_images_say_nothing_of_the_size_of_changes(site: Site, images: Tensor) -> None:
    """A ground that comes up in black is any number of its norms, as one image shows."""
    some = torch.cat([images, torch.zeros(5, 1, 6, 6)])
    game = JointGame(stirred(new(site, images, fields=("flow", "ground"))), 5)
    sizes = [float(game.play(some)["size"]) for _ in range(3)]
    assert max(sizes) < 1e3


def test_only_the_transformer_of_a_fixed_generator_moves(site: Site, images: Tensor) -> None:
    gan = new(site, images)
    kept = {k: v.clone() for k, v in gan.generator.state_dict().items()}
    before = {k: v.clone() for k, v in gan.transformer.state_dict().items()}
    steps: list[None] = []
    trained = train_jointly(gan, images, fixed=True, on_step=lambda: steps.append(None))
    assert len(steps) == gan.config.natural.null_steps
    assert games.same(kept, trained.generator.state_dict())
    assert not games.same(before, trained.transformer.state_dict())


def test_what_is_saved_is_loaded(site: Site, images: Tensor, tmp_path: Path) -> None:
    gan = stirred(new(site, images))
    gan.save(tmp_path)
    again = NaturalGAN.load(tmp_path, site.network)
    z, z_k = gan.latents(20, 1), gan.latents(20, 2)
    assert torch.equal(gan.transform(images, z, z_k), again.transform(images, z, z_k))
    assert torch.equal(gan.reader(images, images), again.reader(images, images))
    assert again.config == gan.config
    plain = FilterGAN.new(site, site.input(images), games.config(), 7)
    assert type(plain) is FilterGAN


def test_only_images_can_be_moved() -> None:
    network = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
    site = Site(network, "0", torch.rand(2, 2, 8))
    with pytest.raises(UserError, match="paper's recipe"):
        NaturalGAN.new(site, torch.rand(4, 2, 8), small(), 0)


def test_what_is_no_pixels_is_not_transformed(site: Site, images: Tensor) -> None:
    gan = stirred(new(site, images))
    z, z_k = gan.latents(20, 1), gan.latents(20, 2)
    with pytest.raises(UserError, match="range from"):
        gan.transform(4 * images - 2, z, z_k)
    of_bytes = gan.transform((255 * images).to(torch.uint8), z, z_k)
    assert (of_bytes - gan.transform(images, z, z_k)).abs().max() < 0.05


def test_images_that_come_by_class_are_all_looked_at(
    site: Site, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    plain = learning.random_directions
    monkeypatch.setattr(
        learning, "random_directions", lambda gan, x, seed: seen.append(x) or plain(gan, x, seed)
    )
    dark, bright = 0.1 * torch.rand(300, 1, 6, 6), 1 - 0.1 * torch.rand(300, 1, 6, 6)
    learn(site, torch.cat([dark, bright]), small(steps=1, null_steps=1).natural)
    assert 0.3 < float(seen[0].mean()) < 0.7


def test_a_transformation_is_t_at_every_point(site: Site, images: Tensor) -> None:
    gan = stirred(new(site, images))
    x, z, targets = images[:4], gan.latents(4, 1), gan.latents(12, 2).unflatten(0, (4, 3))
    found = walk(gan, Transformation(batch=5), x, z, targets)
    loop = [gan.transform(x[i, None], z[i, None], targets[i, p, None]) for i in range(4)
            for p in range(3)]  # fmt: skip
    torch.testing.assert_close(found.images, torch.cat(loop))
    grids = gan.latents(36, 3).unflatten(0, (4, 3, 3))
    seen = walk_grid(gan, Transformation(), x, z, grids).images.unflatten(0, (4, 9))
    torch.testing.assert_close(
        seen[2, 5:6], gan.transform(x[2:3], z[2:3], grids[2].flatten(0, 1)[5:6])
    )


def test_a_search_finds_the_fields_that_undo_planted_filters() -> None:
    gan, x = planted(), smooth_images(4)
    z = torch.zeros(4, 2, dtype=torch.float64)
    targets = torch.tensor([[0.4, 0.0], [-0.4, 1.0], [0.0, -1.0]], dtype=torch.float64)
    targets = targets.expand(4, 3, 2)
    space = FieldSpace((1, 12, 12), ("flow", "gain"), 5)
    none = walk(gan, FieldSearch(space), x, z, targets)
    undone = 1 - none.after / none.before
    assert float(undone.unflatten(0, (4, 3))[:, 0].min()) > 0.99  # a gain
    assert float(undone.median()) > 0.9
    known = torch.stack([(-t[0]).exp() * x[0, 0].roll(int(t[1]), 1) for t in targets[0]])
    torch.testing.assert_close(none.images[0, 0], known[0], atol=0.02, rtol=0)
    # Moving by whole pixels: what flow and gain cannot say exactly, they nearly do.
    for found, wanted in zip(none.images[:3, 0], known, strict=True):
        change = [(image - x[0, 0]).flatten() for image in (found, wanted)]
        assert float(torch.cosine_similarity(*change, dim=0)) > 0.9
    other = walk(gan, FieldSearch(space, seed=1), x, z, targets)
    assert not torch.equal(none.images, other.images)
    # A point's start hangs on its place alone, not on what is searched with it.
    some = walk(gan, FieldSearch(space, seed=1, batch=2), x, z, targets)
    torch.testing.assert_close(some.images, other.images)


def test_the_null_s_mean_filters_are_the_same_in_parts(
    site: Site, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan, many = new(site, images), torch.rand(32, 1, 6, 6)
    whole, sizes, draw = gan.draw(gan.latents(256, 3, "null mean")).mean(0), list[int](), gan.draw
    assert torch.equal(random_directions(gan, many, seed=3).generator.mean, whole)
    monkeypatch.setattr(gan_module, "AT_ONCE", 40 * site.filters.numel())
    monkeypatch.setattr(gan, "draw", lambda z: (sizes.append(len(z)), draw(z))[1])
    parts = random_directions(gan, many, seed=3).generator.mean
    torch.testing.assert_close(parts.detach(), whole)
    assert max(sizes) == 40


@torch.no_grad()
def test_the_null_changes_responses_as_much(site: Site, images: Tensor) -> None:
    gan = stirred(new(site, images))
    many = torch.rand(256, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    null = random_directions(gan, many, seed=3)
    h = site.input(many)
    z, z_k = torch.randn(2, 256, 3, generator=torch.Generator().manual_seed(9))
    change = [
        (one.respond(h, z_k) - one.respond(h, z)).square().sum() / one.respond(h, z).square().sum()
        for one in (gan, null)
    ]
    assert float(change[1] / change[0]) == pytest.approx(1, abs=0.35)
    directions = [g.generator.directions.detach().flatten() for g in (gan, null)]
    assert abs(float(torch.cosine_similarity(*directions, dim=0))) < 0.2
