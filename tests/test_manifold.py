"""Judges' labels and divergences against loops; the percentile against its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtergan.measures.manifold import (
    MEASURES,
    divergence,
    judges_agree,
    manifold_percentile,
)
from filtergan.measures.registry import REGISTRY, lookup


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_share_of_judges_that_keep_a_label() -> None:
    rng = seeded()
    x, x_k = torch.randn(3, 5, 4, generator=rng), torch.randn(3, 5, 2, 4, generator=rng)
    found = judges_agree(x, x_k)
    for n in range(5):
        for p in range(2):
            kept = [int(x[j, n].argmax() == x_k[j, n, p].argmax()) for j in range(3)]
            assert float(found[n, p]) == pytest.approx(sum(kept) / 3)
    assert (judges_agree(x, x[:, :, None]) == 1).all()


def test_divergence_is_the_mean_kl_in_nats() -> None:
    rng = seeded(1)
    x, x_k = torch.randn(3, 5, 4, generator=rng), torch.randn(3, 5, 2, 4, generator=rng)
    a = torch.distributions.Categorical(logits=x[:, :, None].double())
    b = torch.distributions.Categorical(logits=x_k.double())
    expected = torch.distributions.kl_divergence(a, b).mean(0).float()
    torch.testing.assert_close(divergence(x, x_k), expected)
    assert (divergence(x, x[:, :, None]) == 0).all()
    # Sure of one class, then of none of two: log 2; logits may be large.
    sure, torn = torch.tensor([[[1000.0, 0.0]]]), torch.tensor([[[[5.0, 5.0]]]])
    assert float(divergence(sure, torn)) == pytest.approx(math.log(2))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), classes=st.integers(1, 3), spread=st.sampled_from([1, 50]))
def test_percentile_against_slow_loops(seed: int, classes: int, spread: int) -> None:
    rng = seeded(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randint(-spread, spread + 1, shape, generator=rng).float()

    def label(n: int) -> torch.Tensor:
        return torch.randint(classes, (n,), generator=rng)

    features, labels = draw(6, 3, 2), label(6)
    train, train_labels, held, held_labels = draw(12, 2), label(12), draw(9, 2), label(9)
    found = manifold_percentile(features, labels, train, train_labels, held, held_labels)

    def nearest(one: torch.Tensor, c: int) -> int:
        known = train[train_labels == c]
        return min(int((one - other).square().sum()) for other in known)

    for n in range(6):
        c = int(labels[n])
        others = held[held_labels == c]
        for p in range(3):
            if len(others) == 0 or not (train_labels == c).any():
                assert found[n, p].isnan()
                continue
            here = nearest(features[n, p], c)
            there = [nearest(other, c) for other in others]
            below = sum(t < here for t in there) + 0.5 * sum(t == here for t in there)
            assert float(found[n, p]) == pytest.approx(below / len(there))


def test_images_like_the_test_images_are_spread_evenly_and_far_ones_stand_last() -> None:
    rng = seeded(2)
    known, held = torch.randn(500, 5, generator=rng), torch.randn(400, 5, generator=rng)
    alike = torch.randn(400, 1, 5, generator=rng)
    labels = [torch.zeros(n, dtype=torch.long) for n in (400, 500, 400)]
    found = manifold_percentile(alike, labels[0], known, labels[1], held, labels[2])
    assert float(found.mean()) == pytest.approx(0.5, abs=0.05)
    assert float((found <= 0.95).float().mean()) == pytest.approx(0.95, abs=0.03)
    far = manifold_percentile(alike + 9, labels[0], known, labels[1], held, labels[2])
    assert (far == 1).all()


def test_another_class_is_no_neighbour() -> None:
    """An image turned into a perfect one of another class is off the manifold of its own."""
    known = torch.tensor([[0.0], [10.0]]).repeat_interleave(50, 0)
    known += 0.1 * torch.randn(100, 1, generator=seeded())
    kinds = torch.arange(2).repeat_interleave(50)
    held = known + 0.1
    x_k = torch.tensor([[[0.0], [10.0]]])
    found = manifold_percentile(x_k, torch.tensor([0]), known, kinds, held, kinds)
    assert float(found[0, 0]) < 0.9
    assert float(found[0, 1]) == 1


def test_the_names_are_registered() -> None:
    for name in ("labels_kept_at_2", "labels_kept_judges_at_2p5", "labels_kept_judges"):
        assert lookup(name).name == name
    assert "at distance 2p5 from z" in lookup("labels_kept_judges_at_2p5").meaning
    assert all(REGISTRY[m.name] is m for m in MEASURES)
