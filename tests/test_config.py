"""Every config is validated, every fault is named, and YAML brings back what was written."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from filtergan.cli.arguments import parser
from filtergan.cli.options import base_of, override, unused
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.fields import GanConfig, StudyConfig, TraversalConfig
from filtergan.config.older import renewed
from filtergan.config.parsing import dump, load, parse
from filtergan.config.presets import PRESETS, mnist, preset, tiny
from filtergan.errors import UserError


def models(model: type[BaseModel] = StudyConfig) -> list[type[BaseModel]]:
    inner = [f.annotation for f in model.model_fields.values()]
    parts = [m for m in inner if isinstance(m, type) and issubclass(m, BaseModel)]
    return [model, *(m for part in parts for m in models(part))]


@pytest.mark.parametrize("model", models())
def test_every_field_explains_itself(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            assert field.description, f"{model.__name__}.{name} has no docstring"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_yaml(name: str, tmp_path: Path) -> None:
    config = preset(name)
    assert config.preset == name
    file = tmp_path / "config.yaml"
    file.write_text(dump(config))
    assert load(file) == config
    assert dump(load(file)) == dump(config)


def test_a_config_with_every_kind_of_value_survives_yaml(tmp_path: Path) -> None:
    config = StudyConfig(
        data="/images: #1/naïve",
        model="package.module:factory",
        weights="0x10",
        layer=("0", "features.3"),
        dataset=DatasetConfig(image_column="yes", train_limit=7),
        traversal=TraversalConfig(dims=(3, 1), smoothing=1e-12),
    )
    (tmp_path / "c").write_text(dump(config))
    assert load(tmp_path / "c") == config


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (32, (32, 32)),
        ("32", (32, 32)),
        (["32"], (32, 32)),
        ("32x48", (32, 48)),
        (["32x48"], (32, 48)),
        (["32", "48"], (32, 48)),
        ((32, 48), (32, 48)),
        (None, None),
    ],
)
def test_sizes(given: Any, size: tuple[int, int] | None) -> None:
    assert parse({"size": given}, "here").size == size


@pytest.mark.parametrize("given", ["32x", "0", "3x4x5", "big", ["1", "2", "3"], 2.5, [], "-3"])
def test_what_is_no_size(given: Any) -> None:
    with pytest.raises(UserError, match=r"config from here is not valid: size"):
        parse({"size": given}, "here")


def test_names_of_a_normalisation(tmp_path: Path) -> None:
    named = parse({"mean": ["imagenet"], "std": "imagenet"}, "here")
    assert named.mean == (0.485, 0.456, 0.406)
    assert named.std == (0.229, 0.224, 0.225)
    (tmp_path / "c").write_text(dump(named))
    assert load(tmp_path / "c") == named
    with pytest.raises(UserError, match=r"mean.0"):
        parse({"mean": ["cifar"]}, "here")


def test_configs_are_frozen() -> None:
    config = preset("tiny")
    with pytest.raises(ValidationError):
        config.seed = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_unknown_preset() -> None:
    with pytest.raises(UserError, match=r"no preset 'minst'.*tiny, digits, mnist"):
        preset("minst")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sede": 1}, "sede"),
        ({"gan": {"stpes": 1}}, "gan.stpes"),
        ({"measure": {"draws": 0}}, r"measure.draws.*2 \(given: 0\)"),
        ({"measure": {"pooled": 0}}, "measure.pooled"),
        ({"gan": {"information": -1}}, r"gan.information.*given: -1"),
        ({"gan": {"information_rate": 0}}, "gan.information_rate"),
        ({"gan": {"generator_rate": float("nan")}}, "gan.generator_rate"),
        ({"gan": {"information": float("inf")}}, "gan.information"),
        ({"gan": {"loss": "wasserstein"}}, "gan.loss.*non_saturating"),
        ({"gan": {"average": 1}}, "gan.average"),
        ({"gan": 3}, "gan"),
        ({"cnn": {"channels": []}}, "cnn.channels"),
        ({"cnn": {"channels": [8, 0]}}, "cnn.channels.1"),
        ({"traversal": {"grid": 6}}, "grid must be odd"),
        ({"traversal": {"dims": [0, 8]}}, "latent dimension 8 is out of range"),
        (
            {"recipe": "natural", "natural": {"latent": [4, 9]}, "traversal": {"dims": [0, 5]}},
            "z of conv4@activation/natural has 4",
        ),
        ({"gan": {"latent": 1}}, "a grid moves two latents"),
        ({"recipe": ["natural"], "natural": {"latent": [1]}}, "a grid moves two latents"),
        ({"natural": {"fields": ["gain", "brightness"]}}, "brightness is gain.*the same"),
        ({"traversal": {"measured_images": 1}}, "traversal.measured_images"),
        ({"traversal": {"dims": [2, 2]}}, "two different"),
        ({"traversal": {"dims": [1]}}, "two different"),
        ({"traversal": {"dims": [-1, 1]}}, "traversal.dims"),
        ({"layer": []}, "layer"),
        ({"layer": ["conv4", "conv4"]}, "named once"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"weights": "net.safetensors"}, "weights need a model"),
        ({"dataset": {"test_fraction": 1.0}}, "dataset.test_fraction"),
    ],
)
def test_nonsense_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse(values, "the test")
    assert caught.value.exit_code == 2
    assert "the test" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_goes_along_the_latents_of_its_own_generator() -> None:
    values = {"recipe": ["natural"], "natural": {"latent": [12]}, "traversal": {"dims": [0, 9]}}
    assert {
        parse(values, "the test").game_of(site).latent for site in parse(values, "it").sites
    } == {12}


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(UserError, match=r"seed.*gan\.steps"):
        parse({"seed": -1, "gan": {"steps": 0}}, "the test")


def written_before(**gan: Any) -> dict[str, Any]:
    """As an earlier version wrote the config of `tiny`."""
    values = yaml.safe_load(dump(tiny()))
    values["gan"] |= {"r1": 0.0, "share_trunk": True, "information_warmup": 0}
    values["gan"] |= {"judged": "responses"} | gan
    del values["ablation"]
    return values


def test_settings_that_are_gone_are_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(written_before()))
    with pytest.raises(UserError, match=r"gan\.judged is called ablation\.shown now"):
        load(file)
    for name in ("r1", "share_trunk", "information_warmup"):
        with pytest.raises(UserError, match=rf"config\.yaml is .*gan\.{name} is no setting"):
            load(file)


def test_configs_of_earlier_records_are_read(tmp_path: Path) -> None:
    """Where settings that are gone had the value that stands for what is done now."""
    file, values = tmp_path / "config.yaml", written_before()
    file.write_text(yaml.safe_dump(values))
    assert load(file, earlier=True) == parse(renewed(values), "a record") == tiny()
    assert values == written_before()
    with pytest.raises(UserError, match=r"not valid: gan\.r1 is no setting [^;]*; leave it out\.$"):
        parse(renewed(written_before(r1=0.1)), "a record")
    with pytest.raises(UserError, match=r"gan\.loss.*hinge"):
        parse(renewed(written_before(loss="hinge")), "a record")
    assert parse(renewed(written_before(judged="filters")), "it").ablation.shown == "filters"
    assert renewed({"gan": 3}) == {"gan": 3}
    assert renewed({}) == {}


def test_settings_that_have_another_name_are_read_by_it() -> None:
    values = {"dataset": {"augmentation": "width", "test_limit": 5}}
    found = parse(renewed(values), "a record").dataset
    assert (found.planted, found.test_limit) == ("width", 5)
    assert values["dataset"]["augmentation"] == "width"
    with pytest.raises(UserError, match=r"augmentation is called dataset\.planted now\.$"):
        parse(values, "the test")


def test_games_and_images_of_our_own_records_are_read() -> None:
    """Their inversions may be of another kind, which nothing of now stands for."""
    for path in (Path(__file__).parents[1] / "results").rglob("record.json"):
        record = json.loads(path.read_bytes())
        if "config" in record:
            config = renewed(record["config"])
            GanConfig.model_validate(config["gan"])
            DatasetConfig.model_validate(config["dataset"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed: [", "not valid YAML"),
        (b"\xff\xfe\xff", "not valid YAML"),
        (b"", "holds no settings"),
        (b"- seed", "holds no settings"),
        (b"seed: many", "seed"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=words):
        load(file)


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.yaml", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            load(path)


@pytest.mark.parametrize(
    ("options", "latent"),
    [
        ("", (8, 4, 4)),
        ("--recipe natural", (8, 4, 4)),
        ("--layer conv2,conv4@bn5/natural", (4, 8)),
        ("--layer conv4 --response bn5 --recipe natural", (8,)),
        ("--layer conv3", (6,)),
        ("--layer all --recipe natural", (6,)),
        ("--layer conv4,conv3", (6,)),
        ("--layer conv4,conv3 --natural.latent 3,2", (3, 2)),
        ("--layer conv4 --recipe paper", (6,)),
    ],
)
def test_latents_of_a_preset_go_with_its_sites(options: str, latent: tuple[int, ...]) -> None:
    arguments = parser(StudyConfig()).parse_args(["study", "mnist", *options.split()])
    assert override(base_of(arguments), arguments).natural.latent == latent


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--model a:b --cnn.pool-after 1", "--cnn.pool-after is of a network that is trained here"),
        ("--interpolation box", "--interpolation changes nothing without --size"),
        ("--interpolation box --size 9 --cnn.epochs 3", ""),
    ],
)
def test_options_that_change_nothing_are_told(options: str, words: str) -> None:
    arguments = parser(StudyConfig()).parse_args(["study", "tiny", *options.split()])
    told = " ".join(unused(override(base_of(arguments), arguments), arguments))
    assert told.startswith(words)
    assert bool(told) == bool(words)


def test_another_number_of_latents_is_a_matter_of_the_sites_alone(tmp_path: Path) -> None:
    """What a file says of other sites than those that are named by one stays as it is."""
    for layer, recipe in (("conv4", "paper"), ("conv*", "natural"), ("conv4,conv2", "natural")):
        config = mnist().model_copy(update={"layer": tuple(layer.split(",")), "recipe": (recipe,)})
        (tmp_path / "c").write_text(dump(config))
        words = ["study", "--config", str(tmp_path / "c"), "--seed", "1"]
        arguments = parser(StudyConfig()).parse_args(words)
        assert override(base_of(arguments), arguments).natural.latent == (8, 4, 4)
    words = ["study", "mnist", "--layer", "conv3,conv2", "--recipe", "natural"]
    arguments = parser(StudyConfig()).parse_args([*words, "--traversal.dims", "4,5"])
    assert override(base_of(arguments), arguments).natural.latent == (6,)
