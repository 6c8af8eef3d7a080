"""Fields of an image change: what they do to images, and that they can be undone."""

import pytest
import torch

from filtergan.families.transformations import displace
from filtergan.images.image_fields import KINDS, FieldSpace, exponential, folded, spreading

SPACE = FieldSpace((2, 12, 16), KINDS, grid=4)


def smooth(*shape: int, size: float = 0.5) -> torch.Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_nothing_changes_nothing():
    x = torch.rand(3, *SPACE.shape)
    assert torch.equal(SPACE.apply(x, torch.zeros(3, *SPACE.size)), x)


def test_every_kind_has_its_fields_and_they_are_linear():
    a, b = smooth(3, *SPACE.size), smooth(3, *SPACE.size).flip(0)
    both = SPACE.fields(a + 2 * b)
    assert {kind: field.shape[1] for kind, field in both.items()} == SPACE.channels
    assert sum(SPACE.channels.values()) == SPACE.count
    for kind, field in both.items():
        torch.testing.assert_close(field, SPACE.fields(a)[kind] + 2 * SPACE.fields(b)[kind])


def test_equal_coefficients_are_an_equal_field():
    assert spreading(13, 5).sum(1) == pytest.approx(torch.ones(13), abs=1e-6)


@pytest.mark.parametrize("side", [28, 56])
def test_a_flow_moves_everything_by_pixels_of_the_image(side: int):
    space = FieldSpace((1, side, side), ("flow",), grid=3)
    x, coefficients = torch.rand(1, 1, side, side), torch.zeros(1, *space.size)
    coefficients[:, 0] = 2
    moved, pixels = space.apply(x, coefficients), 2 * side // 28
    torch.testing.assert_close(moved[..., :-pixels], x[..., pixels:], atol=1e-4, rtol=0)


def test_gain_and_offset_are_what_they_say():
    space = FieldSpace((2, 6, 6), ("gain", "offset"), grid=2)
    x, coefficients = torch.rand(1, 2, 6, 6) / 4, torch.zeros(1, 4, 2, 2)
    coefficients[:, 0], coefficients[:, 3] = torch.tensor(2.0).log(), 0.25
    got = space.apply(x, coefficients)
    torch.testing.assert_close(got[:, 0], 2 * x[:, 0])
    torch.testing.assert_close(got[:, 1], x[:, 1] + 0.25)


def test_brightness_and_ground_are_gain_and_offset_equal_in_all_channels():
    shape, x = (3, 10, 8), torch.rand(2, 3, 10, 8)
    light = FieldSpace(shape, ("brightness", "ground"), grid=3)
    of_channels = FieldSpace(shape, ("gain", "offset"), grid=3)
    coefficients = smooth(2, *light.size)
    same = coefficients.repeat_interleave(3, dim=1)
    torch.testing.assert_close(light.apply(x, coefficients), of_channels.apply(x, same))


def test_blur_takes_the_finest_pattern_and_its_negative_adds_to_it():
    space = FieldSpace((1, 28, 28), ("blur",), grid=2)
    board = (torch.arange(28)[:, None] + torch.arange(28)) % 2
    x = (0.5 + 0.2 * (board - 0.5))[None, None]
    blurred, sharpened = (space.apply(x, torch.full((1, 1, 2, 2), b)) for b in (1.0, -1.0))
    assert blurred.std() < 0.1 * x.std()
    assert sharpened.std() > 1.5 * x.std()


def test_pixels_stay_pixels():
    got = SPACE.apply(torch.rand(3, *SPACE.shape), smooth(3, *SPACE.size, size=5))
    assert got.min() >= 0
    assert got.max() <= 1


def test_an_exponential_is_undone_by_its_negative_and_doubled_by_going_twice():
    velocity = FieldSpace((1, 28, 28), ("flow",)).fields(smooth(4, 2, 7, 7))["flow"]
    there, back, far = (exponential(f * velocity) for f in (1, -1, 2))
    inside = (..., slice(3, -3), slice(3, -3))
    returned = there + displace(back, there, "border")
    twice = there + displace(there, there, "border")
    assert returned[inside].abs().mean() < 0.05 * there[inside].abs().mean()
    assert (twice - far)[inside].abs().mean() < 0.05 * far[inside].abs().mean()


def test_an_exponential_does_not_fold_where_the_field_itself_would():
    space = FieldSpace((1, 28, 28), ("flow",))
    velocity = space.fields(smooth(4, *space.size, size=3))["flow"]
    assert folded(velocity).mean() > 0.05
    assert folded(exponential(velocity)).mean() < 0.1 * folded(velocity).mean()


def test_a_mirror_folds_everywhere_and_a_shift_nowhere():
    columns = torch.arange(10.0).expand(1, 1, 10, 10)
    mirror = torch.cat([-2 * columns, torch.zeros_like(columns)], dim=1)
    assert folded(mirror).item() == 1
    assert folded(torch.ones(1, 2, 10, 10)).item() == 0
