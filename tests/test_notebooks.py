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
    shows = [bool(cell.outputs) for cell in executed(path).cells if cell.cell_type == "code"]
    saved = [bool(cell.outputs) for cell in _code(path)]
    assert shows == saved


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_saved_with_its_outputs(path: Path) -> None:
    cells = _code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    said = path.read_text()
    assert "image/png" in said
    assert '"name": "stderr"' not in said
    assert not re.search(r"(/home|/tmp|/work|/root)/", said)


def _code(path: Path) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
