"""A comparison of latents as a file: all numbers as JSON or CSV, what is printed, or a figure."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from filtergan.errors import UserError
from filtergan.figures import Figure, ignored_figure, written
from filtergan.figures.ignored import Asked
from filtergan.likeness.likeness_record import Likeness, plain_site
from filtergan.likeness.likeness_sheets import SHORT, heading, sheets
from filtergan.machine.files import require_ending, write_atomic
from filtergan.machine.typeset import latex, markdown
from filtergan.runs.record import MeasureRecord

CAPTION = (
    "What T does to images along each latent, asked of every network: compensation that its best "
    "filters reach, less that of random filters, and whether it ignores what they undo."
)


def write(found: Likeness, path: Path) -> None:
    """Write it, whole or not at all, in the form that the ending names.

    Raises:
        UserError: The file could not be written (exit code 1).
    """
    write_atomic(path, FORMS[path.suffix](found))


def check_ending(path: Path) -> None:
    """Refuse a file that `write` would not know how to write.

    Raises:
        UserError: It has none of the endings.
    """
    require_ending(path, FORMS, "A comparison of directions")


def read(path: Path) -> Likeness:
    """What was written as JSON.

    Raises:
        UserError: There is no such file, or it holds something else.
    """
    try:
        return Likeness.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is no comparison of directions; make one with `filtergan compare --directions "
            "RUN RUN -o FILE.json`."
        ) from error


def document(found: Likeness) -> dict[str, Any]:
    """Everything, as plain values."""
    return found.model_dump(mode="json", by_alias=True)


def figure(found: Likeness) -> Figure:
    """Latents by networks: what is undone more than by chance, and the answers."""
    panels: dict[str, dict[str, dict[str, Asked]]] = {}
    for direction in found.directions:
        seen = {direction.network: found.own(direction), **found.others(direction)}
        row = {
            name: Asked(one.compensation, SHORT[one.ignored], name == direction.network)
            for name, one in sorted(seen.items())
        }
        panel = panels.setdefault(plain_site(direction.site), {})
        panel[f"{direction.network} z{direction.latent}"] = row
    return ignored_figure(panels)


def _json(found: Likeness) -> bytes:
    return found.model_dump_json(by_alias=True, indent=1).encode() + b"\n"


def _csv(found: Likeness) -> bytes:
    """A line for each number; empty where there is none."""
    places = ["network", "site", "latent", "other_network", "other_site"]
    numbers = ["value", "low", "high", "n", "null"]
    text = io.StringIO()
    lines = csv.DictWriter(text, [*places, "ignored", "measure", *numbers], lineterminator="\n")
    lines.writeheader()

    def put(one: Any, **measures: MeasureRecord) -> None:
        own = {name: getattr(one, name, None) for name in (*places, "ignored")}
        for name, entry in measures.items():
            low, high = entry.ci95
            values = (entry.value, low, high, entry.n, entry.null)
            lines.writerow(own | {"measure": name} | dict(zip(numbers, values, strict=True)))

    for one in found.shares:
        put(one, share=one.share, share_top=MeasureRecord(value=one.top, n=one.share.n))
    for one in found.crossings:
        change = MeasureRecord(value=one.image_change, n=one.compensation.n)
        put(one, compensation=one.compensation, passed=one.passed, labels_kept=one.labels_kept)
        put(one, image_change=change)
    return text.getvalue().encode()


def _markdown(found: Likeness) -> bytes:
    return markdown("Directions compared", heading(found), sheets(found)).encode()


def _latex(found: Likeness) -> bytes:
    return latex(heading(found), sheets(found)).encode()


def _figure(ending: str, found: Likeness) -> bytes:
    return written(figure(found), ending, "Directions compared", CAPTION)


FORMS: dict[str, Callable[[Likeness], bytes]] = {
    ".json": _json,
    ".csv": _csv,
    ".md": _markdown,
    ".tex": _latex,
    ".pdf": partial(_figure, "pdf"),
    ".svg": partial(_figure, "svg"),
    ".png": partial(_figure, "png"),
}
"""What a comparison is written as, by the ending of the file."""
