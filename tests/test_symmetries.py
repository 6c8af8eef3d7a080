"""The study of planted symmetries: fields and angles that are known."""

import math

import pytest
import symmetries
import torch
from symmetries import affine, angles, coordinates, distance, linear_part, scores

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
    assert distance(uniform)["w1"] < 1
    still = distance(torch.zeros(100))
    assert still["w1"] == pytest.approx(30)
    assert still["null"] == pytest.approx(30)
    assert symmetries.PLANTED == 60
