"""Something else that inverts: a walk and a grid take whatever recovers images."""

from dataclasses import dataclass

import pytest
import torch
from known_effects import grids_of, planted, smooth_images
from torch import Tensor

from filtergan.game.gan import FilterGAN
from filtergan.machine.telling import Tick
from filtergan.walks.inverter import Inversion, Points, residual
from filtergan.walks.walk import walk, walk_grid


@dataclass(frozen=True)
class Places:
    """What the inverter below learns of a point: where it is."""

    z_k: Tensor

    def at(self, index: Tensor) -> "Places":
        return Places(self.z_k[index])


class Exact:
    """Knows what the planted filters do, so that it needs x, z and z_k alone; an inverter."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, list[Points]()

    def at_once(self, gan: FilterGAN, images: Tensor) -> int:
        return self.size

    def __call__(self, points: Points, tick: Tick) -> tuple[Inversion, Places | None]:
        self.seen.append(points)
        images = points.images * (points.z - points.targets)[:, 0].exp()[:, None, None, None]
        before, after = (
            residual(points.gan.site, x, points.profiles, points.filters)
            for x in (points.images, images)
        )
        tick(len(images))
        return Inversion(images, before, after), Places(points.targets)


def scaled(x: Tensor, z: Tensor, targets: Tensor) -> Tensor:
    """By hand: [images, points, ...], one point after the other."""
    return torch.stack(
        [
            torch.stack([one * (at[0] - to[0]).exp() for to in row])
            for one, at, row in zip(x, z, targets, strict=True)
        ]
    )


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_walk_takes_whatever_recovers_images(size: int) -> None:
    gan, x, exact = planted(), smooth_images(3), Exact(size)
    z = torch.tensor([[0.1, 0.0], [0.0, 1.0], [-0.2, 0.0]])
    targets = z[:, None] + torch.tensor([[0.3, 0.0], [-0.2, 0.0], [0.1, 0.0]])
    ticks: list[int] = []
    found = walk(gan, exact, x, z, targets, tick=ticks.append)
    torch.testing.assert_close(found.images, scaled(x, z, targets).flatten(0, 1))
    assert (found.after < 1e-12).all()
    assert (found.before > 1e-3).all()
    assert sum(ticks) == 9
    for points in exact.seen:
        assert len(points.images) <= size
        torch.testing.assert_close(points.filters, gan.draw(points.targets))
        response = gan.site.respond(gan.site.input(points.images), gan.draw(points.z))
        torch.testing.assert_close(points.profiles, response)
        assert points.learned is None
    null = walk(gan, exact, x, z, targets, null_seed=5)
    assert torch.equal(null.images, found.images)
    assert (null.after > 1e-3).all()  # its filters are others, which this one does not look at


def test_images_that_share_z_share_the_filters_of_the_null() -> None:
    gan, x, exact = planted(), smooth_images(3), Exact(100)
    z = torch.tensor([[0.1, 0.0], [-0.2, 0.0], [0.1, 0.0]])
    walk(gan, exact, x, z, z[:, None] + torch.tensor([[0.3, 0.0], [-0.2, 0.0]]), null_seed=5)
    (points,) = exact.seen
    first, other, same = points.filters.unflatten(0, (3, 2))
    torch.testing.assert_close(same, first)
    assert not torch.isclose(other, first).all()


def test_a_grid_hands_on_what_was_learned_within() -> None:
    gan, x, exact = planted(), smooth_images(2), Exact(100)
    z = torch.tensor([[0.1, 0.0], [-0.2, 0.0]])
    grids = grids_of(z, 0.4, 5)
    grids[..., 1] = grids[..., 1].round()
    found = walk_grid(gan, exact, x, z, grids)
    torch.testing.assert_close(found.images, scaled(x, z, grids.flatten(1, 2)).flatten(0, 1))
    within, around = exact.seen
    assert within.learned is None
    assert within.starts is not None
    torch.testing.assert_close(within.starts, within.images)
    assert isinstance(around.learned, Places)
    own, neighbour = (at[:, 0] - around.z[:, 0] for at in (around.targets, around.learned.z_k))
    on_a_side = own.abs() > 0.3  # rows at 0.4 from z; their neighbours' rows are at 0.2
    torch.testing.assert_close(neighbour, torch.where(on_a_side, own / 2, own))
