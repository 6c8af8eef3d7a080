"""Fibers of coloured digits: colours, measures and searches, against known answers."""

import colour_pair
import fiber_measures
import fiber_samples
import fibers
import numpy as np
import pytest
import torch
from color_mnist import (
    BINS,
    CODE,
    ColourCNN,
    background_of,
    coloured,
    colours,
    decoloured,
    palette,
    true_shares,
)
from scipy.stats import entropy, wasserstein_distance

import filtergan as fg


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits(n: int) -> torch.Tensor:
    """Grey squares inside a black frame, each its own."""
    grey = torch.zeros(n, 1, 28, 28)
    grey[:, :, 8:20, 8:20] = torch.rand(n, 1, 12, 12, generator=rng(1))
    return grey


def test_colours_are_those_of_the_mixture() -> None:
    drawn = colours(200_000, rng())
    counts = np.histogram(drawn[:, 1], bins=BINS, range=(0, 1))[0]
    assert np.abs(counts / counts.sum() - true_shares().numpy()).max() < 0.004
    assert float(torch.corrcoef(drawn.T)[0, 1]) == pytest.approx(0, abs=0.01)


def test_what_is_coloured_can_be_decoloured() -> None:
    grey, background = digits(20), 0.02 + 0.96 * torch.rand(20, 3, generator=rng())
    x = coloured(grey, background)
    torch.testing.assert_close(background_of(x), background)
    torch.testing.assert_close(decoloured(x), grey.expand(-1, 3, -1, -1))
    # Strokes stand half the range away from the background, around the circle.
    full = coloured(torch.ones(1, 1, 28, 28), torch.tensor([[0.7, 0.5, 0.1]]))[0, :, 0, 0]
    torch.testing.assert_close(full, torch.tensor([0.2, 0.0, 0.6]), atol=1e-6, rtol=0)


def test_the_subject_sees_no_colour_and_can_be_studied() -> None:
    torch.manual_seed(0)
    subject, other = (ColourCNN(drops).eval() for drops in (True, False))
    x, y = (coloured(digits(4), colours(4, rng(seed))) for seed in (0, 1))
    torch.testing.assert_close(subject(x), subject(y), atol=1e-4, rtol=1e-4)
    assert (other(x) - other(y)).abs().max() > 1e-3
    for network in (subject, other):
        site = fg.Site(network, "conv3", x, CODE)
        torch.testing.assert_close(site.respond(site.input(x)), network.encode(x))


def test_colours_of_a_palette_are_far_from_each_other() -> None:
    known = palette(10, 0)
    assert float((torch.cdist(known, known) + 9 * torch.eye(10)).min()) > 0.3


def test_measures_of_colour_are_those_of_scipy() -> None:
    found = torch.rand(6, 50, 3, generator=rng()) ** 0.5
    counts = fiber_measures.counted(found)
    mids, expected = (np.arange(BINS) + 0.5) / BINS, true_shares().numpy()
    shares = [np.histogram(found[..., c], bins=BINS, range=(0, 1))[0] / 300 for c in range(3)]
    near = np.mean([wasserstein_distance(mids, mids, own, expected) for own in shares])
    assert fiber_measures.jackknifed(fiber_measures.distance_of, counts)["value"] == pytest.approx(
        near
    )
    kl = np.mean([entropy(own, expected) for own in shares])
    assert float(fiber_measures.divergence_of(counts.sum(0))) == pytest.approx(kl)
    own = found[:, 0]
    told = fiber_measures.copied(own, found)["value"]
    by_hand = [
        np.corrcoef(own[:, c].repeat_interleave(50), found[..., c].ravel())[0, 1] for c in range(3)
    ]
    assert told == pytest.approx(np.mean(by_hand), abs=1e-5)


def test_a_mean_has_the_interval_of_its_images() -> None:
    values = torch.randn(40, 5, generator=rng()) + torch.randn(40, 1, generator=rng(1))
    found = fiber_measures.mean_of(values)
    assert found["value"] == pytest.approx(float(values.mean()), abs=1e-6)
    error = float(values.mean(1).std()) / 40**0.5  # images are independent, samples are not
    reach = (found["ci95"][1] - found["ci95"][0]) / 2
    assert reach == pytest.approx(2.02 * error, rel=0.01)


def test_how_far_samples_are_apart() -> None:
    samples = torch.rand(3, 4, 3, 5, 5, generator=rng())
    pairs = [(i, j) for i in range(4) for j in range(i)]
    slow = [[float((one[i] - one[j]).square().mean().sqrt()) for i, j in pairs] for one in samples]
    expected = torch.tensor(slow).mean(1, keepdim=True)
    torch.testing.assert_close(fiber_measures.apart(samples), expected)


def test_a_search_over_fields_finds_the_code_and_leaves_colour_that_is_dropped() -> None:
    torch.manual_seed(0)
    subject = ColourCNN(drops=True).eval().requires_grad_(False)
    x = coloured(digits(6), torch.full((6, 3), 0.3))
    start = fiber_samples.random_fields(6, rng())
    begun = fiber_samples.SPACE.apply(x, start)
    found = fiber_samples.of_fields(subject, x, start, 30)

    def error(images: torch.Tensor) -> float:
        return float(
            fiber_measures.errors_of(subject.encode(images)[:, None], subject.encode(x)).mean()
        )

    assert error(found) < 0.2 * error(begun)
    moved, left = (background_of(images) - background_of(x) for images in (begun, found))
    assert float(left.norm() / moved.norm()) > 0.7


def test_turned_colours() -> None:
    x = torch.rand(2, 3, 4, 4, generator=rng())
    third = colour_pair.turned(x, torch.full((2,), 120.0))
    torch.testing.assert_close(third, x.roll(1, dims=1))
    torch.testing.assert_close(colour_pair.turned(x, torch.zeros(2)), x)


def test_tables_have_a_line_for_each_method_and_network() -> None:
    value = {"value": 0.5, "ci95": [0.4, 0.6]}
    one = {name: value for name, _, _ in fibers.COLUMNS} | {"milliseconds": 2.0}
    record = {"subject": {"unit": 0.25}, "methods": {"ours": one}}
    head, lines = fibers.rows_of(record)
    assert len(head) == len(lines[0])
    assert lines[0][:2] == ["ours", "0.50 (0.40 to 0.60); 2.00"]
    assert all(fibers.pair_rows({})[1])
    assert fibers.subject_rows({})[1] == []
