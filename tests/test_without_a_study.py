"""A generator of one's own without a study: learned, walked, measured, kept."""

import base64
import io
from pathlib import Path
from typing import Any

import games
import pandas
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import filtergan as fg
from filtergan.config.fields import joint_config
from filtergan.errors import UserError
from filtergan.game.sharing import NEEDED
from filtergan.machine.runtime import sample
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.random_directions import random_directions
from filtergan.natural.recovering import FieldSearch
from filtergan.traversals.assessment import Points
from filtergan.walks.walk import walk

NATURAL = fg.NaturalConfig(
    latent=(3,), steps=4, null_steps=2, pairs=3, pair_images=2, grid=3, channels=4
)
GAME = games.config()
WALKS = fg.TraversalConfig(
    images=2,
    grid=3,
    measured_images=5,
    measured_points=3,
    group=2,
    repeat_images=4,
    repeat_points=2,
)


class Bytes(Dataset[tuple[Tensor, int]]):
    """Images of bytes with labels, as people keep them."""

    def __init__(self, images: Tensor) -> None:
        self.images = (255 * images).round().byte()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.images[i], 0


@pytest.fixture(scope="module")
def images() -> Tensor:
    pixels = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    return (255 * pixels).round() / 255


@pytest.fixture(scope="module")
def site() -> fg.Site:
    return games.site()


@pytest.fixture(scope="module")
def gan(site: fg.Site, images: Tensor) -> NaturalGAN:
    """Learned, then stirred so that it does something."""
    learned = fg.learn(site, images, NATURAL, 5, game=GAME)
    torch.manual_seed(3)
    assert learned.null is not None
    with torch.no_grad():
        for one in (learned, learned.null):
            for weight in one.transformer.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        learned.generator.directions.mul_(20)
    return learned


def weights(gan: NaturalGAN) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, part in gan._parts()
        for key, value in part.state_dict().items()
    }


# ------------------------------------------------------------------------------------------ learn


def test_learning_is_both_trainings(site: fg.Site, images: Tensor) -> None:
    learned = fg.learn(site, images, NATURAL, 5, game=GAME)
    by_hand = NaturalGAN.new(site, site.input(images), joint_config(GAME, NATURAL), 5)
    by_hand = fg.train_jointly(by_hand, images, 5)
    null = fg.train_jointly(random_directions(by_hand, images, 5), images, 5, fixed=True)
    assert learned.null is not None
    assert games.same(weights(learned), weights(by_hand))
    assert games.same(weights(learned.null), weights(null))


@pytest.mark.parametrize(
    "given",
    [
        lambda images: DataLoader(Bytes(images), batch_size=7, shuffle=True),
        Bytes,
        lambda images: TensorDataset(images, torch.zeros(len(images))),
        lambda images: images.numpy(),
    ],
    ids=["loader", "dataset", "tensors", "array"],
)
def test_it_takes_what_people_have(site: fg.Site, images: Tensor, given: Any) -> None:
    """The site, the training, traversals and measures: as from the tensor of the same images."""
    own = fg.Site(site.network, site.layer, given(images))
    assert own.image_shape == site.image_shape
    learned = fg.learn(own, given(images), NATURAL, 5, game=GAME)
    wanted = fg.learn(site, images, NATURAL, 5, game=GAME)
    assert games.same(weights(learned), weights(wanted))
    seen, known = (fg.traverse(learned, some, WALKS) for some in (given(images), images))
    assert torch.equal(seen.images, known.images)
    found, expected = (fg.measure(learned, some, WALKS) for some in (given(images), images))
    assert dict(found) == dict(expected)


def test_what_cannot_be_learned_from_is_refused(site: fg.Site, images: Tensor) -> None:
    with pytest.raises(UserError, match="31 training images; give the natural recipe at least 32"):
        fg.learn(site, images[:31], NATURAL, game=GAME)
    with pytest.raises(UserError, match=r"fg\.Domain\(mean, std\)"):
        fg.learn(site, (images - 0.5) / 0.2, NATURAL, game=GAME)
    with pytest.raises(UserError, match="begins with the real filters"):
        fg.learn(site, images, NATURAL.model_copy(update={"start": "paper"}), game=GAME)


def test_the_null_is_kept_with_it(gan: NaturalGAN, images: Tensor, tmp_path: Path) -> None:
    gan.save(tmp_path)
    again = NaturalGAN.load(tmp_path, gan.site.network)
    assert again.null is not None
    assert gan.null is not None
    assert games.same(weights(again), weights(gan))
    assert games.same(weights(again.null), weights(gan.null))
    gan.save_pretrained(tmp_path / "shared")
    shared = NaturalGAN.from_pretrained(tmp_path / "shared", network=gan.site.network)
    assert shared.null is not None
    assert games.same(weights(shared.null), weights(gan.null))
    names = {str(f.relative_to(tmp_path / "shared")) for f in (tmp_path / "shared").rglob("*.*")}
    assert set(filter_repo_objects(names, allow_patterns=NEEDED)) == names - {"README.md"}
    alone = NaturalGAN.load(tmp_path / "null", gan.site.network)
    assert alone.null is None
    with pytest.raises(UserError, match="has no null"):
        fg.measure(alone, images, WALKS)
    alone.save(tmp_path)
    assert NaturalGAN.load(tmp_path, gan.site.network).null is None


# ---------------------------------------------------------------------------------------- traverse


@pytest.fixture(scope="module")
def walked(gan: NaturalGAN, images: Tensor) -> fg.Traversal:
    return fg.traverse(gan, images, WALKS, 7)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_nothing_is_undone_in_the_centre(gan: NaturalGAN, images: Tensor, count: int) -> None:
    """Where filters stay, rounding changes responses, and undoing it would be told of."""
    config = WALKS.model_copy(update={"evaluations": 3})
    for inverter in (None, fg.PixelSearch.measured(images, config)):
        found = fg.traverse(gan, images[:count], WALKS, 7, inverter=inverter)
        half = WALKS.grid // 2
        assert found.compensation[:, half, half].isnan().all()
        assert found.null[:, half, half].isnan().all()
        assert int(found.compensation.isnan().sum()) == len(found.x)


def residual(gan: NaturalGAN, x: Tensor, x_k: Tensor, z: Tensor, z_k: Tensor) -> float:
    """Of one image, by the formula of eq. 6."""
    profile = gan.site.respond(gan.site.input(x[None]), gan.draw(z[None]))
    moved = gan.site.respond(gan.site.input(x_k[None]), gan.draw(z_k[None]))
    return float((moved - profile).square().sum() / profile.square().sum())


def test_a_traversal_is_t_on_grids(gan: NaturalGAN, images: Tensor, walked: fg.Traversal) -> None:
    assert walked.offsets.tolist() == [-3.0, 0.0, 3.0]
    assert torch.equal(walked.x, images[:2])
    assert gan.null is not None
    zero = torch.zeros(3)
    for n, row, column in torch.cartesian_prod(*[torch.arange(k) for k in (2, 3, 3)]).tolist():
        z_k = torch.zeros(3)
        z_k[walked.dims[n, 0]] += walked.offsets[row]
        z_k[walked.dims[n, 1]] += walked.offsets[column]
        at, x = (n, row, column), images[n]
        assert torch.equal(walked.latents[at], z_k)
        x_k = gan.transform(x[None], zero[None], z_k[None])[0]
        torch.testing.assert_close(walked.images[at], x_k)
        before, after = (residual(gan, x, one, zero, z_k) for one in (x, x_k))
        assert float(walked.before[at]) == pytest.approx(before, rel=1e-4, abs=1e-6)
        assert float(walked.after[at]) == pytest.approx(after, rel=1e-4, abs=1e-6)
        labels = [int(gan.site.network(one[None]).argmax()) for one in (x, x_k)]
        assert bool(walked.kept[at]) == (labels[0] == labels[1])
        if (row, column) != (1, 1):
            assert float(walked.compensation[at]) == pytest.approx(1 - after / before, rel=1e-3)
            other = gan.null.transform(x[None], zero[None], z_k[None])[0]
            before, after = (residual(gan.null, x, one, zero, z_k) for one in (x, other))
            assert float(walked.null[at]) == pytest.approx(1 - after / before, rel=1e-3)
    assert bool(walked.compensation[:, 1, 1].isnan().all())


def test_its_numbers_as_a_table(walked: fg.Traversal) -> None:
    frame = walked.to_dataframe()
    assert len(frame) == 2 * 9
    one = frame.iloc[9 + 2 * 3 + 1]  # of the second image, third row, second column
    assert one["image"] == 1
    assert [one[f"z{i}"] for i in range(3)] == walked.latents[1, 2, 1].tolist()
    for name, values in (
        ("profile_residual_before", walked.before),
        ("profile_residual_after", walked.after),
        ("compensation", walked.compensation),
        ("compensation_null", walked.null),
        ("image_change", walked.image_change),
        ("labels_kept", walked.kept),
    ):
        assert one[name] == values[1, 2, 1].item(), name
    want = (walked.images[1, 2, 1] - walked.x[1]).norm() / walked.x[1].norm()
    assert one["image_change"] == pytest.approx(float(want))


def test_it_is_kept_and_shown(walked: fg.Traversal, tmp_path: Path) -> None:
    walked.save(tmp_path / "walk.safetensors")
    again = fg.Traversal.load(str(tmp_path / "walk.safetensors"))
    exact = {"rtol": 0, "atol": 0, "equal_nan": True}
    torch.testing.assert_close(again._tensors(), walked._tensors(), **exact)
    assert (again.name, repr(again)) == (walked.name, repr(walked))
    assert repr(walked).startswith(
        "Traversal('2@activation/natural': 2 images on grids of 3x3, undone "
    )
    head, content = walked._repr_html_().split("base64,")
    assert head == '<img src="data:image/png;'
    png = base64.b64decode(content.partition('"')[0])
    assert Image.open(io.BytesIO(png)).format == "PNG"
    assert "alt=" in content
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    for name, told in (("other", "holds no traversal"), ("none", "cannot be read")):
        with pytest.raises(UserError, match=told):
            fg.Traversal.load(tmp_path / name)


def test_traversals_of_the_papers_generator_are_searched(site: fg.Site, images: Tensor) -> None:
    paper = fg.FilterGAN.new(site, site.input(images), GAME, 7)
    with pytest.raises(UserError, match="name what searches them"):
        fg.traverse(paper, images, WALKS)
    config = WALKS.model_copy(update={"dims": (0, 2), "evaluations": 3})
    search = fg.PixelSearch.measured(images, config)
    found = fg.traverse(paper, images, config, 7, inverter=search)
    z = paper.latents(2, 7, "shown")
    grids = torch.stack([fg.latent_grid(one, (0, 2), found.offsets) for one in z])
    known = fg.walk_grid(paper, search, images[:2], z, grids)
    assert torch.equal(found.images.flatten(0, 2), known.images)
    assert repr(found).endswith(f"undone {found._reached.partition(' ')[2]})")
    assert "null" not in repr(found)
    assert bool(found.to_dataframe()["compensation_null"].isna().all())


def test_latents_and_labels_that_are_not_there(gan: NaturalGAN, images: Tensor) -> None:
    with pytest.raises(UserError, match="z has 3, numbered from 0"):
        fg.traverse(gan, images, WALKS.model_copy(update={"dims": (0, 3)}))
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    own = fg.Site(network, "0", images)
    maps = fg.learn(own, images, NATURAL, game=GAME)
    with pytest.raises(UserError, match=r"puts out \[2, 4, 4\] for an image, not a logit"):
        fg.traverse(maps, images, WALKS)


# ---------------------------------------------------------------------------------------- measure


def test_images_belong_to_groups_in_turn(gan: NaturalGAN) -> None:
    points = Points.drawn(gan, 5, WALKS, 9)
    assert points.groups.tolist() == [0, 1, 2, 0, 1]
    assert points.turns.tolist() == [0, 0, 0, 1, 1]
    for values in (points.z, points.targets):
        assert torch.equal(values[:2], values[3:])
        assert len(values.unique(dim=0)) == 3
    assert Points.drawn(gan, 2, WALKS, 9).groups.tolist() == [0, 1]  # intervals need two


@pytest.fixture(scope="module")
def measured(gan: NaturalGAN, images: Tensor) -> fg.Measures:
    return fg.measure(gan, images[:5], WALKS, 9, resamples=200)


def test_measures_are_those_of_a_loop(
    gan: NaturalGAN, images: Tensor, measured: fg.Measures
) -> None:
    x = images[:5][sample(5, 5, 9, "measured images")]
    points = Points.drawn(gan, 5, WALKS.model_copy(update={"group": 1}), 9)
    assert gan.null is not None
    for one, key in ((gan, "value"), (gan.null, "null")):
        undone, change, kept = [], [], []
        for n in range(5):
            for z_k in points.targets[n]:
                z = points.z[n]
                x_k = one.transform(x[n, None], z[None], z_k[None])[0]
                before, after = (residual(one, x[n], some, z, z_k) for some in (x[n], x_k))
                undone.append(1 - after / before)
                change.append(float((x_k - x[n]).norm() / x[n].norm()))
                labels = [int(one.site.network(some[None]).argmax()) for some in (x[n], x_k)]
                kept.append(labels[0] == labels[1])
        tell = {name: getattr(measured[name], key) for name in measured}
        assert tell["compensation"] == pytest.approx(sum(undone) / 15, rel=1e-3)
        assert tell["image_change"] == pytest.approx(sorted(change)[7], rel=1e-3)
        assert tell["labels_kept"] == pytest.approx(sum(kept) / 15)
        some = (x[:4], points.z[:4], points.targets[:4, :2])
        search = walk(one, FieldSearch(one.transformer.space), *some)
        best = float((1 - search.after / search.before).quantile(0.5))
        assert tell["search_compensation"] == pytest.approx(best, rel=1e-3, abs=1e-5)
    assert measured["compensation_null"].value == measured["compensation"].null
    assert measured["compensation"].n == 5
    assert measured["repeatability"].n == 4
    assert measured["independent_image_changes"].n == 5


def test_measures_as_a_table(measured: fg.Measures, tmp_path: Path) -> None:
    frame = measured.to_dataframe()
    assert list(frame.index) == list(measured)
    for name, one in measured.items():
        row = frame.loc[name]
        assert [row["value"], row["low"], row["high"], row["n"]] == [one.value, *one.ci95, one.n]
        assert row["null"] == one.null or (one.null is None and pandas.isna(row["null"]))
        assert row["meaning"]
    assert list(frame.index)[:3] == [
        "profile_residual_before",
        "profile_residual_after",
        "compensation",
    ]
    page = measured._repr_html_()
    assert all(f">{name}</span>" in page for name in measured)
    assert repr(measured).startswith(
        f"Measures('2@activation/natural': {len(measured)} measures, compensation "
    )
    measured.save(tmp_path / "measures.json")
    again = fg.Measures.load(str(tmp_path / "measures.json"))
    assert dict(again) == dict(measured)
    assert again.name == measured.name
    (tmp_path / "other.json").write_text('{"measures": 3}')
    for name in ("other.json", "none.json"):
        with pytest.raises(UserError, match=r"holds no measures|cannot be read"):
            fg.Measures.load(tmp_path / name)


def test_intervals_need_two_images(gan: NaturalGAN, images: Tensor) -> None:
    with pytest.raises(UserError, match="at least two"):
        fg.measure(gan, images[:1], WALKS)
