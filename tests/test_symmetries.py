"""The study of planted symmetries: fields and angles that are known."""

import math

import pytest
import torch
from symmetries import (
    affine,
    angles,
    coordinates,
    distance,
    largest_angle,
    linear_part,
    of_seeds,
    over_images,
    scores,
)

from filtergan.config.dataset_fields import DatasetConfig

SIZE = (28, 28)
WEIGHTS = torch.rand(SIZE, generator=torch.Generator().manual_seed(0)) + 0.1


def turning(degrees: float) -> torch.Tensor:
    """The flow of a rotation, in half sides."""
    angle = math.radians(degrees)
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    places = coordinates(SIZE)
    return (places @ matrix.mT - places).movedim(-1, 0)


def test_a_rotation_is_one():
    found = scores(affine(SIZE)["rotation"][None] * 3, WEIGHTS / WEIGHTS.sum())
    assert found["product"]["rotation"] == pytest.approx(1, abs=1e-5)
    assert found["share"]["rotation"] == pytest.approx(1, abs=1e-4)
    assert found["bias"]["least"] == pytest.approx(0, abs=1e-5)
    assert found["share"]["size"] < 0.1


def test_a_span_holds_sums():
    known = affine(SIZE)
    both = torch.stack([known["rotation"] + known["size"], known["rotation"] - known["size"]])
    found = scores(both, WEIGHTS / WEIGHTS.sum())
    assert found["share"]["rotation"] == pytest.approx(1, abs=1e-4)
    assert found["product"]["rotation"] == pytest.approx(math.sqrt(0.5), abs=0.05)


@pytest.mark.parametrize("degrees", [-50.0, 0.0, 20.0])
def test_angles_of_known_rotations(degrees: float):
    found = angles(turning(degrees)[None], WEIGHTS)
    assert float(found) == pytest.approx(degrees, abs=1e-3)


def test_a_linear_part_is_fitted_beside_a_shift():
    places = coordinates(SIZE)
    matrix = torch.tensor([[0.1, -0.3], [0.2, 0.05]])
    field = (places @ matrix.mT + torch.tensor([0.4, -0.2])).movedim(-1, 0)
    assert torch.allclose(linear_part(field, WEIGHTS), matrix, atol=1e-5)


def test_distance_to_the_planted_angles():
    uniform = 60 * (2 * torch.rand(20000, generator=torch.Generator().manual_seed(0)) - 1)
    assert distance(uniform, 60)["w1"] < 1
    still = distance(torch.zeros(100), 60)
    assert still["w1"] == pytest.approx(30)
    assert still["null"] == pytest.approx(30)


def test_the_angle_is_read_off_the_run():
    planted = DatasetConfig(planted="rotation")
    assert largest_angle(planted) == 60
    assert largest_angle(planted.model_copy(update={"planted_range": (-45.0, 45.0)})) == 45
    with pytest.raises(ValueError, match="not the same either way"):
        largest_angle(DatasetConfig(planted="rotation", planted_range=(-10, 45)))
    with pytest.raises(ValueError, match="planted rotation"):
        largest_angle(DatasetConfig())


def test_intervals_over_images_hold_their_mean_and_close_where_all_agree():
    known, rng = torch.stack(list(affine(SIZE).values())), torch.Generator().manual_seed(0)
    noisy = known + 2 * torch.randn(30, *known.shape, generator=rng)
    weights = WEIGHTS / WEIGHTS.sum()
    low, high = over_images(noisy, weights)["product"]["rotation"]
    assert 0 < low < high < 1
    low, high = over_images(known.expand(30, *known.shape), weights)["product"]["rotation"]
    assert (low, high) == pytest.approx((1, 1), abs=1e-4)


def test_several_trainings_have_a_mean_and_a_range():
    found = of_seeds([{"bias": {"least": 0.2}}, {"bias": {"least": 0.6}}])
    assert found["found"]["bias"]["least"] == pytest.approx(0.4)
    assert found["range"]["bias"]["least"] == [0.2, 0.6]
