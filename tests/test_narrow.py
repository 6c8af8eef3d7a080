"""Help and tables on a terminal of 80 columns: nothing stands beyond it, and no number is lost."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from commands import command

from filtergan import compare
from filtergan.cli import output
from filtergan.cli.arguments import commands_of, parser
from filtergan.cli.helping import Wrapped
from filtergan.config.fields import StudyConfig
from filtergan.config.parsing import parse
from filtergan.config.site_names import SiteName
from filtergan.figures.style import MINUS
from filtergan.machine.sheets import Sheet
from filtergan.report import summary_sheets
from filtergan.report.bounds import ceiling_sheet
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record

RESULTS = Path(__file__).parents[1] / "results"
NUMBER = re.compile(rf"[-{MINUS}]?\d[\d.,]*(?<![.,])")


@pytest.fixture(autouse=True)
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", ["", *commands_of(parser(StudyConfig()))])
def test_every_help_fits(name: str, everything: bool) -> None:
    whole = parser(StudyConfig(), everything)
    text = commands_of(whole)[name].format_help() if name else whole.format_help()
    assert max(map(len, text.splitlines())) <= 80


def test_what_a_description_says_is_wrapped_and_its_commands_are_not() -> None:
    said = (
        "A paragraph whose lines\nare --filled anew.\n"
        "  name     a meaning, longer than the line\n"
        "  a command, which nothing may break\n\nAnother one."
    )
    assert Wrapped("x")._fill_text(said, 24, " ").split("\n") == [
        " A paragraph whose lines",
        " are --filled anew.",
        "   name     a meaning,",
        "            longer than",
        "            the line",
        "   a command, which nothing may break",
        " ",
        " Another one.",
    ]


def assert_all_told(text: str, sheets: Iterable[Sheet]) -> None:
    """No line is too long, and all cells stand in the text."""
    assert max(map(len, text.splitlines())) <= 80
    cells = [cell for sheet in sheets for row in sheet.rows for cell in row]
    assert len(cells) > 50
    assert not Counter(NUMBER.findall(" ".join(cells))) - Counter(NUMBER.findall(text))


@pytest.mark.parametrize("study", ["digits", "mnist_both", "cifar10_small_natural"])
def test_what_a_study_ends_with(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = RESULTS / study / "seed0"
    record = read_record(path)
    run = RunDirectory(path, parse(record.config, "a record"), record)
    output.put_study(run, as_json=False)
    assert_all_told(capsys.readouterr().out, summary_sheets(run))


@pytest.mark.parametrize("study", ["digits", "mnist_both", "cifar10_small_natural"])
def test_ceilings(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = read_record(RESULTS / study / "seed0")
    found = {SiteName.parse(name): site.ceilings for name, site in record.sites.items()}
    output.put_ceilings(found, None, as_json=False)
    sheets = [ceiling_sheet(name, one) for name, one in found.items()]
    assert_all_told(capsys.readouterr().out, sheets)


def test_a_comparison() -> None:
    studies = ("mnist_natural", "mnist_start_paper")
    runs = [RESULTS / study / f"seed{seed}" for study in studies for seed in (0, 1)]
    assert_all_told(command("compare", *runs), compare.sheets(compare.compare(runs)))
