"""The notebooks of examples/ run from top to bottom, and were saved with what they show."""

import re
from pathlib import Path

import nbformat
import pytest
from run_notebooks import EXAMPLES, executed

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_there_are_four() -> None:
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["augmentation", "digits", "own_network", "records"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path) -> None:
    cells = [cell for cell in executed(path).cells if cell.cell_type == "code"]
    assert [bool(cell.outputs) for cell in cells] == [bool(cell.outputs) for cell in _code(path)]
    if path.stem == "records":  # nothing is trained there: what it says is what the records say
        assert [_said(cell) for cell in cells] == [_said(cell) for cell in _code(path)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_saved_with_its_outputs(path: Path) -> None:
    cells = _code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    said = path.read_text()
    assert "image/png" in said
    assert '"name": "stderr"' not in said
    assert not re.search(r"(/home|/tmp|/work|/root)/", said)


def _said(cell: nbformat.NotebookNode) -> list[str]:
    """The text of what a cell shows."""
    shown = [(output.get("text"), output.get("data", {})) for output in cell.outputs]
    return [data.get("text/plain", "") if text is None else text for text, data in shown]


def _code(path: Path) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
