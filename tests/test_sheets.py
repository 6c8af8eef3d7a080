"""Tables for the terminal: nothing is cut at any width, and nothing stands beyond it."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from filtergan.machine.sheets import UNSEEN, Sheet, console, fitted, wrap

NAMES = ("a", "noise_matched_retrained_accuracy", "conv4@bn5/natural", "x" * 30)
CELLS = ("0.5", "-0.12345\n-0.23456 to -0.01234", "12,345", "0.991\n(0.990 to 0.992)", "")


def bare(text: str) -> str:
    return text.replace("(", "").replace(")", "")


def printed(sheet: Sheet, width: int) -> list[str]:
    screen = Console(file=io.StringIO(), width=width)
    with screen.capture() as capture:
        screen.print(*fitted(sheet, width), sep="\n")
    return capture.get().splitlines()


@settings(max_examples=60)
@given(st.integers(40, 200), st.integers(1, 9), st.integers(0, 4))
def test_nothing_is_cut_at_any_width(width: int, columns: int, turn: int) -> None:
    head = ["measure", *(f"column {i}" for i in range(columns))]
    rows = [
        [name, *(CELLS[(turn + place + i) % len(CELLS)] for i in range(columns))]
        for place, name in enumerate(NAMES)
    ]
    lines = printed(Sheet("a title", head, rows, "a caption"), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert text.count("a title") == text.count("a caption") == 1
    cells = [bare(cell).split() for row in rows for cell in row[1:]]
    for word in {word for cell in cells for word in cell} - {"to"}:
        assert bare(text).split().count(word) == sum(cell.count(word) for cell in cells)
    # Names stand in the first column, wrapped where need be.
    letters = "".join("".join(line.split(" ")[:1]) for line in lines)
    assert all(name in letters for name in NAMES[1:])


def test_a_table_that_fits_stands_on_one_line_a_row() -> None:
    sheet = Sheet("t", ["name", "value"], [["a_long_name", "0.5\n0.4 to 0.6"]])
    assert [line.split() for line in printed(sheet, 80)][-1] == [
        *("a_long_name", "0.5", "0.4", "to", "0.6")
    ]
    assert len(printed(sheet, 20)) == 2 + len(printed(sheet, 80)) - 1


def test_too_many_columns_make_several_tables_with_the_names_in_each() -> None:
    head = ["measure", *(f"seed {i}" for i in range(11))]
    rows = [[name, *(f"{i}.12345" for i in range(11))] for name in ("one_measure", "another")]
    lines = printed(Sheet("t", head, rows), 60)
    assert sum(line.startswith("one_measure") for line in lines) == 2
    assert [word for line in lines if line.startswith("another") for word in line.split()[1:]] == [
        f"{i}.12345" for i in range(11)
    ]


def test_a_row_keeps_its_colour() -> None:
    sheet = Sheet("t", ["a", "b"], [["x", "1"], ["y", "2"]], styles={1: "red"})
    screen = Console(file=io.StringIO(), width=40, force_terminal=True, color_system="standard")
    with screen.capture() as capture:
        screen.print(*fitted(sheet, 40))
    assert [line.startswith("\x1b[31m") for line in capture.get().splitlines()[-2:]] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("noise_matched_retrained_accuracy", 20, "noise_matched_\nretrained_accuracy"),
        ("conv4@bn5/natural", 10, "conv4@bn5/\nnatural"),
        ("features.0.conv2@activation", 12, "features.0.\nconv2@\nactivation"),
        ("is 0.53, which is little", 9, "is 0.53,\nwhich is\nlittle"),
        ("unbreakable", 4, "unbreakable"),
        ("", 4, ""),
    ],
)
def test_where_words_are_wrapped(text: str, width: int, lines: str) -> None:
    assert wrap(text, width) == lines


def test_width_of_what_no_terminal_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == UNSEEN
    monkeypatch.setenv("COLUMNS", "72")
    assert console().width == 72
