"""Everything public shows an example in its help, which runs as it is printed."""

import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import FunctionType

import pytest
import torch
from commands import quickly
from configs import micro
from huggingface_hub import ModelHubMixin
from shown_help import assert_example_runs

import filtergan as fg
from filtergan import study
from filtergan.images.splits import Dataset, Split
from filtergan.study.opened import OpenedRun
from filtergan.study.site_traversals import Traversals
from filtergan.walks.inverter import Inversion

NAMED = {name: getattr(fg, name) for name in fg.__all__}
RETURNED = (Dataset, Split, OpenedRun, Traversals, Inversion)
"""What public functions return, and what that has."""
OURS = (FunctionType, classmethod, staticmethod, property, cached_property)
"""Kinds of what a class defines and its users may call or read."""


def helps() -> dict[str, str | None]:
    """Help by name: of the package, what it names, what that returns, and all that these define."""
    classes = [one for one in NAMED.values() if inspect.isclass(one)] + list(RETURNED)
    found: dict[str, str | None] = {"filtergan": fg.__doc__}
    found |= {name: one.__doc__ for name, one in NAMED.items()}
    found |= {one.__name__: one.__doc__ for one in RETURNED}
    return found | {name: text for one in classes for name, text in defined(one)}


def defined(kind: type) -> Iterator[tuple[str, str | None]]:
    """Name and help of what a class has that is public and defined in this package."""
    for name in dir(kind):
        owner = next((base for base in kind.__mro__ if name in vars(base)), object)
        value = inspect.getattr_static(kind, name)
        ours = owner.__module__.partition(".")[0] == "filtergan" and isinstance(value, OURS)
        if ours and not name.startswith("_"):
            yield f"{owner.__name__}.{name}", value.__doc__


HELPS = helps()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a generator that was handed on, and what was found of it."""
    folder, images = tmp_path_factory.mktemp("kept"), torch.rand(32, 1, 8, 8)
    with quickly():
        config = micro(layer=("conv2@activation/natural",), judges={"epochs": 1})
        study.run(config, folder / "runs" / "digits", until="measure")
    site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
    gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
    gan.save_pretrained(folder / "digits-conv2", license="mit")
    fg.traverse(gan, images[:2], fg.TraversalConfig(grid=3)).save(folder / "walk.safetensors")
    found = fg.measure(gan, images, fg.tiny().traversal, resamples=100)
    found.save(folder / "measures.json")
    ceilings = fg.ceilings_of(site, images, images, ["brightness"])
    ceilings.save(folder / "ceilings.safetensors")
    spectrum = fg.spectrum_of(site, images, images, kinds=("gain",), grid=2, directions=2)
    spectrum.save(folder / "spectrum.safetensors")
    return folder


@pytest.mark.parametrize("name", HELPS)
def test_the_example_of_its_help_runs(
    name: str, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(kept)
    monkeypatch.setattr(ModelHubMixin, "push_to_hub", lambda self, name, **_: f"there/{name}")
    assert_example_runs(HELPS[name], name, capsys)


def test_what_is_public_is_found() -> None:
    """Of a class itself, of one above it, of what is returned; nothing of other packages."""
    wanted = {"Site.respond", "Shared.push_to_hub", "Tabled.save", "OpenedRun.dataset"}
    assert wanted <= set(HELPS)
    assert not any(name.startswith(("Module.", "BaseModel.", "Mapping.")) for name in HELPS)
