"""The study of metamers: what is searched, chosen and measured, against closed forms and loops."""

import math
import os
from collections.abc import Callable

os.environ.setdefault("TQDM_DISABLE", "1")  # plenoptic's bars

import plenoptic
import pytest
import torch
from eigendistortions import along_latents, noticed, of, straight, tangents
from metamer_measures import diversity, meant, smooth_share, start_kept, told
from metamer_sets import (
    SIZE,
    Responses,
    Task,
    Way,
    at_change,
    farthest,
    fields,
    kept,
    make,
    metamers,
    near,
    noise,
    pairwise,
    real,
    residual,
    walked,
    warped,
)
from torch import Tensor

import filtergan as fg


@pytest.fixture(scope="module")
def task() -> Task:
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10).eval()
    site = fg.Site(network, "conv2", images)
    gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
    return Task(gan, images[:2], images[2:], seed=0)


def test_the_farthest_points_are_those_of_a_loop():
    points = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0))
    start = points.mean(1)
    for one, begin, found in zip(points, start, farthest(points, start, 4), strict=True):
        taken = [begin]
        for index in found.tolist():
            gaps = [min(float((p - t).norm()) for t in taken) for p in one]
            assert index == max(range(20), key=lambda i: gaps[i])
            taken.append(one[index])


def test_images_searched_together_go_where_each_goes_alone(task: Task):
    starts = noise(task)[:, :2]
    together, steps = metamers(task, starts, cap=30)
    assert steps == 30
    for i, j in ((0, 1), (1, 0)):
        search = plenoptic.Metamer(task.x[i : i + 1], Responses(task.site).eval())
        search.setup(starts[i, j : j + 1])
        search.synthesize(max_iter=30)
        assert torch.allclose(search.metamer[0], together[i, j], atol=1e-4)


def test_a_search_lowers_what_it_is_for(task: Task):
    starts = near(task)[:, :3]
    plain, _ = metamers(task, starts, cap=60)
    pushed, _ = metamers(task, starts, push=0.5, cap=60)
    left = [float(residual(task.site, task.wanted, s).mean()) for s in (starts, plain, pushed)]
    assert left[1] < left[0] / 4
    assert float(pairwise(pushed).mean()) > 1.2 * float(pairwise(plain).mean())


def test_residuals_are_those_of_a_loop(task: Task):
    sets = near(task)[:, :2]
    model = Responses(task.site)
    for i, found in enumerate(residual(task.site, task.wanted, sets)):
        wanted = model(task.x[i : i + 1])
        for j in range(2):
            off = model(sets[i, j : j + 1]) - wanted
            assert float(found[j]) == pytest.approx(
                float(off.square().sum() / wanted.square().sum())
            )


def test_the_nearest_real_images_are_the_nearest(task: Task):
    found = real(task)
    model = Responses(task.site)
    distance = [float((model(c[None]) - task.wanted[0]).norm()) for c in task.candidates]
    best = sorted(range(len(distance)), key=lambda i: distance[i])[:SIZE]
    assert torch.equal(found[0], task.candidates[best])


def test_t_leads_to_the_z_that_are_told(task: Task):
    for chosen in (True, False):
        sets, z_k = walked(task, task.gan, chosen)
        z = task.walk[0].repeat_interleave(SIZE, 0)
        x = task.x.repeat_interleave(SIZE, 0)
        again = task.gan.transform(x, z, z_k.flatten(0, 1))
        assert torch.allclose(sets.flatten(0, 1), again, atol=1e-6)
    stayed = task.walk[0][:, None].expand(-1, SIZE, -1)
    left = meant(task, task.gan, task.x[:, None].expand(-1, SIZE, -1, -1, -1), stayed)
    assert all(float(one.abs().max()) < 1e-9 for one in left.values())


@pytest.mark.parametrize("start", [warped, near])
def test_starts_change_images_as_much_as_they_should(task: Task, start: Callable[[Task], Tensor]):
    found = diversity(task.x, start(task))
    assert found["change"].flatten().tolist() == pytest.approx([0.3, 0.3], abs=1e-3)
    assert bool((found["least_distance"] > 0).all())


def test_searched_fields_end_nearer_under_the_real_filters(task: Task):
    sets, z_k = walked(task, task.gan, chosen=True)
    before, after = (
        float(residual(task.site, task.wanted, one).mean())
        for one in (sets, fields(task, task.gan, z_k))
    )
    assert after < before


def test_what_is_kept_is_what_was_made(task: Task, tmp_path):
    way = Way("any", "", "")
    first, second = kept(task, way, tmp_path), kept(task, way, tmp_path)
    assert torch.equal(first.images, make(task, way).images)
    assert first.seconds == second.seconds
    assert first.z_k is not None
    assert second.z_k is not None
    assert torch.equal(first.z_k, second.z_k)


def test_diversity_in_closed_form():
    x = torch.ones(1, 1, 2, 2)  # of norm 2
    corners = torch.eye(4).reshape(1, 4, 1, 2, 2)
    found = diversity(x, x[:, None] + corners)
    assert float(found["change"]) == pytest.approx(0.5)
    assert float(found["mean_distance"]) == pytest.approx(math.sqrt(2) / 2)
    assert float(found["least_distance"]) == pytest.approx(math.sqrt(2) / 2)
    assert float(found["independent_directions"]) == pytest.approx(3, abs=1e-4)
    line = x[:, None] + corners[:, :1] * torch.arange(4.0).reshape(1, 4, 1, 1, 1)
    assert float(diversity(x, line)["independent_directions"]) == pytest.approx(1, abs=1e-4)
    assert diversity(x, x[:, None].repeat(1, 3, 1, 1, 1))["independent_directions"].isnan()


def test_noise_is_no_smooth_difference():
    x = torch.ones(1, 1, 32, 32)
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    board, flat = (torch.stack([x[0], x[0] + c]) for c in (board[None], torch.ones(1, 32, 32)))
    found = diversity(x.repeat(2, 1, 1, 1), torch.stack([board, flat]))
    assert found["mean_distance"].flatten().tolist() == pytest.approx([1, 1], abs=1e-4)
    noisy, smooth = found["smooth_distance"].flatten().tolist()
    assert noisy < 0.2
    assert smooth > 0.9


def test_what_is_left_of_a_start_is_a_projection():
    x = torch.zeros(1, 1, 1, 2)
    start = torch.tensor([2.0, 0.0]).reshape(1, 1, 1, 1, 2)
    ends = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 5.0]]).reshape(1, 3, 1, 1, 2)
    assert start_kept(x, start.expand(1, 3, 1, 1, 2), ends)[0].tolist() == [1, 0, 0.5]


def test_slow_waves_are_smooth_and_fast_ones_are_not():
    place = torch.arange(32.0)
    slow, fast = (torch.cos(2 * math.pi * k / 32 * place) for k in (2, 8))
    waves = torch.stack([slow, fast, slow + fast])[None, :, None, None].expand(1, 3, 1, 32, 32)
    assert smooth_share(waves)[0].tolist() == pytest.approx([1, 0, 0.5], abs=1e-5)
    assert smooth_share(torch.zeros(1, 1, 1, 8, 8)).isnan().all()


def test_eigenvalues_are_what_eigendistortions_are_noticed_by(task: Task):
    search = of(task, task.x[0])
    search.synthesize(method="exact")
    jacobian, values = search.jacobian[None], search.eigenvalues
    found = noticed(jacobian, search.eigendistortions[None])[0]
    assert torch.allclose(found, values / values.mean(), atol=1e-3)
    way = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    there, back = (search.model(task.x[:1] + step * way) for step in (1e-3, -1e-3))
    slope = ((there - back) / 2e-3).square().sum() / way.square().sum()
    assert float(noticed(jacobian, way[None])) == pytest.approx(
        float(slope / values.mean()), rel=0.05
    )


def test_images_at_a_change_have_changed_by_it(task: Task):
    directions = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images, way = at_change(straight(task.x, directions), task.x, 0.2)
    size = (images - task.x).flatten(1).norm(dim=1) / task.x.flatten(1).norm(dim=1)
    assert size.tolist() == pytest.approx([0.2, 0.2], abs=1e-4)
    assert bool((way >= 0.2 - 1e-4).all())  # what leaves the range is lost
    still = torch.zeros(2, 1, 8, 8)
    same, _ = at_change(lambda way: task.x + still, task.x, 0.2)
    assert torch.equal(same, task.x)


def test_tangents_are_slopes_of_t(task: Task):
    found = tangents(task.gan, task.x)
    step = torch.tensor([0.0, 1.0, 0.0]).expand(2, 3)
    moved = along_latents(task.gan, task.x, step)(torch.full((2,), 0.05))
    assert torch.allclose(found[:, 1] * 0.05, moved - task.x, atol=2e-4)


def test_what_is_nowhere_defined_has_no_number():
    found = told({"none": torch.full((3, 2), torch.nan), "some": torch.ones(3, 2)}, seed=0)
    assert found["none"] == {"value": None, "ci95": None}
    assert found["some"] == {"value": 1.0, "ci95": [1.0, 1.0]}
