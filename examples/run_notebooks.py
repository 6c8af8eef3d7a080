"""Runs the notebooks and keeps what they show: python examples/run_notebooks.py [NOTEBOOK ...].

Without names it runs all. What they say of their progress, on stderr, is not kept.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent
LIMIT = 1800  # seconds that one cell may take


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run in its own folder.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell ended with an error.
    """
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        iopub_timeout=LIMIT,
        startup_timeout=LIMIT,
        record_timing=False,
        resources=where,
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown = [o for o in cell.outputs if o.get("name") != "stderr"]
            cell.outputs = shown
    return notebook


def main() -> None:
    """Run those named, or all, and write them in their place."""
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(EXAMPLES.glob("*.ipynb")):
        print(path.name, flush=True)
        nbformat.write(executed(path), path)


if __name__ == "__main__":
    main()
