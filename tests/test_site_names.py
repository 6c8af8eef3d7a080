"""Names of sites: layer and reading, what they are written as, and which a config stands for."""

import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import begun

from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import dump, load, parse
from filtergan.config.site_names import (
    RECIPES,
    Recipe,
    SiteName,
    counterpart,
    folder_of,
    is_depth,
)
from filtergan.errors import UserError
from filtergan.machine.runtime import derive_seed
from filtergan.runs.directory import RunDirectory
from filtergan.runs.migration import migrated
from filtergan.runs.reading import read_record
from filtergan.runs.record import SCHEMA, SiteRecord

RESULTS = Path(__file__).parents[1] / "results"
WORDS = st.text(min_size=1).filter(lambda text: "@" not in text)
POINTS = (WORDS | st.sampled_from(["a/naturally", "/nature", "natural", "paper"])).filter(
    lambda text: not text.endswith(("/paper", "/natural"))
)


@given(WORDS, POINTS, st.sampled_from(RECIPES))
def test_a_name_is_its_text(layer: str, point: str, recipe: Recipe) -> None:
    name = SiteName(layer, point, recipe)
    assert name == f"{layer}@{point}" + {"paper": "", "natural": "/natural"}[recipe]
    assert (name.layer, name.point, name.recipe) == (layer, point, recipe)
    assert [name.under(r) for r in RECIPES] == [SiteName(layer, point, r) for r in RECIPES]
    assert SiteName.parse(f"{layer}@{point}/{recipe}") == name
    for again in (SiteName.parse(name), copy.deepcopy(name), pickle.loads(pickle.dumps(name))):
        assert type(again) is SiteName
        assert again == name


@pytest.mark.parametrize(
    "text",
    ["", "conv4", "@", "conv4@", "@bn5", "a@b@c", "conv4/natural", "@/natural", "a@/natural"],
)
def test_what_names_no_site(text: str) -> None:
    with pytest.raises(UserError, match="names no site; a layer and its reading"):
        SiteName.parse(text)


def test_in_a_sentence() -> None:
    assert SiteName("stage1.0.conv1", "fc").prose == "stage1.0.conv1 read at fc"
    assert SiteName("conv4", "bn5", "natural").prose == "conv4 read at bn5 (natural)"


def test_a_reading_that_ends_like_a_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="names no site"):
        SiteName("conv4", "bn5/natural")


def test_folders_of_recipes_lie_side_by_side() -> None:
    assert folder_of(SiteName("conv4", "bn5", "natural")) == "conv4@bn5_natural"
    assert folder_of(SiteName("conv4", "bn5")) == "conv4@bn5"


def test_seeds_of_the_papers_reading_are_those_of_the_layer() -> None:
    assert derive_seed(3, *SiteName("conv4", "activation").seeds) == derive_seed(3, "conv4")
    assert derive_seed(3, *SiteName("conv4", "bn5").seeds) != derive_seed(3, "conv4")


@given(WORDS, POINTS)
def test_each_recipe_has_seeds_of_its_own(layer: str, point: str) -> None:
    paper, natural = (SiteName(layer, point, recipe).seeds for recipe in RECIPES)
    assert paper == ((layer,) if point == "activation" else (layer, point))
    assert natural == (*paper, "/natural")


def test_depths() -> None:
    assert all(map(is_depth, ("+1", "+12")))
    assert not any(map(is_depth, ("1", "+0", "+", "+x", "conv+1", "activation")))


def test_the_same_site_or_one_of_the_same_layer() -> None:
    there = ["conv2@conv", "conv4@conv", "conv4@bn5"]
    assert counterpart("conv4@bn5", there) == "conv4@bn5"
    assert counterpart("conv4@activation", there) == "conv4@conv"
    assert counterpart("conv1@conv", there) is None
    assert counterpart("conv4@conv/natural", there) is None
    assert counterpart("conv4@fc/natural", [*there, "conv4@conv/natural"]) == "conv4@conv/natural"


def test_the_sites_of_a_config() -> None:
    def sites(
        *layers: str, response: object = ("activation", "fc"), recipe: object = "paper"
    ) -> tuple[str, ...]:
        values = {"layer": layers, "response": response, "recipe": recipe}
        return parse(values, "a test").sites

    assert sites("conv4", "conv2") == (
        *("conv4@activation", "conv4@fc"),
        *("conv2@activation", "conv2@fc"),
    )
    assert sites("conv2", "conv4@activation", "conv4@bn5", response="conv") == (
        *("conv2@conv", "conv4@activation", "conv4@bn5"),
    )
    assert sites("all@+1", "s*") == ("all@+1", "s*@activation", "s*@fc")
    both = ["paper", "natural"]
    assert sites("conv4", "conv2@conv", "conv1/natural", response="fc", recipe=both) == (
        *("conv4@fc", "conv4@fc/natural", "conv2@conv", "conv2@conv/natural", "conv1@fc/natural"),
    )
    assert sites("conv4@fc/paper", "conv2", response="fc", recipe="natural") == (
        *("conv4@fc", "conv2@fc/natural"),
    )
    assert sites("conv4", "conv4@fc/natural", response="fc") == ("conv4@fc", "conv4@fc/natural")


@pytest.mark.parametrize(
    ("layer", "response", "says"),
    [
        (["conv4", "conv4@fc"], ["fc"], "named once"),
        (["conv4"], ["fc", "fc"], "each reading is named once"),
        (["conv4@"], ["fc"], "names no site"),
        (["conv4"], [], "at least 1"),
        (["conv4"], ["a@b"], "names no site"),
        (["conv4", "conv4/paper"], ["fc"], "named once"),
        (["conv4"], ["bn5/natural"], "names no site"),
    ],
)
def test_choices_that_make_no_sense(layer: list[str], response: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse({"layer": layer, "response": response}, "a test")


@given(
    st.lists(
        st.sampled_from(["conv1", "conv2", "conv2@bn", "conv3@conv", "conv4/natural"]),
        min_size=1,
        unique=True,
    ),
    st.lists(st.sampled_from(["conv", "activation", "fc"]), min_size=1, unique=True),
    st.lists(st.sampled_from(RECIPES), min_size=1, unique=True),
)
def test_a_config_of_some_sites_is_as_brief_as_can_be(
    layers: list[str], points: list[str], recipes: list[Recipe]
) -> None:
    config = StudyConfig(layer=tuple(layers), response=tuple(points), recipe=tuple(recipes))
    brief = config.at(config.sites)
    assert brief.sites == config.sites
    assert brief.at(brief.sites) == brief
    if not any("@" in layer or "/" in layer for layer in layers):
        assert brief == config
    assert parse(brief.model_dump(mode="json"), "itself") == brief


def test_recipes_are_named_once_and_known() -> None:
    with pytest.raises(UserError, match="each recipe is named once"):
        parse({"recipe": ["natural", "natural"]}, "a test")
    with pytest.raises(UserError, match=r"recipe\.0: Input should be 'paper' or 'natural'"):
        parse({"recipe": "baroque"}, "a test")


# ------------------------------------------------------------------------- records of earlier times


def committed() -> list[Path]:
    studies = ("ablations", "cifar10_small", "digits", "mnist", "planted")
    return [path for study in studies for path in (RESULTS / study).rglob("record.json")]


def test_committed_records_are_read() -> None:
    assert len(committed()) >= 38
    for path in committed():
        values = json.loads(path.read_bytes())
        record = read_record(path.parent)
        assert record.schema_ == SCHEMA
        if values["schema"] == SCHEMA:
            continue
        point, layers = values["config"]["response"], list(values["sites"])
        assert list(record.sites) == [f"{layer}@{point}" for layer in layers]
        assert [site.folder for site in record.sites.values()] == layers
        for stage, entry in record.stages.items():
            done = values["stages"][stage].get("sites", [])
            assert entry.sites == [f"{layer}@{point}" for layer in done]
        for key, claim in (record.claims or {}).items():
            assert claim.site == f"{values['claims'][key]['layer']}@{point}"


def test_what_becomes_of_a_record_of_the_second_schema() -> None:
    record = begun(StudyConfig()).model_dump(mode="json", by_alias=True)
    record["config"]["response"] = "bn5"
    record |= {
        "schema": "filtergan-record-2",
        "sites": {"conv4": {}, "a/b": {}},
        "stages": {"train-gan": {"sites": ["conv4"]}},
        "left_out": {"conv1": "It runs twice."},
        "clearing": ["conv3", ".conv"],
    }
    found = migrated(record)
    assert found["sites"] == {"conv4@bn5": {"folder": "conv4"}, "a/b@bn5": {"folder": "a_b"}}
    assert found["stages"] == {"train-gan": {"sites": ["conv4@bn5"]}}
    assert found["left_out"] == {"conv1@bn5": "It runs twice."}
    assert found["clearing"] == ["conv3", "conv"]
    assert migrated(found) is found


def earlier(folder: Path) -> RunDirectory:
    """A run as the second schema left it: one reading, sites and folders by their layers."""
    config = StudyConfig(layer=("conv4", "conv2"))
    run = RunDirectory.create(folder, config)
    with run.stage("train-gan"):
        pass
    values = run.record.model_dump(mode="json", by_alias=True)
    values["schema"], values["config"]["response"] = "filtergan-record-2", "activation"
    files = {"files": {"gan": "conv4/filtergan.json"}}
    values["sites"] = {"conv4": files, "conv2": {}}
    values["stages"]["train-gan"]["sites"] = ["conv4"]
    (folder / "record.json").write_text(json.dumps(values))
    text = dump(config).replace("response:\n- activation\n", "response: activation\n")
    assert "response: activation" in text
    (folder / "config.yaml").write_text(text)
    (folder / "conv4").mkdir()
    (folder / "conv4" / "filtergan.json").write_text("{}")
    return RunDirectory.open(folder)


def test_a_run_of_earlier_times_goes_on_in_its_folders(tmp_path: Path) -> None:
    run = earlier(tmp_path / "run")
    assert run.config == load(run.path / "config.yaml") == StudyConfig(layer=("conv4", "conv2"))
    assert run.site_path("conv4@activation") == run.path / "conv4"
    assert run.site_done("train-gan", "conv4@activation")
    assert not run.site_done("train-gan", "conv2@activation")
    again = RunDirectory.create(run.path, run.config, resume=True)
    assert again.record.sites["conv4@activation"] == SiteRecord(
        folder="conv4", files={"gan": "conv4/filtergan.json"}
    )
    again.save()
    assert json.loads((run.path / "record.json").read_bytes())["schema"] == SCHEMA
    assert RunDirectory.open(run.path).site_path("conv2@activation") == run.path / "conv2"


def test_a_run_of_earlier_times_is_cleared(tmp_path: Path) -> None:
    run = earlier(tmp_path / "run")
    RunDirectory.create(run.path, run.config, overwrite=True)
    assert not (run.path / "conv4").exists()
    damaged = earlier(tmp_path / "damaged")
    (damaged.path / "record.json").write_text("{")
    RunDirectory.create(damaged.path, run.config, overwrite=True)
    assert not (damaged.path / "conv4").exists()
