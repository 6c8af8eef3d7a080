"""Every public name's help shows an example, which runs as it is printed."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelHubMixin
from shown_help import assert_example_runs

import filtergan as fg

METHODS = (
    *(fg.FilterGAN.save_pretrained, fg.FilterGAN.from_pretrained, fg.FilterGAN.push_to_hub),
    *(fg.FilterGAN.latents, fg.FilterGAN.draw, fg.FilterGAN.save, fg.FilterGAN.load),
    *(fg.Traversal.plot, fg.Traversal.to_dataframe, fg.Traversal.save, fg.Traversal.load),
    *(fg.Measures.to_dataframe, fg.Measures.save, fg.Measures.load),
    *(fg.Ceilings.to_dataframe, fg.Ceilings.save, fg.Ceilings.load),
    *(fg.Spectrum.save, fg.Spectrum.load),
)
"""Those that docs/python.md and docs/sharing.md use."""


@pytest.mark.parametrize("name", fg.__all__)
def test_the_example_of_its_help_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_example_runs(getattr(fg, name).__doc__, name, capsys)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a generator that was handed on, and with what was found of it."""
    folder, images = tmp_path_factory.mktemp("kept"), torch.rand(32, 1, 8, 8)
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


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__qualname__)
def test_the_example_of_a_method_runs(
    method: object, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(kept)
    monkeypatch.setattr(ModelHubMixin, "push_to_hub", lambda self, name, **_: f"there/{name}")
    assert_example_runs(method.__doc__, str(method), capsys)
