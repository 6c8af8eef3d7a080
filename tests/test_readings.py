"""Layers read at several depths: what a reading is, and studies of several."""

from pathlib import Path

import pytest
import torch
from configs import micro
from networks import SHAPE, images, in_disorder, make, traces
from records import begun
from torch import Tensor, nn

import filtergan as fg
from filtergan import cli, study
from filtergan.ablations import outcome
from filtergan.ablations.variants import varied
from filtergan.classifiers.networks import PaperCNN, ResNet
from filtergan.config.fields import CnnConfig, StudyConfig
from filtergan.config.parsing import dump
from filtergan.errors import UserError
from filtergan.machine import runtime
from filtergan.runs.record import MeasureRecord, Record, SiteRecord
from filtergan.sites.site import Site
from filtergan.sites.tracing import behind
from filtergan.study.layers import layers
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_filters import RETRAINED, not_measured
from filtergan.study.selection import in_order

DEEP = CnnConfig(channels=(6, 6, 6, 6, 6), pool_after=(1,), epochs=1, batch=25)


def paper() -> nn.Module:
    return PaperCNN(DEEP, (1, 8, 8), 3).eval()


def residual() -> nn.Module:
    config = CnnConfig(architecture="resnet", channels=(4, 6), blocks=1)
    return ResNet(config, (1, 8, 8), 3).eval()


def nameless() -> nn.Module:
    """A sequence of sequences, with one activation used twice."""
    relu = nn.ReLU()
    second = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.GELU())
    third = nn.Sequential(nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4), relu)
    head = (nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(nn.Conv2d(1, 4, 3), relu, second, third, *head).eval()


class Around(nn.Module):
    """What follows the first convolution goes two ways, and both meet again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.short = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.long = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.fc(self.norm(self.short(x) + self.long(x)).mean((2, 3)))


# ---------------------------------------------------------------------------------------- depths


@pytest.mark.parametrize(
    ("network", "layer", "depth", "module"),
    [
        (paper, "conv1", "+1", "bn2"),  # its ReLU is a function
        (paper, "conv1", "+4", "bn5"),
        (paper, "conv4", "+1", "bn5"),
        (residual, "conv", "+1", "stage1.0.bn1"),
        (residual, "conv", "+2", "stage1.0.bn2"),
        (residual, "conv", "+3", "stage2.0.bn1"),
        (residual, "stage2.0.conv1", "+1", "stage2.0.bn2"),
        (nameless, "0", "+1", "2.2"),
        (nameless, "0", "+2", "3.1"),  # the activation behind it is one used twice
        (nameless, "2.0", "+1", "3.1"),
        (Around, "first", "+1", "short"),
        (Around, "first", "+2", "long.1"),
    ],
)
def test_a_depth_is_the_end_of_a_later_convolution(
    network: type[nn.Module], layer: str, depth: str, module: str
) -> None:
    whole = network().eval()
    site = Site(whole, layer, images(2), depth)
    assert (site.point, site.name) == (module, f"{layer}@{module}")
    x, seen = images(3, seed=1), list[Tensor]()
    whole.get_submodule(module).register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    whole(x)
    torch.testing.assert_close(site.respond(site.input(x)), seen[0])
    assert fg.Site(whole, layer, images(2), module).point == module


@pytest.mark.parametrize(
    ("network", "layer", "depth", "there"),
    [
        (paper, "conv4", "+2", "conv, activation, bn4, conv5, bn5, fc"),
        (residual, "stage2.0.conv1", "+2", "conv, activation, stage2.0.bn1, .*, stage2.0.bn2"),
        (residual, "stage2.0.conv2", "+1", "conv, activation, stage2.0.bn2"),
        (nameless, "3.0", "+1", "conv, activation, 3.1, 4, 5"),
        (Around, "long.0", "+2", "conv, activation, long.1"),
    ],
)
def test_a_depth_that_is_not_there_names_the_readings_that_are(
    network: type[nn.Module], layer: str, depth: str, there: str
) -> None:
    with pytest.raises(UserError, match=rf"response point \{depth} .* read it at {there}\.$"):
        Site(network().eval(), layer, images(2), depth)


def test_an_unreachable_module_names_the_readings_that_are_there() -> None:
    with pytest.raises(UserError, match="read it at conv, activation, bn4, conv5, bn5, fc"):
        Site(paper(), "conv4", images(2), "conv3")
    with pytest.raises(UserError, match=r"read it at conv, activation\.$"):
        Site(make("untraceable"), "conv1", images(2), "+1")


def test_what_cannot_be_pooled_is_studied_without_that() -> None:
    """Two ways meet behind the site, and a module is read that lies beyond it."""
    for layer, point, why in (("stage2.0.conv1", "stage2.0.bn2", "beyond"), ("conv", "conv", "")):
        site = Site(residual(), layer, images(2), point)
        gan = fg.FilterGAN.new(site, site.input(images(4)), fg.GanConfig(latent=2), seed=0)
        told = not_measured(gan, fg.MeasureConfig()).get(RETRAINED, "")
        assert bool(told) == bool(why)
        assert why in told


def test_no_more_draws_are_pooled_than_there_are() -> None:
    site = Site(paper(), "conv4", images(2))
    gan = fg.FilterGAN.new(site, site.input(images(4)), fg.GanConfig(latent=2), seed=0)
    config = fg.MeasureConfig(draws=5, pooled_sizes=(1, 5, 10, 20))
    told = {"pooled_accuracy_k10, pooled_accuracy_k20": "there are but 5 draws"}
    assert not_measured(gan, config) == told


def test_all_readings_that_are_named_can_be_reached() -> None:
    for network in (paper(), residual(), nameless(), Around().eval()):
        first = next(name for name, m in network.named_modules() if isinstance(m, nn.Conv2d))
        found = behind(network, SHAPE, first)
        assert found
        for name, _ in found:
            Site(network, first, images(2), name)


def test_a_layer_may_be_called_as_what_fx_has_itself() -> None:
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(1, 4, 3))
    network.add_module("code", nn.Conv2d(4, 5, 3))
    network.add_module("graph", nn.Conv2d(5, 6, 3))
    x = images(3)
    for point, wanted in (("code", network[:2](x)), ("graph", network(x))):
        site = Site(network, "conv", x, point)
        torch.testing.assert_close(site.respond(site.input(x)), wanted)
        torch.testing.assert_close(site.output(response=wanted), network(x))


def test_depths_leave_the_network_as_it_was() -> None:
    network = in_disorder(make("plain"))
    before = traces(network)
    assert Site(network, "conv1", images(2), "+1").point == "relu2"
    with pytest.raises(UserError):
        Site(network, "conv1", images(2), "+2")
    assert traces(network) == before


def test_sites_come_by_layer_and_then_by_reading() -> None:
    config = StudyConfig(
        layer=("conv4", "conv2@fc", "conv2@bn3", "conv2@conv"), response=("bn5", "activation")
    )
    found = in_order(config.sites, paper(), images(2))
    assert found == [
        *("conv2@conv", "conv2@bn3", "conv2@fc"),
        *("conv4@activation", "conv4@bn5"),
    ]


def test_the_table_of_layers_has_a_row_for_each_reading() -> None:
    rows = layers(residual(), images(2), StudyConfig(response=("activation", "+1")))
    assert [(row.name, row.refusal is None) for row in rows][:6] == [
        ("conv@activation", True),
        ("conv@stage1.0.bn1", True),
        ("stage1.0.conv1@activation", True),
        ("stage1.0.conv1@stage1.0.bn2", True),
        ("stage1.0.conv2@activation", True),
        ("stage1.0.conv2@+1", False),
    ]


# --------------------------------------------------------------------------------------- studies


def test_depths_and_patterns_become_names(tmp_path: Path) -> None:
    config = micro(layer=("conv2@+1", "all"), response=("activation", "+3"), cnn=DEEP.model_dump())
    materials = Materials(config)
    materials.check()
    at_once = [f"conv{i}@activation" for i in (1, 2, 3, 4, 5)]
    assert materials.config.sites == (
        *("conv2@bn3", at_once[0], "conv1@bn4", at_once[1], "conv2@bn5"),
        *at_once[2:],
    )
    assert list(materials.left_out) == ["conv3@+3", "conv4@+3", "conv5@+3"]
    assert "no module at this depth" in materials.left_out["conv3@+3"]
    again = Materials(materials.config)
    again.check()
    assert (again.config, again.left_out) == (materials.config, {})

    run = study.run(config, tmp_path / "run", until="train-cnn")
    assert run.record.left_out == materials.left_out
    assert run.config == materials.config
    study.run(config, tmp_path / "run", until="train-cnn", resume=True)


def test_a_study_of_two_layers_read_at_their_own_depths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = micro(cnn=DEEP.model_dump(), judges={"networks": 1, "epochs": 1})
    (tmp_path / "config.yaml").write_text(dump(config))
    out, arguments = tmp_path / "run", ["study", "--config", str(tmp_path / "config.yaml")]
    arguments += ["--layer", "conv2,conv4@bn5", "--out", str(out)]
    assert cli.main([*arguments, "--until", "train-gan"]) == 0
    assert cli.main([*arguments, "--resume"]) == 0
    told = capsys.readouterr()
    run = fg.open_run(out)
    names = ["conv2@activation", "conv4@bn5"]
    assert list(run.sites) == list(run.record.sites) == names
    assert run.record.status == "finished"
    for name in names:
        assert (out / name / "generator.safetensors").is_file()
        assert run.gan(name).site.name == run.site(name).name == name
        site = run.record.sites[name]
        assert site.verdict
        assert all(path.startswith(f"{name}/") for path in (site.figures | site.files).values())
        assert all(run.record.stages[s].sites == names for s in ("train-gan", "traverse"))
    assert run.record.sites["conv4@bn5"].response == [6, 4, 4]
    claims = run.record.claims
    assert claims is not None
    assert (claims["low_level"].site, claims["high_level"].site) == tuple(names)
    assert claims["high_level"].sentence.startswith("conv4 read at bn5 ignores high-level")
    page = (out / "report.html").read_text()
    for said in ("conv2 read at activation", "conv4 read at bn5"):
        assert f">{said}" in page
        assert said in told.out
    assert "For conv2 read at activation and conv4 read at bn5, each on its own" in page


@pytest.mark.slow
def test_one_layer_read_at_several_depths_to_its_logits(tmp_path: Path) -> None:
    """The paper's sentences are decided over the readings of one layer."""
    config = micro(
        layer=("conv1",), response=("fc", "activation", "+1"), judges={"networks": 1, "epochs": 1}
    )
    run = study.run(config, tmp_path / "run")
    assert list(run.record.sites) == ["conv1@fc", "conv1@activation", "conv1@bn2"]
    claims = run.record.claims
    assert claims is not None
    assert claims["low_level"].site == "conv1@activation"
    assert claims["high_level"].site == "conv1@fc"
    assert "depth" in run.record.figures


def test_a_reading_does_not_change_the_numbers_of_another(tmp_path: Path) -> None:
    """Seeds come from the names alone, so that a site is the same in whatever company."""
    both = study.run(micro(response=("fc", "activation")), tmp_path / "both", until="train-gan")
    one = study.run(micro(), tmp_path / "one", until="train-gan")
    name = "conv2@activation"
    weights = [(run.path / name / "generator.safetensors").read_bytes() for run in (both, one)]
    assert weights[0] == weights[1]
    assert runtime.derive_seed(0, "measure", "conv2") == runtime.derive_seed(
        0, "measure", *one.config.sites[0].seeds
    )


# -------------------------------------------------------------------------------------- ablations


def test_an_ablation_of_the_reading_is_of_all_layers() -> None:
    base = micro(layer=("conv1", "conv2@fc"), response=("activation", "fc"))
    assert varied(base, "conv_response", 0).sites == ("conv1@conv", "conv2@conv")


def test_another_reading_is_compared_with_that_of_its_layer() -> None:
    def record(name: str, value: float) -> Record:
        found = {"filter_spread": MeasureRecord(value=value)}
        site = SiteRecord(verdict="converged", measures=found)
        return begun(micro(), sites={name: site})

    found = outcome.compare(
        {
            "base": {0: record("conv2@activation", 0.3)},
            "conv_response": {0: record("conv2@conv", 0.5)},
        }
    )
    assert list(found) == ["conv2@activation"]
    spread = found["conv2@activation"]["conv_response"]["measures"]["filter_spread"]
    assert spread["less_base"]["mean"] == pytest.approx(0.2)
