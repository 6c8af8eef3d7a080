"""RESULTS.md and docs/results say what the committed records say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_tables_are_those_of_the_records() -> None:
    command = [sys.executable, str(ROOT / "studies" / "results.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `make results`"


def test_figures_shown_are_committed() -> None:
    for page in (ROOT / "README.md", ROOT / "RESULTS.md", *(ROOT / "docs").rglob("*.md")):
        for line in page.read_text().splitlines():
            if line.startswith("!["):
                figure = line.rpartition("(")[2].rstrip(")")
                assert (page.parent / figure).is_file(), figure
