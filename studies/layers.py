"""What filters of every layer of the CIFAR-10 network can undo: the figure, and its table.

Run by `python studies/layers.py` on what `filtergan ceilings --json` printed.
"""

import json
from pathlib import Path

from filtergan.config.site_names import SiteName
from filtergan.figures import ceilings_figure, save
from filtergan.runs.record import CeilingRecord

FOLDER = Path(__file__).parents[1] / "results" / "layers"
Rows = tuple[list[str], list[list[str]]]


def found() -> dict[str, dict[str, CeilingRecord]]:
    """Ceilings by site, then by change of images."""
    path = FOLDER / "ceilings.json"
    sites = json.loads(path.read_bytes())["sites"] if path.exists() else {}
    return {
        name: {change: CeilingRecord.model_validate(one) for change, one in changes.items()}
        for name, changes in sites.items()
    }


def rows_of(sites: dict[str, dict[str, CeilingRecord]]) -> Rows:
    """A line for each layer, a column for each change of images."""
    changes = list(dict.fromkeys(change for one in sites.values() for change in one))
    lines = [
        [SiteName.parse(name).layer, *(_shown(one.get(change)) for change in changes)]
        for name, one in sites.items()
    ]
    return ["layer", *changes], lines


def _shown(found: CeilingRecord | None) -> str:
    if found is None or found.compensation.value is None:
        return "-"
    null = found.compensation.null
    return f"{found.compensation.value:.2f}" + (f" ({null:.2f})" if null is not None else "")


if __name__ == "__main__":
    save(ceilings_figure(found()), FOLDER / "ceilings.png")
