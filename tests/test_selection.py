"""Many sites in one study: which layers a pattern stands for, what is left out, and the figure."""

import json
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from configs import micro
from hypothesis import given
from hypothesis import strategies as st
from networks import images, in_disorder, make, traces
from safetensors.torch import save_file
from torch import Tensor, nn

from filtergan import cli, compare, study
from filtergan.config.fields import CnnConfig, JudgeConfig, StudyConfig
from filtergan.config.parsing import dump, load
from filtergan.config.site_names import RECIPES, SiteName
from filtergan.errors import UserError
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials
from filtergan.study.selection import execution_order, select

NAMES = ["stem", "layer1.0.conv1", "layer1.0.conv2", "layer3.1.conv1", "layer3.1.conv2", "all2"]


class Odd(nn.Module):
    """Convolutions defined in another order than they run; one runs twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.unused = nn.Conv2d(4, 5, 3), nn.Conv2d(1, 1, 1)
        self.twice, self.first = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(torch.relu(self.twice(torch.relu(self.first(x)))))
        x = torch.relu(self.last(torch.relu(self.middle(torch.relu(x)))))
        return self.fc(x.mean((2, 3)))


def at_once(name: SiteName) -> SiteName:
    """As if every site could be studied."""
    return name


def but(*refused: str) -> Callable[[SiteName], SiteName]:
    """As if some layers or sites could not."""

    def found(name: SiteName) -> SiteName:
        if name in refused or name.layer in refused:
            raise UserError(f"{name.layer} runs twice.")
        return name

    return found


def layers_of(layers: Sequence[str], known: list[str]) -> tuple[str, ...]:
    """What patterns stand for, read at one point."""
    chosen, left_out = select(layers, ("activation",), known, at_once)
    assert not left_out
    assert {site.point for site in chosen} <= {"activation"}
    return tuple(site.layer for site in chosen)


@pytest.fixture
def odd(tmp_path: Path) -> StudyConfig:
    """A study of the odd network, as a user's own."""
    torch.manual_seed(0)
    save_file(Odd().state_dict(), tmp_path / "odd.safetensors")
    return micro(layer=("all",), model=f"{__name__}:Odd", weights=str(tmp_path / "odd.safetensors"))


# ---------------------------------------------------------------------------------- patterns


def test_what_patterns_stand_for() -> None:
    def chosen(*layers: str) -> tuple[str, ...]:
        return layers_of(layers, NAMES)

    assert chosen("all") == tuple(NAMES)
    assert chosen("layer3.*.conv?") == ("layer3.1.conv1", "layer3.1.conv2")
    assert chosen("layer?.[01].conv2", "stem") == ("layer1.0.conv2", "layer3.1.conv2", "stem")
    assert chosen("all2", "*") == ("all2", *NAMES[:-1])  # as named, then the network's order
    assert chosen("nothing") == ("nothing",)  # for the site to refuse


def test_a_layer_may_have_the_name_of_a_pattern() -> None:
    assert layers_of(["all", "a[b]"], ["c", "a[b]", "all"]) == ("all", "a[b]")


@given(st.lists(st.sampled_from(["*1", "s*", "*.conv?", "stem", "all2", "all", "layer1.*"])))
def test_each_layer_is_chosen_once_and_none_is_lost(layers: list[str]) -> None:
    chosen = layers_of(layers, NAMES)
    wanted = {n for n in NAMES for p in layers if p == "all" or fnmatchcase(n, p)}
    assert set(chosen) == wanted
    assert len(chosen) == len(wanted)


def test_latents_of_grids_are_checked_where_patterns_are_names() -> None:
    natural = micro().natural.model_copy(update={"latent": (3, 1)})
    config = micro(layer=("conv[12]",), recipe=("natural",)).model_copy(update={"natural": natural})
    with pytest.raises(UserError, match="z of conv2@activation/natural has 1"):
        Materials(config).check()


def test_a_pattern_that_fits_nothing_names_the_convolutions() -> None:
    with pytest.raises(UserError, match=r"'conv\*' fits no layer; .* stem, layer1.0.conv1"):
        layers_of(["stem", "conv*"], NAMES)


def test_what_cannot_be_studied_is_left_out_of_patterns_only() -> None:
    found = but("stem", "all2")
    chosen, left_out = select(["*"], ["activation"], NAMES, found)
    assert [site.layer for site in chosen] == NAMES[1:-1]
    assert left_out == {f"{name}@activation": f"{name} runs twice." for name in ("stem", "all2")}
    with pytest.raises(UserError, match=r"^all2 runs twice\.$"):
        select(["all2", "*"], ["activation"], NAMES, found)
    with pytest.raises(UserError, match=r"can be studied: stem runs twice\."):
        select(["st*"], ["activation"], NAMES, found)


def test_what_layers_and_readings_stand_for() -> None:
    def chosen(layers: list[str], *readings: str) -> tuple[str, ...]:
        return select(layers, readings, NAMES, at_once)[0]

    assert chosen(["stem", "all2@fc"], "conv", "fc") == ("stem@conv", "stem@fc", "all2@fc")
    assert chosen(["layer3.*@fc"], "conv") == ("layer3.1.conv1@fc", "layer3.1.conv2@fc")
    assert chosen(["all2@fc", "all"], "fc") == ("all2@fc", *(f"{n}@fc" for n in NAMES[:-1]))


def test_readings_that_some_layers_lack_are_left_out_unless_asked_for_by_name() -> None:
    found, readings = but("all2@bn", "stem@bn"), ("conv", "bn")
    chosen, left_out = select(["all2", "layer1.0.conv1"], readings, NAMES, found)
    assert chosen == ("all2@conv", "layer1.0.conv1@conv", "layer1.0.conv1@bn")
    assert left_out == {"all2@bn": "all2 runs twice."}
    assert list(select(["all"], readings, NAMES, found)[1]) == ["stem@bn", "all2@bn"]
    for layers, several in (
        (["all2"], readings),  # one layer: its readings were asked for
        (["all2", "stem"], ("bn",)),  # one reading: so was it
        (["all", "all2@bn"], readings),
        (["all2", "stem"], readings),  # at bn there is none
    ):
        with pytest.raises(UserError, match="runs twice"):
            select(layers, several, NAMES, found)


def test_depths_that_are_one_module_are_one_site() -> None:
    def found(name: SiteName) -> SiteName:
        return SiteName(name.layer, "bn2" if name.point == "+1" else name.point)

    assert select(["stem"], ["+1", "bn2"], NAMES, found)[0] == ("stem@bn2",)


def test_sites_under_several_recipes() -> None:
    def named(name: SiteName) -> SiteName:
        return SiteName(name.layer, "bn2" if name.point == "+1" else name.point, name.recipe)

    chosen, _ = select(["stem", "all2/paper"], ["+1"], NAMES, named, ["paper", "natural"])
    assert chosen == ("stem@bn2", "stem@bn2/natural", "all2@bn2")
    chosen, left_out = select(["s*/natural", "a*"], ["fc"], NAMES, but("all2@fc/natural"), RECIPES)
    assert chosen == ("stem@fc/natural", "all2@fc")
    assert list(left_out) == ["all2@fc/natural"]


def test_recipes_share_a_site_and_come_one_after_the_other() -> None:
    materials = Materials(micro(layer=("conv2", "conv1"), recipe=("paper", "natural")))
    materials.check()
    assert materials.config.layer == ("conv2", "conv1")
    paper, natural = materials.config.sites_of("paper"), materials.config.sites_of("natural")
    assert paper == ("conv2@activation", "conv1@activation")
    assert natural == ("conv2@activation/natural", "conv1@activation/natural")
    assert materials.site(paper[0]) is materials.site(natural[0])
    assert materials.order() == [*paper[::-1], *natural[::-1]]


@pytest.mark.parametrize("name", ["plain", "residual", "spectral"])
def test_the_order_leaves_the_network_as_it_was(name: str) -> None:
    network = in_disorder(make(name))
    before = traces(network)
    order = execution_order(network, images(2))
    assert traces(network) == before
    if name == "residual":  # the way around runs last in its block
        assert order == ["stem", "block.conv1", "block.conv2", "block.skip", "last"]


def test_what_never_runs_is_last() -> None:
    order = execution_order(Odd(), images(2))
    assert order == ["first", "twice", "middle", "last", "unused"]


# ------------------------------------------------------------------------------------ studies


def test_a_study_holds_the_names_and_what_was_left_out(
    odd: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    study.run(odd, out, until="train-cnn")
    record = json.loads((out / "record.json").read_text())
    names = ["first", "middle", "last"]
    assert record["config"]["layer"] == names
    sites = [f"{name}@activation" for name in names]
    assert list(record["sites"]) == sites
    assert list(load(out / "config.yaml").layer) == names
    assert list(record["left_out"]) == ["twice@activation", "unused@activation"]
    assert "runs 2 times" in record["left_out"]["twice@activation"]
    assert "runs 0 times" in record["left_out"]["unused@activation"]
    told = capsys.readouterr().err.splitlines()
    left_out = [line for line in told if "is left out" in line]
    assert [line.split()[1] for line in left_out] == ["twice@activation", "unused@activation"]

    for again in (odd, load(out / "config.yaml")):  # by the pattern, and by the names
        run = study.run(again, out, until="train-cnn", resume=True)
        assert run.record.left_out == record["left_out"]
    with pytest.raises(UserError, match=r"other settings .layer"):
        study.run(odd.model_copy(update={"layer": ("fi*",)}), out, resume=True)


def test_a_named_layer_keeps_its_error(odd: StudyConfig, tmp_path: Path) -> None:
    for layers, says in ((("all", "twice"), "runs 2 times"), (("all", "none"), "no layer 'none'")):
        with pytest.raises(UserError, match=says):
            study.run(odd.model_copy(update={"layer": layers}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_takes_patterns(
    odd: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(dump(odd))
    shared = ("--config", str(tmp_path / "config.yaml"), "--until", "train-cnn")
    arguments = ["study", *shared, "--out", str(tmp_path / "run"), "--layer", "f*,mid*"]
    assert cli.main(arguments) == 0
    assert list(RunDirectory.open(tmp_path / "run").record.sites) == [
        "first@activation",
        "middle@activation",
    ]
    assert cli.main([*arguments, "--resume"]) == 0
    assert cli.main([*arguments[:-1], "conv*", "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "'conv*' fits no layer" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_study_of_three_sites_to_its_end(tmp_path: Path) -> None:
    """Stopped on the way, it goes on by its pattern; what it leaves can be compared."""
    config = micro(
        layer=("*",),
        cnn=CnnConfig(channels=(4, 4, 6), pool_after=(1,), epochs=1),
        judges=JudgeConfig(networks=1, epochs=1),
    )
    study.run(config, tmp_path / "run", until="train-gan")
    run = study.run(config, tmp_path / "run", resume=True)
    record = run.record
    assert record.status == "finished"
    assert list(record.sites) == [f"conv{i}@activation" for i in (1, 2, 3)]
    assert all(site.verdict for site in record.sites.values())
    assert not record.left_out
    assert (run.path / record.figures["depth"]).read_bytes().startswith(b"\x89PNG")
    assert 'id="depth"' in (run.path / "report.html").read_text()

    other = record.model_copy(update={"seed": 1, "config": record.config | {"seed": 1}})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "record.json").write_text(other.model_dump_json(by_alias=True))
    found = compare.compare([run.path, tmp_path / "other"], ["filter_spread"])
    assert len(compare.sheets(found)) == 3

    study.run_stage("train-cnn", run.path, overwrite=True)  # by names; what was built on it goes
    assert not RunDirectory.open(run.path).record.figures


def test_materials_resolve_once(odd: StudyConfig) -> None:
    materials = Materials(odd)
    materials.check()
    assert materials.config.layer == ("first", "middle", "last")
    assert materials.order() == ["first@activation", "middle@activation", "last@activation"]
