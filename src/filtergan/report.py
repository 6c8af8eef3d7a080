"""From a run's record to one self-contained HTML page, and to tables for the terminal."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.table import Table

from filtergan.config import StudyConfig, dump
from filtergan.figures import intervals_figure, png
from filtergan.figures.style import DASH, MINUS
from filtergan.measures.registry import lookup, order
from filtergan.record import RunDirectory, write_atomic

LABELS_KEPT, IMAGE_CHANGE = 0.95, 0.15
"""What a traversal must reach, beside a compensation above its null, to count as an invariance."""

CAPTIONS = {
    "filters": (
        "Filters",
        "As the paper's fig. 2: each row is one filter, real and in several draws. The later "
        "layers are fixed, so a draw's filter stands where the real one stood.",
    ),
    "traversal": (
        "Traversals",
        "As the paper's figs. 3 and 4: walking through two latents, the images that would have "
        "caused the response of the image in the middle (blue). Each grid's numbers are below it.",
    ),
    "map": (
        "Map of filters",
        "As the paper's fig. 5: multidimensional scaling, each point one filter.",
    ),
    "curves": ("Training curves", "As they were logged, not smoothed."),
}
"""Title and caption of the record's figures, in the order in which they are shown."""

ACCURACIES = {
    "real_accuracy": ("real network, as it is", True),
    "single_draw_accuracy": ("single draws, nothing re-trained (mean)", False),
    "pooled_retrained_accuracy": ("draws pooled, later layers re-trained", False),
    "real_retrained_accuracy": ("real filters, re-trained alike", True),
    "noise_matched_retrained_accuracy": ("real filters + matched noise, pooled", True),
    "random_filters_retrained_accuracy": ("random filters (null), pooled", True),
}
"""Rows of the figure of accuracies, and which of them are controls."""

PAPER_ROWS = (
    ("Test accuracy of the network", "0.971", "real_accuracy"),
    ("Single draws, nothing re-trained: mean", DASH, "single_draw_accuracy"),
    ("Single draws, nothing re-trained: worst", DASH, "single_draw_accuracy_min"),
    ("Draws pooled, later layers re-trained", "0.982 (ten, layer 4)", "pooled_retrained_accuracy"),
    ("Control: real filters, re-trained alike", DASH, "real_retrained_accuracy"),
    ("Control: real filters with matched noise", DASH, "noise_matched_retrained_accuracy"),
    ("Null: random filters, re-trained alike", DASH, "random_filters_retrained_accuracy"),
    ("Variety of the filters: spread", "“a variety” (fig. 5)", "filter_spread"),
    ("Latents recovered: worst R²", DASH, "latent_r2_min"),
    ("Traversals: labels kept", "“irrelevant for the task”", "labels_kept"),
    ("Traversals: image change", "seen in figs. 3, 4", "image_change"),
    ("Traversals: compensation", DASH, "compensation"),
    ("Its null: norm-matched random changes", DASH, "compensation_null"),
)
"""What is measured, the paper's number, and the name of ours."""


def write_report(run: RunDirectory) -> Path:
    """Write report.html, one page that needs neither a server nor a network.

    What is missing (a study stopped early) is said to be missing.

    Args:
        run: A run directory; its record and the figures that the record names are read.

    Returns:
        Path of the page.

    Raises:
        UserError: The page could not be written (exit code 1).
    """
    environment = Environment(
        loader=PackageLoader("filtergan"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["duration"] = duration
    path = run.path / "report.html"
    page = environment.get_template("report.html.j2").render(_context(run))
    write_atomic(path, page.encode())
    return path


def summary_table(run: RunDirectory) -> list[Table]:
    """One table of measures for each site, for the terminal.

    A site that collapsed or diverged says so in red above its numbers.
    """
    tables = []
    for layer, site in run.record["sites"].items():
        verdict = site.get("verdict")
        style = {"converged": "bold green", None: "bold yellow"}.get(verdict, "bold white on red")
        table = Table(
            title=f"{layer}: {verdict or 'not assessed'}",
            title_style=style,
            caption=site.get("reason"),
            caption_style="none" if verdict in ("converged", None) else "red",
        )
        table.add_column("measure", no_wrap=True)
        for column in ("value", "95 % interval", "n", "null"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("better")
        for row in _rows(site.get("measures", {})):
            cells = (row["value"], row["interval"], str(row["n"]), row["null"], row["better"])
            table.add_row(row["name"], *cells)
        tables.append(table)
    return tables


def number(value: float | int | None) -> str:
    """A number as it is printed everywhere: four digits that count, a dash for none."""
    if value is None:
        return DASH
    digits = 4 if abs(value) < 2 else 2 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}".replace("-", MINUS)


def duration(seconds: float | int | None) -> str:
    """Seconds as `41 s`, `3 min 20 s` or `1 h 05 min`."""
    if seconds is None:
        return DASH
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def _context(run: RunDirectory) -> dict[str, Any]:
    record, config = run.record, run.config
    sites = [_site(run, layer, site) for layer, site in record["sites"].items()]
    done, missing = _done(config, record)
    # The page cannot know how long it takes to write itself.
    stages = {n: s for n, s in record.get("stages", {}).items() if n != "report"}
    network_curves = record.get("cnn", {}).get("figures", {}).get("curves")
    return {
        "record": record,
        "preset": record.get("preset") or config.preset,
        "status": record.get("status"),
        "sites": sites,
        "done": done,
        "missing": missing,
        "paper": _paper_table(record["sites"]),
        "is_mnist": config.data.rstrip("/").split("/")[-1].lower() == "mnist",
        "data": config.data,
        "network_curves": _inline(run.path, network_curves),
        "network": _plain(record.get("cnn", {})),
        "dataset": _plain(record.get("dataset", {})),
        "machine": _plain(record.get("device") or {}),
        "versions": record.get("versions", {}),
        "stages": stages,
        "seconds": sum(stage.get("seconds") or 0 for stage in stages.values()),
        "config": dump(config),
    }


def _site(run: RunDirectory, layer: str, site: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of one site."""
    measures, figures = site.get("measures", {}), site.get("figures", {})
    shown = [
        {"title": title, "caption": caption, "image": image, "key": key}
        for key, (title, caption) in CAPTIONS.items()
        if (image := _inline(run.path, figures.get(key)))
    ]
    grids = sorted((key for key in figures if key.startswith("grid_")), key=_grid_order)
    rows = _rows(measures)
    return {
        "layer": layer,
        "verdict": site.get("verdict"),
        "reason": site.get("reason"),
        "filters": _shape(site.get("filters")),
        "response": _shape(site.get("response")),
        "traversals": _traversals(measures),
        "accuracies": _accuracies(measures),
        "figures": shown,
        "grids": [image for key in grids if (image := _inline(run.path, figures[key]))],
        "rows": [row for row in rows if not row["latent"]],
        "latents": [row for row in rows if row["latent"]],
    }


def _rows(measures: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Measures as rows of text, in the registry's order."""
    rows = []
    for name in sorted(measures, key=_order):
        found, meaning = measures[name], lookup(name)
        low, high = found.get("ci95") or (None, None)
        null = found.get("null")
        against = ""
        if low is not None and high is not None and null is not None:
            against = "above null" if low > null else "below null" if high < null else "as null"
        rows.append(
            {
                "name": name,
                "meaning": meaning.meaning,
                "null_meaning": meaning.null_meaning,
                "source": meaning.source,
                "unit": meaning.unit,
                "range": f"{_bound(meaning.low, MINUS + '∞')} to {_bound(meaning.high, '∞')}",
                "better": {"neither": DASH}.get(meaning.better, meaning.better),
                "value": number(found.get("value")),
                "interval": DASH if low is None else f"{number(low)} to {number(high)}",
                "n": found.get("n", DASH),
                "null": number(null),
                "has_null": null is not None,
                "against": against,
                "quantiles": {k: number(v) for k, v in (found.get("quantiles") or {}).items()},
                "latent": name.removeprefix("latent_r2_").isdigit(),
            }
        )
    return rows


def _order(name: str) -> tuple[int, int, str]:
    """Place of a measure: the registry's, those of one kind in order of their number."""
    digits = re.search(r"\d+$", name)
    return order(name)[0], int(digits[0]) if digits else 0, name


def _grid_order(key: str) -> tuple[int, str]:
    digits = key.removeprefix("grid_")
    return (int(digits) if digits.isdigit() else 0, key)


def _paper_table(sites: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The paper's numbers with those of every site beside them."""
    table = []
    for label, paper, name in PAPER_ROWS:
        found = [site.get("measures", {}).get(name) for site in sites.values()]
        cells = []
        for measure in found:
            low, high = (measure or {}).get("ci95") or (None, None)
            interval = "" if low is None else f"{number(low)} to {number(high)}"
            cells.append((number((measure or {}).get("value")), interval))
        if any(found):
            table.append({"label": label, "paper": paper, "cells": cells})
    return table


def _traversals(measures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Whether the traversals were shown to be invariances, in a sentence; None: not measured."""
    value = {name: found.get("value") for name, found in measures.items()}
    kept, change = value.get("labels_kept"), value.get("image_change")
    ours, null = value.get("compensation"), value.get("compensation_null")
    if kept is None or change is None or ours is None or null is None:
        return None
    low = (measures["compensation"].get("ci95") or (None,))[0]
    high = (measures["compensation_null"].get("ci95") or (None, None))[1]
    faults = []
    if kept < LABELS_KEPT:
        faults.append("too few labels are kept")
    if change < IMAGE_CHANGE:
        faults.append("the images hardly change")
    if low is None or low <= (null if high is None else high):
        faults.append("compensation does not exceed what random changes of the filters allow")
    numbers = (
        f"labels kept {kept:.3f}, image change {change:.2f}, compensation {ours:.2f} against a "
        f"null of {null:.2f}"
    )
    return {"shown": not faults, "numbers": numbers, "faults": "; ".join(faults)}


def _accuracies(measures: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The re-trained accuracies and their controls as a figure; None: fewer than two measured."""
    rows = [
        (label, measures[name], control)
        for name, (label, control) in ACCURACIES.items()
        if measures.get(name, {}).get("value") is not None
    ]
    if len(rows) < 2:
        return None
    return _data_url(png(intervals_figure(rows, "test accuracy, 95 % interval")))


def _done(config: StudyConfig, record: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What was done, in sentences, and the stages that were not."""
    said, missing = [], []
    for stage, sentence in _sentences(config).items():
        entries = [e for name, e in record.get("stages", {}).items() if name.startswith(stage)]
        if entries and all(entry.get("done") for entry in entries):
            said.append(sentence)
        else:
            missing.append(stage)
    return said, missing


def _sentences(config: StudyConfig) -> dict[str, str]:
    """What each stage does under this config."""
    cnn, gan, traversal, measure = config.cnn, config.gan, config.traversal, config.measure
    network = (
        f"The network studied is {config.model}"
        + (f" with the weights of {config.weights}" if config.weights else "")
        if config.model
        else f"A network of {len(cnn.channels)} convolutions was trained on {config.data} for "
        f"{cnn.epochs} epochs"
    )
    updates = (
        "the three updates of Algorithm 1"
        if gan.updates == "algorithm1"
        else "adversarial and information gradients summed"
    )
    start = (
        "Its filters started at the real ones."
        if gan.start == "real"
        else "It never sees the real filters; only responses are judged."
    )
    return {
        "train-cnn": f"{network}; it stays frozen in all that follows.",
        "train-gan": f"For {' and '.join(config.layer)}, each on its own, a generator was trained "
        f"to map {gan.latent} latents to all filters of the convolution, in {gan.steps:,} steps "
        f"of {gan.batch} images ({updates}, λ = {gan.information:g}), so that the responses at "
        f"“{config.response}” would pass for real ones. {start}",
        "traverse": f"Traversals: {traversal.images} test images, each as a grid of "
        f"{traversal.grid} by {traversal.grid} latent points, and for the numbers "
        f"{traversal.measured_images} images at {traversal.measured_points} points each, recovered "
        f"in {traversal.steps} steps (eqs. 5 to 8).",
        "measure": f"Assessment: {measure.draws} single draws with nothing re-trained; "
        f"{measure.pooled} draws pooled with the later layers re-trained for "
        f"{measure.retrain_epochs} epochs (eq. 9), beside controls re-trained alike. Intervals are "
        "95 %; images are resampled whole, and draws where a number is a mean over draws.",
    }


def _plain(entry: Mapping[str, Any]) -> dict[str, str]:
    """The plain values of a part of the record, as text."""
    plain = {}
    for name, value in entry.items():
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        if isinstance(value, float):
            plain[name] = number(value)
        elif isinstance(value, list) and len(value) <= 20:
            plain[name] = ", ".join(map(str, value))
        elif isinstance(value, str | int):
            plain[name] = str(value)
    return plain


def _shape(sizes: list[int] | None) -> str | None:
    return " x ".join(map(str, sizes)) if sizes else None


def _bound(value: float | None, unbounded: str) -> str:
    return unbounded if value is None else f"{value:g}".replace("-", MINUS)


def _inline(folder: Path, name: str | None) -> str | None:
    """A figure of the run as a data URL; None where there is none."""
    if name is None or not (folder / name).is_file():
        return None
    return _data_url((folder / name).read_bytes())


def _data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
