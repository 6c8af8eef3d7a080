"""The queue of ablations: what each changes, how it goes on, and what it says over seeds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import record_of
from configs import micro
from records import DATASET, NETWORK, begun

import results
from filtergan import cli, study
from filtergan.ablations import outcome
from filtergan.ablations import queue as ablation
from filtergan.ablations.variants import VARIANTS, varied
from filtergan.config.fields import MeasureConfig, StudyConfig
from filtergan.config.parsing import dump
from filtergan.config.presets import preset
from filtergan.errors import UserError
from filtergan.game.training import Diverged
from filtergan.machine.files import load_tensors, save_tensors, sha256
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import MeasureRecord, Record, SiteRecord

CHANGES = {
    "base": {},
    "filters_judged": {"ablation.shown": "filters"},
    "no_information": {"gan.information": 0.0},
    "dense_head": {"gan.head": "dense"},
    "conv_response": {"response": ("conv",)},
    "start_real": {"gan.start": "real"},
    "algorithm1": {"gan.updates": "algorithm1"},
}
BASE = StudyConfig(preset="micro", threads=1, layer=("conv2",))


class Studies:
    """Stands for `study.run`: trains nothing, but leaves a run directory as it would."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.trained: list[str] = []
        self.stop_at: str | None = None
        self.diverging: tuple[str, ...] = ()

    def run(self, config: StudyConfig, out: Path, *, resume: bool = False) -> RunDirectory:
        name = f"{out.parent.name}/{out.name}"
        self.calls.append(name)
        run = RunDirectory.create(out, config, resume=resume)
        if not run.stage_done("train-cnn"):
            with run.stage("train-cnn"):
                self.trained.append(name)
                save_tensors(out / "cnn.safetensors", {"w": torch.tensor([float(config.seed)])})
                run.record.dataset = DATASET
                own = {
                    "sha256": sha256(out / "cnn.safetensors"),
                    "figures": {"curves": "figures/cnn_curves.png"},
                }
                run.record.cnn = NETWORK.model_copy(update=own)
        if name == self.stop_at:
            raise KeyboardInterrupt
        if name in self.diverging:
            run.set_verdict("conv2@activation", "diverged", "not finite")
            run.fail("not finite")
            raise Diverged(1, None)
        with run.stage("train-gan"):
            pass
        change = list(VARIANTS).index(out.parent.name)
        value = config.seed + 0.1 * change
        run.site("conv2@activation").measures = {
            key: MeasureRecord(value=value) for key in outcome.COLUMNS
        }
        run.set_verdict("conv2@activation", "converged", "it did")
        run.finish()
        return run


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> Studies:
    fake = Studies()
    # It asks git twice for every study.
    monkeypatch.setattr("filtergan.runs.directory.git_state", lambda: None)
    monkeypatch.setattr(study, "run", fake.run)
    return fake


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def flat(config: StudyConfig) -> dict[str, Any]:
    values = config.model_dump()
    parts = {k: v for k, v in values.items() if isinstance(v, dict)}
    inner = {f"{part}.{k}": v for part, own in parts.items() for k, v in own.items()}
    return {k: v for k, v in values.items() if k not in parts} | inner


def test_each_variant_changes_what_its_name_says(tmp_path: Path) -> None:
    queue = ablation.plan(BASE, tmp_path, [4, 1, 4])
    assert [(p.name, p.seed) for p in queue] == [(n, s) for s in (4, 1) for n in CHANGES]
    for planned in queue:
        before, after = flat(BASE), flat(planned.config)
        changed = {k: v for k, v in after.items() if before[k] != v}
        assert changed == CHANGES[planned.name] | {"seed": planned.seed}
        assert planned.path == tmp_path / planned.name / f"seed{planned.seed}"
    assert list(VARIANTS) == list(CHANGES)


def test_another_reading_keeps_each_layers_recipe() -> None:
    base = StudyConfig(layer=("conv4@bn5/natural", "conv2@fc"))
    assert varied(base, "conv_response", 0).sites == ("conv4@conv/natural", "conv2@conv")


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("of", ["digits", "mnist", "ablation"])
def test_a_study_knows_its_own_config_again(name: str, of: str) -> None:
    """A study names its sites as briefly as it can, and goes on only where it finds them so."""
    base = preset(of)
    config = varied(base.at(base.sites), name, 0)
    assert config.at(config.sites) == config
    assert len(config.natural.latent) in (1, len(config.sites_of("natural")))


def test_the_preset_is_one_site_of_mnist() -> None:
    config = preset("ablation")
    assert config.layer == ("conv4",)
    assert config.data == "ylecun/mnist"


def test_a_queue_trains_one_network_a_seed(studies: Studies, tmp_path: Path) -> None:
    lines: list[str] = []
    found = ablation.run(BASE, tmp_path, [0, 1], tell=lines.append)
    assert studies.calls == [f"{name}/seed{seed}" for seed in (0, 1) for name in CHANGES]
    assert studies.trained == ["base/seed0", "base/seed1"]
    assert lines[8] == "run 9 of 14: filters_judged, seed 1"
    for seed in (0, 1):
        donor = record_of(tmp_path / "base" / f"seed{seed}")
        for name in list(CHANGES)[1:]:
            path = tmp_path / name / f"seed{seed}"
            record = record_of(path)
            assert record["cnn"]["taken_over_from"] == f"../../base/seed{seed}"
            assert record["cnn"]["sha256"] == donor["cnn"]["sha256"]
            assert record["cnn"]["figures"] == {}
            assert record["dataset"] == donor["dataset"]
            assert float(load_tensors(path / "cnn.safetensors")["w"]) == seed
    assert json.loads((tmp_path / "ablation.json").read_text()) == {"sites": found}

    again: list[str] = []
    records = {p: p.read_bytes() for p in tmp_path.rglob("record.json")}
    assert ablation.run(BASE, tmp_path, [0, 1], tell=again.append) == found
    assert again == [f"{line}: done earlier" for line in lines]
    assert records == {p: p.read_bytes() for p in tmp_path.rglob("record.json")}


@pytest.mark.parametrize("stop", ["base/seed0", "dense_head/seed0", "dense_head/seed1"])
def test_an_interrupted_queue_goes_on(studies: Studies, tmp_path: Path, stop: str) -> None:
    queue = ([0, 1], ["base", "dense_head"])
    whole = ablation.run(BASE, tmp_path / "whole", *queue)
    studies.calls.clear()
    studies.stop_at = stop
    with pytest.raises(KeyboardInterrupt):
        ablation.run(BASE, tmp_path / "cut", *queue)
    assert not (tmp_path / "cut" / "ablation.json").exists()
    studies.stop_at, before = None, list(studies.calls)
    assert ablation.run(BASE, tmp_path / "cut", *queue) == whole
    assert before[-1] == stop
    assert studies.calls[len(before)] == stop  # resumed, and nothing before it repeated
    assert len(studies.calls) == 4 + 1
    assert studies.trained == 2 * ["base/seed0", "base/seed1"]


def test_parts_of_a_queue_make_one_comparison(studies: Studies, tmp_path: Path) -> None:
    ablation.run(BASE, tmp_path, [2], ["dense_head"])
    assert studies.trained == ["dense_head/seed2"]  # whoever comes first
    found = ablation.run(BASE, tmp_path, [2, 3], ["base"])
    assert studies.trained == ["dense_head/seed2", "base/seed3"]
    assert record_of(tmp_path / "base" / "seed2")["cnn"]["taken_over_from"] == (
        "../../dense_head/seed2"
    )
    spread = found["conv2@activation"]["dense_head"]["measures"]["filter_spread"]
    assert spread["values"] == {"2": 2.3}
    assert spread["less_base"]["mean"] == pytest.approx(0.3)
    assert list(found["conv2@activation"]) == ["base", "dense_head"]


def test_a_diverged_game_is_kept_as_that(studies: Studies, tmp_path: Path) -> None:
    studies.diverging = ("dense_head/seed0", "base/seed1")
    queue = ([0, 1], ["base", "dense_head"])
    found = ablation.run(BASE, tmp_path, *queue)["conv2@activation"]
    assert len(studies.calls) == 4
    assert found["dense_head"]["verdicts"] == {"0": "diverged", "1": "converged"}
    assert outcome.verdicts(found["dense_head"]) == "1 diverged, 1 converged"
    spread = found["dense_head"]["measures"]["filter_spread"]
    assert spread["values"] == {"0": None, "1": 1.3}
    assert spread["mean"] == spread["low"] == spread["high"] == 1.3
    assert spread["less_base"]["values"] == {"0": None, "1": None}
    assert spread["less_base"]["mean"] is None
    ablation.run(BASE, tmp_path, *queue)
    assert len(studies.calls) == 4  # the same would come of it


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_network_that_is_not_whole_is_not_taken_over(
    studies: Studies, tmp_path: Path, harm: str
) -> None:
    ablation.run(BASE, tmp_path, [0], ["base"])
    file = tmp_path / "base" / "seed0" / "cnn.safetensors"
    file.write_bytes(b"\x00" * 20) if harm == "damaged" else file.unlink()
    ablation.run(BASE, tmp_path, [0], ["dense_head"])
    assert studies.trained == ["base/seed0", "dense_head/seed0"]


def test_a_queue_of_other_settings_is_refused(studies: Studies, tmp_path: Path) -> None:
    ablation.run(BASE, tmp_path, [0], ["base", "dense_head"])
    other = BASE.model_copy(update={"measure": MeasureConfig(draws=7)})
    with pytest.raises(UserError, match=r"begun with other settings \(measure\.draws\)"):
        ablation.run(other, tmp_path, [0], ["base"])
    # Nor are its studies compared with those of another base.
    assert list(
        ablation.run(other, tmp_path, [1], ["base"])["conv2@activation"]["base"]["verdicts"]
    ) == ["1"]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no ablation 'bsae'; there are base, filters_judged"):
        ablation.plan(BASE, tmp_path, [0], ["bsae"])
    with pytest.raises(UserError, match=r"ablation base with seed -1.*seed"):
        ablation.plan(BASE, tmp_path, [-1])


def test_comparison_by_hand() -> None:
    def with_spread(value: float | None) -> Record:
        measures = {} if value is None else {"filter_spread": MeasureRecord(value=value)}
        return begun(
            BASE, sites={"conv4@activation": SiteRecord(verdict="converged", measures=measures)}
        )

    records = {
        "base": {0: with_spread(1.0), 1: with_spread(2.0), 2: with_spread(6.0)},
        "start_real": {0: with_spread(1.5), 1: with_spread(1.0), 2: with_spread(None)},
    }
    found = outcome.compare(records)["conv4@activation"]
    base = found["base"]["measures"]["filter_spread"]
    assert (base["mean"], base["low"], base["high"]) == (3.0, 1.0, 6.0)
    less = found["start_real"]["measures"]["filter_spread"]["less_base"]
    assert less["values"] == {"0": 0.5, "1": -1.0, "2": None}
    assert (less["mean"], less["low"], less["high"]) == (-0.25, -1.0, 0.5)
    assert found["base"]["measures"]["image_change"]["mean"] is None
    mean, differences = outcome.sheets({"conv4@activation": found})
    assert [len(mean.rows), len(differences.rows)] == [2, 1]
    assert [row[5] for row in mean.rows] == ["3.000\n1.000..6.000", "1.250\n1.000..1.500"]


# ------------------------------------------------------------------------------------ the command


def test_the_command(studies: Studies, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "base.yaml").write_text(dump(BASE))
    command = ["ablate", "--config", str(tmp_path / "base.yaml"), "--out", str(tmp_path / "out")]
    only = ["--seeds", "0", "1", "--only", "base", "algorithm1"]
    assert cli.main([*command, *only, "--gan.latent", "5"]) == 0
    out, err = capsys.readouterr()
    assert len(studies.calls) == 4
    assert "conv2@activation: mean and range over seeds" in out
    assert "2 converged" in out
    assert f"The numbers: {tmp_path / 'out' / 'ablation.json'}" in out
    assert err.splitlines()[1] == "filtergan: run 2 of 4: algorithm1, seed 0"
    assert record_of(tmp_path / "out" / "algorithm1" / "seed1")["config"]["gan"]["latent"] == 5

    assert cli.main([*command, *only, "--gan.latent", "5", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert err == ""

    studies.stop_at = "base/seed0"
    assert cli.main([*command[:-1], str(tmp_path / "cut"), *only]) == 130
    assert capsys.readouterr().err.endswith(
        "filtergan: interrupted; the same command goes on from here\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name a preset"),
        (["tiny", "--only", "bsae"], "no ablation 'bsae'"),
        (["tiny", "--seeds", "one"], "invalid int value: 'one'"),
        (["tiny", "--seed", "1"], "no option --seed"),
        (["tiny", "--ablation.shown", "images"], "ablation.shown"),
    ],
)
def test_mistakes_on_the_command_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert cli.main(["ablate", *arguments, "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", "ablation", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())  # lines are as wide as the terminal
    for name in CHANGES:
        assert f"{name} {VARIANTS[name].meaning}" in out
    assert "[default: ylecun/mnist]" in out
    assert "--seed " not in out


def test_the_table_of_the_page(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed records give what the queue compared, without the rest of its folder."""
    monkeypatch.setattr(results, "ROOT", tmp_path)
    assert results.TABLES["ablations"]("ablations").count("\n") == 1  # no records yet

    studies.diverging = ("dense_head/seed1",)
    folder = tmp_path / "results" / "ablations"
    ablation.run(BASE, folder, [0, 1], ["base", "dense_head"])
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    lines = results.TABLES["ablations"]("ablations").splitlines()
    assert lines[0].startswith("| site | variant | verdicts | single draws | worst draw |")
    assert lines[2].startswith("| conv2@activation | base | 2 converged | 0.500 (0.000 to 1.000) |")
    assert lines[3].startswith(
        "| conv2@activation | dense_head | 1 converged, 1 diverged | 0.300 1 of 2 diverged |"
    )
    (only,) = results.TABLES["ablations"]("ablations/less_base").splitlines()[2:]
    assert only.startswith(
        "| conv2@activation | dense_head | 1 converged, 1 diverged | 0.300 1 of 2 diverged"
    )


# ------------------------------------------------------------------------------------ for real


@pytest.mark.slow
def test_real_studies(tmp_path: Path) -> None:
    """A variant beside the base, every stage run, with the same network."""
    base = micro(
        gan={"steps": 8, "checkpoint_every": 250},
        traversal={
            "measured_images": 8,
            "group": 4,
            "path_images": 4,
            "axis_images": 4,
            "combinations": 1,
            "repeat_images": 4,
            "repeat_points": 2,
        },
        measure={"pooled_sizes": (1,)},
    )
    found = ablation.run(base, tmp_path, [0], ["base", "filters_judged"])
    assert list(found["conv2@activation"]) == ["base", "filters_judged"]
    runs = [RunDirectory.open(tmp_path / name / "seed0") for name in found["conv2@activation"]]
    one, other = (load_tensors(run.path / "cnn.safetensors") for run in runs)
    assert all(torch.equal(one[key], value) for key, value in other.items())
    for run in runs:
        assert run.record.status == "finished"
        assert (run.path / "report.html").exists()
    for variant in found["conv2@activation"].values():
        assert all(measure["mean"] is not None for measure in variant["measures"].values())
