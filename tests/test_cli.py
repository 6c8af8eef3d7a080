"""The command: every field an option, every mistake one sentence, nothing imported in vain."""

import json
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from records import begun

import filtergan
from filtergan import cli
from filtergan.cli import arguments as known
from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import dump, load
from filtergan.config.presets import preset
from filtergan.errors import UserError
from filtergan.machine.outlook import Part
from filtergan.machine.sheets import Sheet
from filtergan.runs.record import SiteRecord


def fields(part: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of all fields."""
    for name, value in part:
        if isinstance(value, BaseModel):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


class Stages:
    """Stands for `study` and `report`: notes what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.error: BaseException | None = None

    def run(self, config: StudyConfig, out: Path, **options: Any) -> Any:
        self.calls.append((config, out, options))
        return self._result(out)

    def run_stage(self, name: str, run_path: Path, device: str | None, overwrite: bool) -> Any:
        self.calls.append((name, run_path, device, overwrite))
        return self._result(run_path)

    def summary_sheets(self, run: Any) -> list[Sheet]:
        return [Sheet(f"the table of {layer}", ("a",), ()) for layer in ("conv4", "conv2")]

    def _result(self, path: Path) -> Any:
        if self.error:
            raise self.error
        path.mkdir(parents=True, exist_ok=True)
        (path / "report.html").write_text("")
        return types.SimpleNamespace(
            path=path,
            record=begun(
                StudyConfig(), sites={"conv4@activation": SiteRecord(verdict="converged")}
            ),
        )


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stages:
    fake = Stages()
    for name in ("study", "report"):
        monkeypatch.setitem(sys.modules, f"filtergan.{name}", fake)
        monkeypatch.setattr(filtergan, name, fake, raising=False)
    bounds = types.SimpleNamespace(ceiling_sheet=lambda name, found: Sheet(name, ("a",), ()))
    monkeypatch.setitem(sys.modules, "filtergan.report.bounds", bounds)
    monkeypatch.chdir(tmp_path)
    return fake


PARTS = [Part("train-cnn", "network", 30.0), Part("report", "", 90.0)]


@pytest.fixture(autouse=True)
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a dry run asks the time of, which would take seconds to say."""
    asked: list[Any] = []

    def planned(config: StudyConfig, until: str | None, resumed: Path | None) -> list[Part] | str:
        asked.append((config, until, resumed))
        return PARTS if config.data != "nowhere" else "There is no folder."

    fake = types.SimpleNamespace(planned=planned)
    monkeypatch.setitem(sys.modules, "filtergan.study.expected", fake)
    return asked


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that the command ends with."""
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("filtergan: ")
    assert err.count("\n") == 1
    return err


def resolved(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The config that a dry run prints."""
    assert cli.main(["study", *arguments, "--dry-run"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_a_dry_run_prints_a_config_and_does_nothing(
    stages: Stages, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["study", "mnist", "--seed", "3", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[:4] == [
        "# a study in runs/mnist-seed3",
        "# about 2 min 00 s on this machine, as busy as it is now:",
        "#   train-cnn            30 s",
        "#   report         1 min 30 s",
    ]
    (tmp_path / "mine.yaml").write_text(out)
    assert load(tmp_path / "mine.yaml") == preset("mnist").model_copy(update={"seed": 3})
    assert stages.calls == []
    assert [file.name for file in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_study(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "tiny", "--until", "train-gan", "--resume"]) == 0
    options = {"until": "train-gan", "resume": True, "overwrite": False}
    assert stages.calls == [(preset("tiny"), Path("runs/tiny-seed0"), options)]
    out, err = capsys.readouterr()
    assert out.endswith("\nThe report: runs/tiny-seed0/report.html\n")
    assert err == "filtergan: nothing lies in runs/tiny-seed0 yet; the study begins\n"


def test_a_dry_run_as_json(
    stages: Stages, plans: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("study", "mnist", "-o", "here", "--until", "train-gan", "--dry-run", "--json")
    assert cli.main(given) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["out"] == "here"
    assert found["config"] == preset("mnist").model_dump(mode="json")
    assert (found["expected"]["seconds"], found["expected"]["why"]) == (120, None)
    assert found["expected"]["stages"] == {"train-cnn": 30, "report": 90}
    assert plans == [(preset("mnist"), "train-gan", None)]
    assert cli.main(["study", "tiny", "--data", "nowhere", "--dry-run"]) == 0
    assert "# no estimate of its time: There is no folder." in capsys.readouterr().out
    assert cli.main(["study", "tiny", "--data", "nowhere", "--dry-run", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["expected"]
    assert (expected["seconds"], expected["why"]) == (None, "There is no folder.")


def test_a_study_as_json_and_quietly(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "tiny", "-o", "here", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["run"], found["report"]) == ("here", "here/report.html")
    assert found["record"]["sites"]["conv4@activation"]["verdict"] == "converged"
    assert err == ""
    assert cli.main(["measure", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_the_study_ends_with_the_table(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "digits", "--out", "here", "--overwrite"]) == 0
    options = {"until": None, "resume": False, "overwrite": True}
    assert stages.calls[0][1:] == (Path("here"), options)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    told = ["the table of conv4", "the table of conv2", "The report: here/report.html"]
    assert [line for line in lines if " " in line] == told


def test_a_config_file(stages: Stages, tmp_path: Path) -> None:
    config = StudyConfig(preset="mine", seed=4, layer=("conv1",))
    (tmp_path / "c.yaml").write_text(dump(config))
    assert cli.main(["study", "--config", "c.yaml", "--gan.steps", "7"]) == 0
    ran, out, _ = stages.calls[0]
    assert ran == config.model_copy(update={"gan": config.gan.model_copy(update={"steps": 7})})
    assert out == Path("runs/mine-seed4")


@pytest.mark.parametrize("name", list(known.STAGES))
def test_stages_alone(stages: Stages, name: str) -> None:
    removing = name not in ("ceilings", "report")  # on which later stages build
    asked = [name, "runs/x", "--device", "cpu", *(["--overwrite"] if removing else [])]
    assert cli.main([name, "runs/x"]) == cli.main(asked) == 0
    assert [c[2:] for c in stages.calls] == [(None, False), ("cpu", removing)]


def test_every_field_is_an_option_that_takes_its_own_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = preset("mnist").model_copy(update={"model": "a.b:c", "weights": "w"})
    arguments = []
    for name, value in fields(config):
        if name != "preset":
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            text = text.lower() if isinstance(value, bool | None) else text
            arguments += [f"--{name.replace('_', '-')}", text]
    assert len(arguments) > 80
    found = resolved(capsys, "tiny", *arguments)
    assert found | {"preset": "mnist"} == yaml.safe_load(dump(config))


def test_kinds_of_values(capsys: pytest.CaptureFixture[str]) -> None:
    found = resolved(
        capsys,
        *("mnist", "--layer", "0", "--layer", "features.3,1.0", "--cnn.channels", "8, 16"),
        *("--gan.decay", "false", "--gan.generator-rate=1e-3", "--traversal.dims", "1,2"),
        *("--dataset.image-column", "img", "--seed", "010", "--gan.loss", "minimax"),
        *("--data", "a,b: c", "--mean", "0.5", "--std=0.1,0.2, 0.3", "--size", "32x48"),
    )
    assert found["mean"] == [0.5]
    assert found["std"] == [0.1, 0.2, 0.3]
    assert found["size"] == [32, 48]
    assert found["layer"] == ["0", "features.3", "1.0"]
    assert found["cnn"]["channels"] == [8, 16]
    assert found["gan"]["decay"] is False
    assert found["gan"]["generator_rate"] == 1e-3
    assert found["traversal"]["dims"] == [1, 2]
    assert found["dataset"]["image_column"] == "img"
    assert found["seed"] == 10
    assert found["gan"]["loss"] == "minimax"
    assert found["data"] == "a,b: c"


def test_unset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = StudyConfig(model="a:b").model_dump(mode="json")
    config["traversal"]["dims"] = [0, 1]
    (tmp_path / "c").write_text(yaml.safe_dump(config))
    unset = ("--model", "none", "--traversal.dims", "none")
    found = resolved(capsys, "--config", str(tmp_path / "c"), *unset)
    assert found["model"] is None
    assert found["traversal"]["dims"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "minst"], "There is no preset 'minst'; the presets are tiny, digits, mnist"),
        (["study"], "Name a preset (tiny, digits, mnist, "),
        (["study", "tiny", "--config", "c"], "not both"),
        (["study", "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["study", "tiny", "--gan.stpes", "3"], "no option --gan.stpes. Did you mean --gan.steps?"),
        (["study", "tiny", "--gan.image_column=3"], "no option --gan.image_column. "),
        (["study", "--gan.stpes", "3"], "no option --gan.stpes. Did you mean --gan.steps?"),
        (
            ["study", "tiny", "--overwrit"],
            "Did you mean --overwrite? See `filtergan study --help-all`.",
        ),
        (["study", "tiny", "digits"], "no argument digits"),
        (["study", "tiny", "--resume", "--overwrite"], "not allowed with argument"),
        (["study", "tiny", "--until", "train"], "invalid choice: 'train'"),
        (["study", "tiny", "--seed"], "Argument --seed: expected one argument"),
        (["study", "tiny", "--seed", "one"], "seed: Input should be a valid integer"),
        (["study", "tiny", "--measure.draws", "0"], "measure.draws"),
        (["study", "tiny", "--gan.information", "-1"], "gan.information: Input should be greater"),
        (["study", "tiny", "--traversal.dims", "0,99"], "latent dimension 99 is out of range"),
        (["study", "tiny", "--traversal.dims", "a,b"], "traversal.dims.0"),
        (["study", "tiny", "--gan.loss", "l2"], "gan.loss: Input should be 'minimax'"),
        (["study", "tiny", "--gan.steps", "none"], "gan.steps"),
        (["study", "tiny", "--layer", ""], "layer"),
        (["study", "mnist", "--layer", "none"], "layer: Input should be a valid tuple"),
        (["compare", "--directions", "a", "--images", "abc"], "'abc' is no number of images; take"),
        (["ablate", "tiny", "--recipe", "none"], "recipe: Input should be a valid tuple"),
        (["study", "tiny", "--weights", "w"], "name its factory with --model"),
        (["train"], "invalid choice: 'train'"),
        (["train-gan"], "The following arguments are required: RUN"),
        (["train-gan", "runs/x", "--seed", "3"], "no option --seed. See `filtergan train-gan"),
        (["--verison"], "Did you mean --version?"),
    ],
)
def test_mistakes(
    stages: Stages, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in refused(capsys, *arguments)
    assert stages.calls == []


@pytest.mark.parametrize("command", ["layers", "ask", "ceilings"])
def test_a_file_is_refused_before_the_work(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And before it is seen that there is no such run, no such folder of images."""
    asked = ["layers", "tiny", "--data", "nowhere"] if command == "layers" else [command, "nowhere"]
    said = refused(capsys, *asked, "-o", "here.csv")
    figures = ", .pdf, .svg or .png" if command == "ceilings" else ""
    assert f"The document is written as .json{figures}, not to here.csv" in said
    (tmp_path / "here.json").mkdir()
    assert cli.main([*asked, "-o", str(tmp_path / "here.json")]) == 1
    assert "here.json cannot be written: Is a directory. Name" in capsys.readouterr().err


def test_errors_of_a_study(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    stages.error = UserError("The disk is full; make room.", exit_code=1)
    assert cli.main(["study", "tiny"]) == 1
    assert capsys.readouterr().err == "filtergan: The disk is full; make room.\n"
    stages.error = KeyboardInterrupt()
    assert cli.main(["study", "tiny"]) == 130
    assert "continue with --resume" in capsys.readouterr().err
    assert cli.main(["train-gan", "runs/x", "--device", "cpu"]) == 130
    assert "; `filtergan train-gan runs/x` goes on from here\n" in capsys.readouterr().err
    stages.error = ZeroDivisionError()  # a mistake of ours keeps its traceback
    with pytest.raises(ZeroDivisionError):
        cli.main(["study", "tiny"])


MATTERS = {
    *("--data", "--model", "--weights", "--mean", "--std", "--size", "--layer", "--response"),
    *("--recipe", "--natural.steps"),
    *("--seed", "--device", "--gan.steps", "-o", "--resume", "--overwrite", "--processes"),
    *("-q", "--json"),
}


def options_of(text: str) -> set[str]:
    """The options that a help explains, not those that it only mentions."""
    lines = [line.strip() for line in text.partition("options:")[2].splitlines()]
    return {line.split()[0].rstrip(",") for line in lines if line.startswith("-")}


@pytest.mark.parametrize(
    ("name", "own", "without"),
    [
        ("study", {"--dry-run"}, set()),
        (
            "ablate",
            {"--seeds", "--only"},
            {"--seed", "--resume", "--overwrite", "--processes"},
        ),
        ("layers", set(), {"--layer", "--resume", "--overwrite", "--processes"}),
    ],
)
def test_help_shows_the_dozen_options_that_matter(
    name: str, own: set[str], without: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "tiny", "--help"]) == 0
    text = capsys.readouterr().out
    shown = options_of(text)
    assert shown == MATTERS - without | own | {"--config", "-h", "--help-all"}
    assert "--help-all" in text.partition("options:")[0]  # the command's own text says so
    assert cli.main([name, "tiny", "--help-all"]) == 0
    everything = options_of(capsys.readouterr().out)
    assert shown < everything
    assert len(everything) > 80


def test_help_all_explains_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "mnist", "--help-all"]) == 0
    out = capsys.readouterr().out
    assert options_of(out) >= {"--until", "--nodes"}
    text = " ".join(out.split())
    for name, _ in fields(preset("mnist")):
        if name != "preset":
            assert f"--{name.replace('_', '-')} " in text
    assert "[default: ylecun/mnist]" in text
    assert "Spectral normalisation of the discriminator's layers" in text
    assert cli.main(["study", "--help", "digits"]) == 0
    assert "ylecun" not in capsys.readouterr().out
    assert cli.main(["ceilings", "--help"]) == 0
    assert "PRESET" not in capsys.readouterr().out  # its first argument is RUN


@pytest.mark.parametrize("arguments", [[], ["--help"], ["traverse", "--help"]])
def test_help_of_the_others(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if arguments:
        with pytest.raises(SystemExit, match="0"):
            cli.main(arguments)
    else:
        assert cli.main(arguments) == 0
    assert "filtergan" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("filtergan 0.")


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from filtergan import cli; "
        "cli.main(['study', '--help']); cli.main(['ablate', '--help-all']); "
        "assert not {'torch', 'datasets', 'matplotlib'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_reader_that_has_gone_is_no_mistake():
    """As in `filtergan study tiny --dry-run | head -1`."""
    command = [sys.executable, "-m", "filtergan.cli", "study", "tiny", "--dry-run", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything is written
        assert process.stderr.read() == b""
