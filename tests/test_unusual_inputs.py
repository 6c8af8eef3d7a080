"""What users have and do that examples do not show: kinds of numbers, modes, nothing at all."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from movable import PAPER, images, network
from torch import Tensor, nn

import filtergan as fg
from filtergan import cli
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.traversal_fields import TraversalConfig
from filtergan.errors import UserError
from filtergan.images.domain import as_pixels
from filtergan.images.image_fields import _gaussian, spreading
from filtergan.measures.statistics import interval, two_way_interval
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.recovering import FieldSearch, Transformation

DATA = images(1, 8)
X = DATA.test.pixels()
SHORT = TraversalConfig(
    measured_images=4, measured_points=2, repeat_images=2, repeat_points=2, images=2, grid=3
)


@pytest.fixture(scope="module")
def trained() -> NaturalGAN:
    site = fg.Site(network(PAPER, DATA), "conv2", X)
    return fg.learn(site, X, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))


@pytest.mark.parametrize("domain", [fg.Domain(), fg.Domain(0.1307, 0.3081)])
def test_bytes_are_the_pixels_that_they_stand_for(domain: fg.Domain) -> None:
    taken = fg.Classifier(network(PAPER, DATA).network, domain)
    raw = DATA.test.images[:4]
    torch.testing.assert_close(taken(raw), taken(raw.float() / 255))
    site = fg.Site(taken, "conv2", raw)
    torch.testing.assert_close(site.input(raw), site.input(raw.float() / 255))


def test_augmentation_computes_in_its_own_kind_of_number(trained: NaturalGAN) -> None:
    augment = fg.InvarianceAugment(trained, generator=torch.Generator().manual_seed(0))
    again = fg.InvarianceAugment(trained, generator=torch.Generator().manual_seed(0))
    found = again(X.double())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), augment(X))
    precise = copy.deepcopy(fg.InvarianceAugment(trained)).double()
    assert precise(X.double()).dtype == torch.float64


def test_of_no_images_augmentation_makes_none(trained: NaturalGAN) -> None:
    augment = fg.InvarianceAugment(trained)
    assert augment(X[:0]).shape == X[:0].shape
    nothing, labels = augment(X[:0], torch.empty(0))
    assert len(nothing) == len(labels) == 0


def test_inputs_that_the_network_cannot_take_are_refused(trained: NaturalGAN) -> None:
    site, told = (
        trained.site,
        r"fails on inputs of [\dx]+; the site was made with some of 1x8x8: \w+",
    )
    colour, short = torch.rand(40, 3, 8, 8), CeilingConfig(steps=1)
    for asked in (
        lambda: site.input(torch.rand(40, 64)),
        lambda: site.input(torch.rand(40, 8, 8)),
        lambda: site.output(colour),
        lambda: fg.ceilings_of(site, colour, colour, ["brightness"], short),
        lambda: fg.learn(site, colour, fg.NaturalConfig(latent=(3,), steps=1, null_steps=1)),
    ):
        with pytest.raises(UserError, match=told):
            asked()


def test_images_of_another_size_than_the_transformer_s_are_refused(trained: NaturalGAN) -> None:
    larger = torch.rand(40, 1, 12, 12)
    assert len(trained.site.input(larger)) == 40  # which convolutions can take
    with pytest.raises(UserError, match="fails on inputs of 1x12x12"):
        trained.site.output(larger)
    z, z_k = trained.latents(40, 1), trained.latents(40, 2)
    for moved in (
        lambda: trained.transform(larger, z, z_k),
        lambda: fg.InvarianceAugment(trained)(larger),
        lambda: fg.learn(trained.site, larger, fg.NaturalConfig(latent=(3,), steps=1)),
    ):
        with pytest.raises(UserError, match="x1x12x12, but the transformer"):
            moved()


def test_where_images_are_needed_none_are_refused(trained: NaturalGAN) -> None:
    with pytest.raises(UserError, match="There are no images"):
        as_pixels(X[:0])
    with pytest.raises(UserError, match="There are no images"):
        fg.traverse(trained, X[:0], SHORT)


def test_what_needs_gradients_switches_them_on(trained: NaturalGAN) -> None:
    config = CeilingConfig(train_images=20, test_images=10, steps=2, batch=4)
    with torch.no_grad():
        outside = fg.measure(trained, X, SHORT, resamples=10)
        fg.ceilings_of(trained.site, X, X, ["brightness"], config)
        fg.learn(trained.site, X, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        fg.train(trained.site, trained.site.input(X), fg.GanConfig(latent=3, steps=2))
        prior = fg.NaturalImagePrior.measured(X, 0.001, 0.001)
        search = fg.PixelSearch(prior, TraversalConfig(evaluations=2))
        fg.traverse(trained, X[:1], SHORT, inverter=search)
        assert not torch.is_grad_enabled()
    assert outside["compensation"] == fg.measure(trained, X, SHORT, resamples=10)["compensation"]


def test_what_is_kept_from_inference_serves_training() -> None:
    spreading.cache_clear()
    _gaussian.cache_clear()
    with torch.inference_mode():
        kept = [spreading(8, 3), _gaussian(8, 1.0)]
    for matrix in kept:
        weights = torch.ones(matrix.shape[1], requires_grad=True)
        (matrix @ weights).sum().backward()
        assert weights.grad is not None


def test_the_batch_that_is_chosen_is_the_batch(
    trained: NaturalGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    for kind in (Transformation, FieldSearch):
        own = kind.__call__

        def spied(self: object, points: object, tick: object, own: object = own) -> object:
            sizes.append(len(points.images))  # type: ignore
            return own(self, points, tick)  # type: ignore

        monkeypatch.setattr(kind, "__call__", spied)
    one = SHORT.model_copy(update={"batch": 3})
    few = fg.measure(trained, X, one, resamples=10)
    assert max(sizes) == 3
    sizes.clear()
    fg.traverse(trained, X, one)
    assert max(sizes) == 9  # a ring of a grid is not divided
    many = fg.measure(trained, X, SHORT, resamples=10)
    assert few["compensation"].value == pytest.approx(many["compensation"].value, abs=1e-4)


def test_numbers_of_any_integer_kind_are_labels() -> None:
    given = DATA.train.images[:20], DATA.train.labels[:20]
    ways = (
        given[1],
        given[1].int(),
        given[1].numpy().astype(np.uint8),
        given[1].numpy()[::-1].copy()[::-1],
    )
    found = []
    for labels in ways:
        one = network(PAPER, DATA).requires_grad_(True)
        fg.fit(one, one.parameters(), given[0], labels, epochs=1)
        found.append(fg.predict(one, given[0]))
    for other in found[1:]:
        assert torch.equal(found[0], other)
    one = network(PAPER, DATA).requires_grad_(True)
    with pytest.raises(UserError, match="whole numbers"):
        fg.fit(one, one.parameters(), given[0], given[1].float(), epochs=1)


def test_what_is_frozen_cannot_be_trained() -> None:
    frozen = network(PAPER, DATA).requires_grad_(False)
    with pytest.raises(UserError, match="frozen"):
        fg.fit(frozen, frozen.parameters(), DATA.train.images, DATA.train.labels, epochs=1)


def test_networks_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    one = network(PAPER, DATA)
    moves: list[object] = []
    own = nn.Module.to
    monkeypatch.setattr(nn.Module, "to", lambda self, *to: moves.append(to) or own(self, *to))
    fg.predict(one, X)
    assert moves == []
    fg.predict(one, X, device="cpu")
    assert moves == [("cpu",)]


def test_seeds_below_nothing_are_seeds_too() -> None:
    values: Tensor = torch.rand(20, generator=torch.Generator().manual_seed(0))
    low, high = interval(values, resamples=50, seed=-1)
    assert low < float(values.mean()) < high
    assert two_way_interval(values.view(4, 5), resamples=50, seed=-1)[0] < high


def test_a_study_ends_with_a_stage_that_there_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no stage 'typo'; there are train-cnn, "):
        fg.run_study(fg.tiny(), tmp_path / "run", until="typo")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("command", "further"), [("study", True), ("layers", False)])
def test_what_cannot_be_resumed_does_not_say_so(
    command: str, further: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(argv: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("filtergan.cli.command._run", stopped)
    assert cli.main([command, "digits"]) == 130
    assert ("--resume" in capsys.readouterr().err) is further


def test_ceilings_of_ones_own_network_are_found_by_one_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = ["--model", "filtergan:PaperCNN", "--data", "digits", "--layer", "conv1"]
    assert cli.main(["ceilings", *model, "--processes", "2"]) == 2
    assert "one process" in capsys.readouterr().err
