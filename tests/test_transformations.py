"""Known transformations, against loops and drawn strokes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, map_coordinates
from strokes import draw

from filtergan.errors import UserError
from filtergan.families.transformations import (
    affine,
    coordinates,
    displace,
    distance,
    photometric,
    spline_basis,
    spline_flow,
    width_table,
)


def test_photometric_has_its_own_gain_and_offset_for_each_image():
    x = torch.rand(2, 3, 4, 5)
    found = photometric(x, torch.tensor([2.0, 0.5]), torch.tensor([0.1, -0.2]))
    assert torch.equal(found[0], 2 * x[0] + 0.1)
    assert torch.equal(found[1], 0.5 * x[1] - 0.2)


def test_coordinates_are_pixels_about_the_centre_horizontal_first():
    assert coordinates((2, 3)).tolist() == [
        [[-1, 0, 1], [-1, 0, 1]],
        [[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]],
    ]


@given(
    st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    st.tuples(st.integers(5, 9), st.integers(5, 9)),
)
@settings(max_examples=20)
def test_a_whole_shift_moves_pixels(shift, size):
    x = torch.rand(1, 2, *size)
    right, down = shift
    found = affine(x, torch.tensor([[[1.0, 0.0, right], [0.0, 1.0, down]]]))
    padded = F.pad(x, (3, 3, 3, 3))
    wanted = padded[..., 3 + down : 3 + down + size[0], 3 + right : 3 + right + size[1]]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_affine_agrees_with_scipy():
    torch.manual_seed(0)
    x = F.pad(torch.rand(6, 7, dtype=torch.float64), (4, 4, 4, 4))
    matrix = torch.tensor([[0.9, 0.3], [-0.2, 1.1]], dtype=torch.float64)
    shift = torch.tensor([0.7, -1.3], dtype=torch.float64)
    centre = torch.tensor([(x.shape[1] - 1) / 2, (x.shape[0] - 1) / 2], dtype=torch.float64)
    found = affine(x[None, None], torch.cat([matrix, shift[:, None]], dim=1)[None])[0, 0]
    pixels = torch.stack(torch.meshgrid(*map(torch.arange, x.shape), indexing="ij")).flip(0)
    where = (matrix @ (pixels.flatten(1) - centre[:, None]) + (shift + centre)[:, None]).flip(0)
    wanted = map_coordinates(x.numpy(), where.numpy(), order=1).reshape(x.shape)
    torch.testing.assert_close(found, torch.from_numpy(wanted), atol=1e-9, rtol=0)


def test_displace_samples_each_pixel_where_its_flow_points():
    x = torch.rand(1, 1, 5, 6)
    flow = torch.zeros(1, 2, 5, 6)
    flow[0, :, 2, 3] = torch.tensor([0.25, -1.0])
    found = displace(x, flow)
    wanted = x.clone()
    wanted[0, 0, 2, 3] = 0.75 * x[0, 0, 1, 3] + 0.25 * x[0, 0, 1, 4]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_spline_takes_its_values_at_the_control_points_and_keeps_lines_straight():
    basis = spline_basis(10)
    torch.testing.assert_close(basis[::3], torch.eye(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(basis @ torch.arange(4.0) * 3, torch.arange(10.0), atol=1e-5, rtol=0)


def test_a_linear_displacement_is_a_spline_flow():
    size = (13, 16)
    place = coordinates(size)
    wanted = 0.3 * place[:1] - 0.1 * place[1:] + 2
    control = torch.cat([wanted, wanted])[None, :, ::4, ::5]
    found = spline_flow(control, size)
    torch.testing.assert_close(found[0], torch.cat([wanted, wanted]), atol=1e-4, rtol=0)


@given(st.integers(0, 10**6), st.floats(0.01, 0.9))
@settings(max_examples=20)
def test_distances_within_reach_are_the_euclidean_ones(seed, share):
    inside = torch.rand(9, 14, generator=torch.Generator().manual_seed(seed)) < share
    inside[4, 4] = True
    wanted = torch.from_numpy(distance_transform_edt(~inside.numpy())).float()
    found = distance(inside, 4)
    near = wanted <= 4
    torch.testing.assert_close(found[near], wanted[near])
    assert bool((found[~near] > 4).all())


def test_width_zero_is_the_image_itself():
    x = torch.rand(3, 1, 12, 12)
    assert torch.equal(width_table(x, torch.tensor([-0.5, 0.0, 1.0]))[:, 1], x)


def test_widths_grow_with_the_radius():
    table = width_table(draw(torch.full((3,), 1.5)), torch.arange(-4, 5) / 4)
    assert bool((table.sum((2, 3, 4)).diff(dim=1) > 0).all())


@pytest.mark.parametrize("change", [-0.3, 0.3, 0.6])
@pytest.mark.parametrize(("blur", "share"), [(0.0, 0.88), (0.35, 0.92), (0.6, 0.82)])
def test_strokes_drawn_wider_are_what_the_table_holds(change, blur, share):
    thin = torch.tensor([1.0, 1.4, 1.8])
    x, wider = draw(thin, blur), draw(thin + change, blur)
    found = width_table(x, torch.arange(-12, 17) / 16)
    left = ((found - wider[:, None]) ** 2).sum((2, 3, 4)).amin(1)
    assert float((1 - left / ((wider - x) ** 2).sum((1, 2, 3))).mean()) > share


def test_widths_follow_the_brightness_of_the_image():
    x, radii = draw(torch.tensor([1.5])), torch.tensor([-0.4, 0.7])
    torch.testing.assert_close(width_table(0.3 * x, radii), 0.3 * width_table(x, radii))


def test_a_black_image_stays_black():
    assert not width_table(torch.zeros(1, 1, 8, 8), torch.tensor([-1.0, 1.0])).any()


def test_colour_has_no_stroke_width():
    with pytest.raises(UserError, match="3 channels"):
        width_table(torch.rand(1, 3, 8, 8), torch.zeros(1))
