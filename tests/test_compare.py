"""Runs side by side, and what is refused."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import DATASET, begun, measured
from rich.console import Console

from filtergan import cli
from filtergan.compare import Comparison, compare, heading, sheets, write
from filtergan.config.fields import StudyConfig
from filtergan.errors import UserError
from filtergan.machine.sheets import fitted
from filtergan.machine.typeset import escaped
from filtergan.runs.record import TOO_SHORT, Found, SiteRecord, Verdict


def write_run(
    path: Path,
    seed: int = 0,
    measures: Found | None = None,
    layers: tuple[str, ...] = ("conv4",),
    fingerprint: str = "abc",
    verdict: Verdict = "converged",
    **fields: Any,
) -> Path:
    """The least of a record that the comparison reads."""
    config = StudyConfig(seed=seed, layer=layers).model_dump(mode="json")
    for name, value in fields.items():
        part, _, field = name.partition("__")
        if field:
            config[part][field] = value
        else:
            config[part] = value
    found = {"compensation": measured(0.4, 0.05)} if measures is None else measures
    site = SiteRecord(verdict=verdict, measures=found)
    record = begun(
        StudyConfig(preset="digits", seed=seed, layer=layers),
        config=config,
        status="finished",
        git={"commit": "c0ffee", "clean": True},
        dataset=DATASET.model_copy(update={"fingerprint": fingerprint}),
        sites={f"{layer}@activation": site.model_copy(deep=True) for layer in layers},
    )
    path.mkdir(parents=True)
    (path / "record.json").write_text(record.model_dump_json(by_alias=True))
    return path


def pairs(tmp_path: Path, b_value: float = 0.6, **fields: Any) -> list[Path]:
    """Three seeds of a configuration, and three of one with another number of steps."""
    runs = []
    for seed in range(3):
        a = {"compensation": measured(0.4 + 0.01 * seed, 0.02)}
        b = {"compensation": measured(b_value + 0.01 * seed, 0.02)}
        runs.append(write_run(tmp_path / f"a{seed}", seed, a))
        runs.append(write_run(tmp_path / f"b{seed}", seed, b, gan__steps=999, **fields))
    return sorted(runs)


# ------------------------------------------------------------------------------------------- runs


def test_a_setting_that_is_gone_makes_no_other_configuration(tmp_path: Path) -> None:
    now, before = write_run(tmp_path / "now"), write_run(tmp_path / "before", 1, gan__r1=0.0)
    other = write_run(tmp_path / "other", 2, gan__r1=1.0)
    assert len(compare([now, before]).configurations) == 1
    found = compare([now, before, other]).configurations
    assert [c.settings for c in found] == [{"gan.r1": None}, {"gan.r1": 1.0}]


def test_seeds_are_pooled_and_configurations_tested(tmp_path: Path) -> None:
    found = compare(pairs(tmp_path))
    assert [list(c.runs) for c in found.configurations] == [[0, 1, 2], [0, 1, 2]]
    assert [c.settings for c in found.configurations] == [{"gan.steps": 1200}, {"gan.steps": 999}]
    row = found.sites["conv4@activation"]["compensation"]
    assert row.estimates["A"].value == pytest.approx(0.41)
    assert row.differences["B"].value == pytest.approx(0.2)
    assert row.differences["B"].p_holm == row.differences["B"].p < 0.001
    assert found.notes == ()


def test_device_threads_and_the_datas_place_make_no_configuration(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", 0, data="here/mnist", threads=1),
        write_run(tmp_path / "b", 1, data="there/mnist", device="cpu"),
    ]
    assert len(compare(runs).configurations) == 1
    other = write_run(tmp_path / "c", 2, fingerprint="def", data="here/mnist")
    found = compare([*runs, other])
    assert len(found.configurations) == 2
    assert any("images" in note for note in found.notes)


@pytest.mark.parametrize("verdict", ["collapsed", "diverged", TOO_SHORT])
def test_what_is_common_is_compared_and_the_rest_named(tmp_path: Path, verdict: Verdict) -> None:
    more = {"compensation": measured(0.5, 0.02), "filter_spread": measured(0.3, 0.02)}
    one = write_run(tmp_path / "a", 0, more, ("conv4", "conv2"))
    other = write_run(tmp_path / "b", 0, None, ("conv4", "conv3"), verdict=verdict)
    found = compare([one, other])
    assert list(found.sites) == ["conv4@activation"]
    assert not found.sites["conv4@activation"]["filter_spread"].differences
    notes = "\n".join(found.notes)
    for said in (
        "A has site conv2@activation",
        "B has site conv3@activation",
        "B lacks measures of conv4@activation: filter_spread",
        f"B, conv4@activation, seed 0: {verdict}.",
    ):
        assert said in notes
    assert "One seed only of A and B" in notes


def test_the_correction_is_over_all_tests_made(tmp_path: Path) -> None:
    value = {name: measured(0.5, 0.02) for name in ("compensation", "filter_spread", "labels_kept")}
    runs = [
        write_run(tmp_path / "a", 0, value),
        write_run(
            tmp_path / "b", 0, value | {"compensation": measured(0.54, 0.02)}, response="conv"
        ),
    ]
    row = compare(runs).sites["conv4@activation"]["compensation"].differences["B"]
    assert row.p_holm == pytest.approx(3 * row.p)
    alone = compare(runs, ["compensation"]).sites["conv4@activation"]
    assert list(alone) == ["compensation"]
    assert alone["compensation"].differences["B"].p_holm == row.p


def test_latents_are_not_compared_by_their_number(tmp_path: Path) -> None:
    value = {"latent_r2_0": measured(0.9, 0.01), "latent_r2_min": measured(0.9, 0.01)}
    runs = [write_run(tmp_path / str(seed), seed, value) for seed in range(2)]
    assert list(compare(runs).sites["conv4@activation"]) == ["latent_r2_min"]
    assert list(compare(runs, ["latent_r2_0"]).sites["conv4@activation"]) == ["latent_r2_0"]


def test_a_lost_value_is_left_out_and_a_strange_measure_kept(tmp_path: Path) -> None:
    strange = {"of_tomorrow": measured(0.5, 0.02)}
    runs = [
        write_run(tmp_path / "a", 0, {"compensation": measured(math.nan)} | strange),
        write_run(tmp_path / "b", 1, {"compensation": measured(0.4, 0.1)} | strange),
    ]
    found = compare(runs)
    assert found.sites["conv4@activation"]["compensation"].estimates["A"].seeds == 1
    assert found.sites["conv4@activation"]["of_tomorrow"].estimates["A"].seeds == 2


def test_bad_input_is_told_in_a_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    again = write_run(tmp_path / "again")
    empty = write_run(tmp_path / "empty", 1, {})
    elsewhere = write_run(tmp_path / "elsewhere", 1, layers=("conv1",))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "record.json").write_text("{")
    for runs, said in (
        ([run], "at least two"),
        ([run, run], "same configuration and seed"),
        ([run, again], "same configuration and seed"),
        ([run, tmp_path / "nothing"], "holds no study"),
        ([run, damaged], "damaged"),
        ([run, empty], "no measures yet"),
        ([run, elsewhere], "no site in common"),
    ):
        with pytest.raises(UserError, match=said):
            compare(runs)
    with pytest.raises(UserError, match="Did you mean compensation"):
        compare([run, write_run(tmp_path / "b", 1)], ["compensatio"])


# ------------------------------------------------------------------------------------------- text


def printed(found: Comparison) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        tables = (table for sheet in sheets(found) for table in fitted(sheet, 160))
        console.print(*heading(found), *tables, sep="\n")
    return capture.get()


def test_the_tables_say_who_is_better(tmp_path: Path) -> None:
    text = printed(compare(pairs(tmp_path)))
    assert "A: gan.steps=1200; seeds 0, 1, 2" in text
    assert "conv4@activation: B against A" in text
    assert "B better" in text
    assert "B better" not in printed(compare(pairs(tmp_path / "alike", b_value=0.4)))


def test_seeds_of_one_configuration_stand_beside_their_mean(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / str(seed), seed, {"compensation": measured(0.4 + seed / 10, 0.05)})
        for seed in range(3)
    ]
    text = printed(compare(runs))
    # Two digits of the interval's half width, which is about 0.26.
    for shown in ("seed 0", "0.40", "0.60", "0.50", "sd of seeds", "0.10"):
        assert shown in text


def test_json_and_markdown(tmp_path: Path) -> None:
    found = compare(pairs(tmp_path))
    write(found, tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text())
    row = content["sites"]["conv4@activation"]["compensation"]
    assert row["differences"]["B"]["value"] == pytest.approx(0.2)
    assert content["configurations"][1]["runs"]["2"].endswith("b2")
    write(found, tmp_path / "c.md")
    assert "| compensation | 0.41" in (tmp_path / "c.md").read_text()
    with pytest.raises(UserError, match=r"\.csv or \.tex"):
        write(found, tmp_path / "c.txt")


# What LaTeX shows for what it is written as, in the order in which it is undone.
SHOWN = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^"}
SHOWN |= {r"\textbar{}": "|", "$-$": "-", "$<$": "<", "$>$": ">"}
SHOWN |= {f"\\{c}": c for c in "&%$#_{}"}


def cells_of(line: str) -> list[str]:
    """The cells of a row of a table, as they are shown."""
    assert line.endswith("\\\\")
    cells = re.split(r"(?<!\\)&", line.removesuffix("\\\\"))
    for written, shown in SHOWN.items():
        cells = [cell.replace(written, shown) for cell in cells]
    return [cell.strip() for cell in cells]


def test_csv_holds_what_json_holds(tmp_path: Path) -> None:
    lost = {"labels_kept": measured(0.9), "compensation": measured(0.5, 0.02)}
    runs = [*pairs(tmp_path), write_run(tmp_path / "c", 0, lost, data='a, "b"', response="conv")]
    found = compare(runs)
    for ending in ("json", "csv"):
        write(found, tmp_path / f"c.{ending}")
    sites = json.loads((tmp_path / "c.json").read_text())["sites"]
    with (tmp_path / "c.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    read: dict[str, Any] = {}
    for line in lines:
        row = read.setdefault(line["site"], {}).setdefault(line["measure"], {})
        numbers = {k: float(v) if v else None for k, v in line.items() if k not in list(line)[:4]}
        prefix, name = "difference_", line["configuration"]
        own = {k: v for k, v in numbers.items() if not k.startswith(prefix)}
        row.setdefault("estimates", {})[name] = own
        tests = {k.removeprefix(prefix): v for k, v in numbers.items() if k.startswith(prefix)}
        row.setdefault("differences", {})
        if tests["value"] is not None:
            row["differences"][name] = tests
    assert read == sites
    assert {line["settings"] for line in lines} == {
        json.dumps(c.settings) for c in found.configurations
    }


def test_latex_rows_say_what_json_says(tmp_path: Path) -> None:
    runs = pairs(tmp_path, b_value=0.2)
    found = compare(runs)
    for ending in ("json", "tex"):
        write(found, tmp_path / f"c.{ending}")
    rows = json.loads((tmp_path / "c.json").read_text())["sites"]["conv4@activation"]
    text = (tmp_path / "c.tex").read_text()
    for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\begin{tabular}{lrrrr}"):
        assert text.count(rule) == 1
    between = text.partition("\\midrule")[2].partition("\\bottomrule")[0]
    (cells,) = [cells_of(line.strip()) for line in between.strip().splitlines()]
    (name,) = rows
    assert cells[0] == name
    row = rows[name]
    for cell, number in zip(
        cells[1:4], [*row["estimates"].values(), row["differences"]["B"]], strict=True
    ):
        match = re.fullmatch(r"(-?[\d.]+) \((-?[\d.]+) to (-?[\d.]+)\)", cell)
        assert match
        for shown, key in zip(match.groups(), ("value", "low", "high"), strict=True):
            digits = len(shown.partition(".")[2])
            assert shown == f"{number[key]:.{digits}f}"
    assert cells[4] == "< 0.001 B worse"
    caption = next(line for line in text.splitlines() if "\\caption" in line)
    assert r"gan.steps=999; seeds 0, 1, 2" in caption


@given(st.text("\\&%$#_{}~^<>|ab1-. ", max_size=30))
def test_every_character_is_shown_by_latex_as_itself(text: str) -> None:
    written = escaped(text)
    # Scanned once from the left, as LaTeX reads it.
    known = sorted(SHOWN, key=len, reverse=True)
    shown = re.sub("|".join(map(re.escape, known)), lambda m: SHOWN[m.group()], written)
    assert shown == text
    bare = re.sub("|".join(map(re.escape, known)), "", written)
    assert not set(bare) & set("\\&%$#_{}~^<>|")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = list(map(str, pairs(tmp_path))), tmp_path / "c.json"
    assert cli.main(["compare", *runs, "--out", str(out)]) == 0
    assert "B better" in capsys.readouterr().out
    assert out.exists()
    assert cli.main(["compare", *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())
    assert cli.main(["compare", *runs, "--measures", "labels_kept"]) == 2
    assert "None of the runs has a measure" in capsys.readouterr().err
    assert cli.main(["compare", runs[0], "--out", "c.txt"]) == 2
    assert cli.main(["compare", runs[0], "--out", str(out / "c.md")]) == 1
    assert "c.md cannot be written: " in capsys.readouterr().err
