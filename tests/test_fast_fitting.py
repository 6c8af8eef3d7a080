"""The whitened network and its training."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from filtergan.classifiers import fast_fitting
from filtergan.classifiers.fast_fitting import fit_fast, whiten
from filtergan.classifiers.fitting import channels_last, predict
from filtergan.classifiers.networks import WhitenedCNN
from filtergan.config.fields import CnnConfig
from filtergan.errors import UserError

CONFIG = CnnConfig(
    architecture="whitened",
    channels=(16, 16),
    epochs=12,
    batch=32,
    rate=6.0,
    weight_decay=0.0153,
    flip=True,
    shift=1,
)


def smooth(n: int, seed: int = 0) -> torch.Tensor:
    """Images whose neighbouring pixels and channels are alike, not around zero."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=rng) + torch.rand(n, 1, 4, 4, generator=rng)
    return F.interpolate(coarse / 2, (16, 16), mode="bilinear")


def tinted(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of which every second is redder."""
    labels = torch.arange(n) % 2
    return smooth(n, seed) * (1 - 0.4 * F.one_hot(2 * (1 - labels), 3)[:, :, None, None]), labels


def network() -> WhitenedCNN:
    torch.manual_seed(0)
    return WhitenedCNN(CONFIG, (3, 16, 16), 2)


def test_whitened_channels_are_uncorrelated():
    images, made = smooth(200), network()
    whiten(made, images)
    out = made.whiten(images).movedim(1, -1).reshape(-1, 24)[:, :12]
    second = out.mT @ out / len(out)
    # The floor leaves the directions of smallest variance below 1.
    assert torch.allclose(second - second.diag().diag(), torch.zeros(12, 12), atol=2e-2)
    assert 0.95 < second.diag().max() < 1.01
    assert (made.whiten(images)[:, 12:] + made.whiten(images)[:, :12]).abs().max() < 1e-3


def test_convolutions_begin_by_passing_on():
    x = torch.rand(2, 24, 8, 8)
    torch.manual_seed(0)
    group = WhitenedCNN(CONFIG, (3, 16, 16), 2).get_submodule("group1")
    assert torch.equal(group.get_submodule("conv1")(x)[:, :16], x[:, :16])


def test_images_too_small_are_refused():
    with pytest.raises(UserError, match="too small for 2 groups"):
        WhitenedCNN(CONFIG, (3, 4, 4), 2)


def test_learns_and_repeats(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast_fitting, "bfloat16", lambda device: nullcontext())
    images, labels = tinted(256)
    found, steps = [], []
    for _ in range(2):
        made = network()
        channels_last(made)
        before = [p.detach().clone() for p in (made.get_submodule("group1.bn1").parameters())]
        steps.clear()
        state = torch.get_rng_state()
        fit_fast(made, images, labels, CONFIG, seed=3, on_step=lambda *a: steps.append(a[0]))
        assert torch.equal(state, torch.get_rng_state())
        assert steps == list(range(1, 12 * 8 + 1))
        scale = next(made.get_submodule("group1.bn1").parameters())
        assert torch.equal(scale, before[0])  # stays 1
        assert all(p.grad is None for p in made.parameters())
        found.append(made)
    one, other = (torch.cat([p.flatten() for p in made.state_dict().values()]) for made in found)
    assert torch.equal(one, other)
    held_out, truth = tinted(200, seed=1)
    assert (predict(found[0], held_out).argmax(1) == truth).float().mean() > 0.9


@pytest.mark.parametrize("steps", [1, 4, 5, 6])
def test_few_steps_train_too(monkeypatch: pytest.MonkeyPatch, steps: int):
    monkeypatch.setattr(fast_fitting, "bfloat16", lambda device: nullcontext())
    made = network()
    weight = made.get_parameter("group1.conv1.weight")
    before = weight.detach().clone()
    fit_fast(made, *tinted(32 * steps), CONFIG.model_copy(update={"epochs": 1}))
    assert not torch.equal(weight, before)


def test_every_image_is_mirrored_in_every_second_epoch(monkeypatch: pytest.MonkeyPatch):
    # The marks tell which image it is, and on which side its dark half lies.
    images = torch.arange(1, 65).float().div(64)[:, None, None, None].expand(64, 3, 16, 16).clone()
    images[..., 8:] *= 0.5
    seen = []

    class Watched(WhitenedCNN):
        def forward(self, images):
            seen.append(images.detach())
            return super().forward(images)

    config = CONFIG.model_copy(update={"epochs": 2, "shift": 0, "batch": 32, "rate": 1e-6})
    monkeypatch.setattr(fast_fitting, "bfloat16", lambda device: nullcontext())
    torch.manual_seed(0)
    fit_fast(Watched(config, (3, 16, 16), 2), images, torch.zeros(64).long(), config)
    left = torch.cat(seen)[:, 0, 0, 0]
    right = torch.cat(seen)[:, 0, 0, -1]
    which = (64 * torch.maximum(left, right)).round().long() - 1
    turned = torch.zeros(2, 64, dtype=torch.bool)
    for epoch in range(2):
        part = slice(64 * epoch, 64 * epoch + 64)
        turned[epoch, which[part]] = left[part] < right[part]
    assert (turned[0] ^ turned[1]).all()
    assert 0 < turned[0].sum() < 64


def test_a_rate_too_high_is_said():
    config = CONFIG.model_copy(update={"rate": 1e30})
    with pytest.raises(UserError, match="lower the learning rate"):
        fit_fast(network(), smooth(64), torch.randint(2, (64,)), config)
