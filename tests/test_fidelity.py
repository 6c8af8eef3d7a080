"""PRDC against slow loops and the published definition; the two-sample test on planted truth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from filtergan.measures.fidelity import MEASURES, prdc, two_sample
from filtergan.measures.registry import REGISTRY

NAMES = ["response_precision", "response_recall", "response_density", "response_coverage"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def means(found: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in found.items()}


def slow(real: Tensor, fake: Tensor, k: int) -> dict[str, list[float]]:
    """The definitions, pair by pair, in whole numbers so that ties are ties."""

    def d(a: Tensor, b: Tensor) -> int:
        return sum(int(x - y) ** 2 for x, y in zip(a, b, strict=True))

    def balls(samples: Tensor) -> tuple[list[int], list[int]]:
        radii, held = [], []
        for i, one in enumerate(samples):
            others = sorted(d(one, other) for j, other in enumerate(samples) if j != i)
            radii.append(others[min(k, len(others)) - 1])
            held.append(sum(o <= radii[-1] for o in others))
        return radii, held

    (around_real, held), (around_fake, _) = balls(real), balls(fake)
    n, m = range(len(real)), range(len(fake))
    inside = [[d(real[i], fake[j]) <= around_real[i] for j in m] for i in n]
    return {
        "response_precision": [any(inside[i][j] for i in n) for j in m],
        "response_recall": [any(d(real[i], fake[j]) <= around_fake[j] for j in m) for i in n],
        "response_density": [sum(inside[i][j] / held[i] for i in n) for j in m],
        "response_coverage": [any(inside[i]) for i in n],
    }


@settings(max_examples=60)
@given(
    n=st.integers(2, 9),
    m=st.integers(2, 9),
    d=st.integers(1, 3),
    k=st.integers(1, 6),
    spread=st.sampled_from([1, 3, 1000]),
    seed=st.integers(0, 10**6),
)
def test_prdc_against_slow_loops(n: int, m: int, d: int, k: int, spread: int, seed: int) -> None:
    whole = torch.randint(-spread, spread + 1, (n + m, d), generator=seeded(seed)).float()
    real, fake = whole[:n], whole[n:]
    found = prdc(real, fake, k)
    for name, values in slow(real, fake, k).items():
        torch.testing.assert_close(found[name], torch.tensor(values, dtype=torch.float))


def test_without_ties_prdc_is_that_of_its_authors() -> None:
    """compute_prdc of prdc.py, with its strict inequalities and its division by k."""
    real, fake, k = normal(80, 6), 0.8 * normal(70, 6, seed=1) + 0.2, 5
    among, between = torch.cdist(real, real), torch.cdist(real, fake)
    radius = among.kthvalue(k + 1, dim=1).values
    radius_fake = torch.cdist(fake, fake).kthvalue(k + 1, dim=1).values
    inside = between < radius[:, None]
    assert means(prdc(real, fake, k)) == pytest.approx(
        {
            "response_precision": float(inside.any(0).float().mean()),
            "response_recall": float((between < radius_fake).any(1).float().mean()),
            "response_density": float(inside.sum(0).float().mean()) / k,
            "response_coverage": float((between.min(1).values < radius).float().mean()),
        }
    )


def test_identical_features_agree_wholly_and_other_ones_not_at_all() -> None:
    same = torch.full((30, 4), 0.3)
    assert means(prdc(same, same[:20])) == pytest.approx(
        dict.fromkeys(NAMES, 1.0) | {"response_density": 30 / 29}
    )
    assert means(prdc(same, same + 5)) == dict.fromkeys(NAMES, 0.0)


def test_one_distribution_scores_high_and_a_collapsed_one_shows() -> None:
    real, other = normal(1000, 4), normal(1000, 4, seed=1)
    for name, value in means(prdc(real, other)).items():
        assert 0.9 < value < 1.1, name
    collapsed = means(prdc(real, 0.01 * other))  # one mode only
    assert collapsed["response_precision"] == 1
    assert collapsed["response_recall"] < 0.05
    assert collapsed["response_coverage"] < 0.05


def test_too_few_samples_are_undefined() -> None:
    found = prdc(normal(1, 3), normal(4, 3))
    assert set(found) == set(NAMES)
    assert all(values.isnan().all() for values in found.values())


def test_the_names_are_registered() -> None:
    assert [m.name for m in MEASURES] == [
        *NAMES,
        "two_sample_accuracy",
        "image_two_sample_accuracy",
    ]
    assert all(REGISTRY[m.name] is m for m in MEASURES)
    assert set(prdc(normal(6, 2), normal(6, 2))) == set(NAMES)


# the two-sample test


@pytest.mark.parametrize("shape", [(20,), (4, 7, 7), (1, 28, 28)])
def test_what_cannot_be_told_apart(shape: tuple[int, ...]) -> None:
    """Also where each fake is nearly the real sample of its image: halves are split by image."""
    real = normal(300, *shape)
    for fake in (normal(300, *shape, seed=1), real + 0.01 * normal(300, *shape, seed=2)):
        right = two_sample(real, fake, seed=0, epochs=5)
        assert right.shape == (150,)
        assert set(right.tolist()) <= {0.0, 0.5, 1.0}
        error = float(right.std()) / 150**0.5
        assert abs(float(right.mean()) - 0.5) <= 4 * error


@pytest.mark.parametrize("shape", [(20,), (4, 7, 7)])
def test_a_shift_is_told(shape: tuple[int, ...]) -> None:
    real, fake = normal(300, *shape), normal(300, *shape, seed=1)
    fake[:, 0] += 3.0 if len(shape) == 1 else 1.0
    assert float(two_sample(real, 7 * fake, seed=0).mean()) > 0.9


def test_a_texture_is_told() -> None:
    """The same mean and variance everywhere, but neighbours that agree."""
    real, fake = normal(300, 3, 14, 14), normal(300, 3, 15, 14, seed=1)
    fake = (fake[:, :, 1:] + fake[:, :, :-1]) / 2**0.5
    assert float(two_sample(real, fake, seed=0).mean()) > 0.9


def test_the_two_sample_test_repeats_with_its_seed_and_touches_nothing() -> None:
    real, fake = normal(40, 3, 8, 8), normal(40, 3, 8, 8, seed=1) + 0.3
    kept, state = real.clone(), torch.get_rng_state()
    one = two_sample(real, fake, seed=3, epochs=2)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(5)
    assert torch.equal(one, two_sample(real, fake, seed=3, epochs=2))
    assert torch.equal(real, kept)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_and_dead_samples(n: int) -> None:
    dead = torch.zeros(n, 2, 3, 3)
    right = two_sample(dead, dead, seed=0)
    assert len(right) == (0 if n < 2 else n - n // 2)
    assert (right == 0.5).all()  # always the same answer
