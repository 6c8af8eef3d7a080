"""What Python's users expect of the public names: listing, paths, their own data, a line each."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import filtergan as fg
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import MeasureConfig, StudyConfig
from filtergan.machine.storage import DiskTensor, Rows, RowsLike, rows_of

ALONE = """
import sys
before = set(sys.modules)
import filtergan
listed = dir(filtergan)
mine = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(mine - set(sys.stdlib_module_names)))
print(*listed)
"""
PLOTS = """
import sys
import filtergan
names = dir(filtergan.plot)
print(len(names), "torch" in sys.modules, "matplotlib" in sys.modules)
"""


def test_the_import_brings_nothing_with_it() -> None:
    """Neither torch nor anything else; nor does a look at the names."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    brought, listed = done.stdout.splitlines()
    assert brought == "filtergan"
    assert listed.split() == sorted(fg.__all__)
    assert "train" in dir(fg)


def test_nothing_is_imported_before_a_figure_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", PLOTS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(fg.plot.__all__)), "False", "False"]


# ------------------------------------------------------------------------------ data of one's own


class Pairs(Dataset[tuple[Any, int]]):
    """Images with labels, as torchvision gives them."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.images[i], i % 3


class Alone(Pairs):
    def __getitem__(self, i: int) -> Any:
        return self.images[i]


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        yield torch.zeros(3)


IMAGES = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 3
GIVEN: dict[str, Callable[[], RowsLike]] = {
    "array": lambda: IMAGES.numpy(),
    "tensors": lambda: TensorDataset(IMAGES, LABELS),
    "pairs": lambda: Pairs(IMAGES),
    "alone": lambda: Alone(IMAGES),
    "arrays": lambda: Alone(IMAGES.numpy()),
    "loader": lambda: DataLoader(Pairs(IMAGES), batch_size=7),
    "shuffled": lambda: DataLoader(TensorDataset(IMAGES, LABELS), batch_size=7, shuffle=True),
    "subset": lambda: torch.utils.data.Subset(Pairs(IMAGES.flip(0)), range(19, -1, -1)),
}


@pytest.mark.parametrize("name", GIVEN)
def test_rows_of_what_people_have(name: str) -> None:
    rows = rows_of(GIVEN[name]())
    assert isinstance(rows, Rows)
    assert (len(rows), tuple(rows.shape), rows.dtype) == (20, (20, 1, 6, 6), IMAGES.dtype)
    for index in (slice(None), slice(3, 9), slice(5, 5), torch.tensor([7, 0, 7])):
        assert torch.equal(rows[index], IMAGES[index])


def test_rows_stay_as_they_are() -> None:
    kept = DiskTensor((3, 2), torch.float32, "A test")
    for rows in (IMAGES, kept, rows_of(Pairs(IMAGES))):
        assert rows_of(rows) is rows


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Endless(), "A Endless cannot be asked for some of its rows; give a tensor"),
        (DataLoader(Endless()), "A Endless cannot be asked for some of its rows"),
        (Pairs([]), "The Pairs is empty"),
        (Pairs(["cat.png"]), "items of the Pairs are no tensors but str; let it give tensors"),
        (Pairs([torch.zeros(2), torch.zeros(3)]), r"different shapes \(\[2\], \[3\]\)"),
    ],
    ids=["endless", "endless loader", "empty", "no tensors", "shapes"],
)
def test_what_has_no_rows_is_refused_in_a_sentence(given: RowsLike, told: str) -> None:
    with pytest.raises(fg.UserError, match=told) as e:
        _ = rows_of(given)[:]
    assert e.value.exit_code == 2


def fitted(images: RowsLike, labels: Tensor | None) -> Tensor:
    """The weights of a linear network after two epochs."""
    torch.manual_seed(1)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    fg.fit(linear, linear.parameters(), images, labels, epochs=2, batch=8)
    return torch.cat([p.detach().flatten() for p in linear.parameters()])


LABELLED: dict[str, Callable[[], RowsLike]] = {
    **{name: GIVEN[name] for name in ("tensors", "pairs", "loader", "shuffled")},
    "arrays": lambda: Pairs(IMAGES.numpy()),
    "small": lambda: TensorDataset(IMAGES, LABELS.to(torch.uint8)),
    "lists": lambda: Alone([[x, y] for x, y in zip(IMAGES, LABELS, strict=True)]),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_those_of_the_pairs(name: str) -> None:
    assert torch.equal(fitted(LABELLED[name](), None), fitted(IMAGES, LABELS))
    others = (LABELS + 1) % 3
    assert torch.equal(fitted(LABELLED[name](), others), fitted(IMAGES, others))


@pytest.mark.parametrize(
    ("given", "labels", "told"),
    [
        (IMAGES, None, "A Tensor has no labels of its own; give them beside it, or give a torch"),
        (IMAGES.numpy(), None, "A Tensor has no labels of its own"),
        (TensorDataset(IMAGES), None, "A Tensor has no labels of its own"),
        (DataLoader(Alone(IMAGES)), None, "The items of the Alone have no labels; let it give"),
        (Alone([(torch.zeros(2), 0.5)]), None, "have labels that are float; let it give"),
        (TensorDataset(IMAGES, IMAGES), None, r"labels are torch.float32 \[20, 1, 6, 6\]; let"),
        (Endless(), None, "A Endless cannot be asked for some of its rows"),
        (IMAGES, LABELS[:19], "There are 20 inputs and 19 labels; give one each"),
        (IMAGES[:0], LABELS[:0], "There are no inputs to learn from"),
    ],
)
def test_what_has_no_labels_is_refused_in_a_sentence(
    given: RowsLike, labels: Tensor | None, told: str
) -> None:
    with pytest.raises(fg.UserError, match=told) as e:
        fitted(given, labels)
    assert e.value.exit_code == 2


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ).requires_grad_(False)


@pytest.fixture
def site(network: nn.Module) -> fg.Site:
    return fg.Site(network, "0", IMAGES[:2])


CONFIG = fg.GanConfig(latent=3, hidden=8, discriminator_channels=4, steps=6, batch=4)


@pytest.mark.parametrize("name", GIVEN)
def test_public_functions_take_them(site: fg.Site, name: str) -> None:
    """And compute what they compute from tensors."""
    network, given = site.network, GIVEN[name]
    assert torch.equal(fg.predict(network, given()), fg.predict(network, IMAGES))

    assert torch.equal(fitted(given(), LABELS), fitted(IMAGES, LABELS))

    prior = fg.NaturalImagePrior.measured
    assert prior(given(), 0.1, 0.2) == prior(IMAGES, 0.1, 0.2)

    computed = fg.SiteInputs(site, given(), batch=8)
    assert torch.equal(computed[:], site.input(IMAGES))
    trained = fg.train(site, computed, CONFIG)
    assert torch.equal(trained.draw(2), fg.train(site, site.input(IMAGES), CONFIG).draw(2))

    def retrained(images: RowsLike) -> Tensor:
        config = MeasureConfig(retrain_epochs=1)
        where = torch.device("cpu")
        draws = trained.draw(2)
        return fg.retrain(site, draws, (images, LABELS), images, config, seed=0, device=where)

    assert torch.equal(retrained(given()), retrained(IMAGES))


def test_site_inputs_from_a_loader(site: fg.Site) -> None:
    """Where the site is the first layer, its inputs are the images themselves."""
    loader = DataLoader(Pairs(IMAGES), batch_size=5, shuffle=True)
    want = fg.train(site, IMAGES, CONFIG)
    assert torch.equal(fg.train(site, loader, CONFIG).draw(2), want.draw(2))


# ------------------------------------------------------------------------------------------ paths


def test_paths_may_be_strings(
    site: fg.Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gan = fg.train(site, IMAGES, CONFIG, checkpoint="game.safetensors")
    assert Path("game.safetensors").is_file()
    gan.save("g")
    assert torch.equal(fg.FilterGAN.load("g", site.network).draw(2), gan.draw(2))
    values = fg.tiny().model_dump() | {"layer": ("conv1",), "threads": torch.get_num_threads()}
    config = StudyConfig.model_validate(values | {"dataset": {"train_limit": 40}})
    run = fg.run_study(config, "runs/x", until="train-cnn")
    assert run.path == Path("runs/x")
    assert repr(run) == "RunDirectory('runs/x', running)"
    assert fg.open_run("runs/x").sites == ("conv1@activation",)
    with pytest.raises(fg.UserError, match="no folder 'images'"):
        fg.load_dataset("images")
    with pytest.raises(fg.UserError, match="no folder"):
        fg.load_dataset(tmp_path / "images")


# -------------------------------------------------------------------------------------- in a line


def test_objects_tell_of_themselves_in_a_line(
    site: fg.Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = fg.load_dataset("digits", DatasetConfig(train_limit=30, test_limit=20))
    gan = fg.FilterGAN.new(site, IMAGES, CONFIG, 0)
    prior = fg.NaturalImagePrior.measured(IMAGES, 0.001, 0.002)
    z = gan.latents(2)
    search = fg.PixelSearch(prior, fg.TraversalConfig())
    found = fg.walk(gan, search, IMAGES[:2], z, fg.points_around(z, 3, 2.0, 1))
    lines = {
        repr(site): "Site('0' of Sequential, activation, 4x1x3x3)",
        repr(gan): "FilterGAN(Site('0' of Sequential, activation, 4x1x3x3), latent 3)",
        repr(data.test): "Split(20 images of 1x8x8)",
        repr(data): "Dataset('digits': train Split(30 images of 1x8x8), "
        "test Split(20 images of 1x8x8), 10 classes)",
        repr(prior): f"NaturalImagePrior(norm {prior.norm:.3g} by 0.001, "
        f"variation {prior.variation:.3g} by 0.002)",
        repr(found): f"Inversion(6 images of 1x6x6, residual {float(found.before.mean()):.3g} -> "
        f"{float(found.after.mean()):.3g})",
    }
    for line, want in lines.items():
        assert line == want
        assert "\n" not in line
        assert "tensor" not in line
