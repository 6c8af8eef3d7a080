"""The tables of RESULTS.md that the records of `make bench` fill."""

import math
from pathlib import Path
from typing import Any

from programme import costs

from filtergan.runs.reading import read_record

RESULTS = Path(__file__).parents[1] / "results"

Record = dict[str, Any]
Line = list[str]


def targets(record: Record) -> tuple[Line, list[Line]]:
    """What was to be reached, and what was measured; parts that are missing are left out."""
    lines = []
    for name, rows in ROWS.items():
        if part := record["parts"].get(name):
            lines += rows(part["found"])
    return ["what", "against", "to reach", "measured", "reached"], lines


def _row(what: str, against: str, wanted: str, measured: str, reached: bool) -> Line:
    return [what, against, wanted, measured, "yes" if reached else "**no**"]


def _spread(values: list[float], digits: int = 2) -> str:
    median, low, high = values
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _convolutions(found: Record) -> list[Line]:
    rows = found["rows"]
    what = "per-sample convolution, both ways"
    heavy = max(rows, key=lambda row: row["filter_mib"])
    worst = max((row for row in rows if row is not heavy), key=lambda row: row["over_shared"][0])
    loop = [1 / row["over_loop"][0] for row in rows]
    mean = math.exp(sum(map(math.log, loop)) / len(loop))
    vmap = max(rows, key=lambda row: row["over_vmap"][0])
    return [
        _row(
            what,
            "shared filters, worst shape but the next row's",
            "≤ 1.5x",
            f"{_spread(worst['over_shared'])} ({worst['shape']})",
            worst["over_shared"][0] <= 1.5,
        ),
        _row(
            f"the same, {heavy['shape']}",
            "its own floor",
            "≤ 2x",
            f"{heavy['over_floor']:.2f} ({heavy['over_shared'][0]:.2f} over shared filters)",
            heavy["over_floor"] <= 2,
        ),
        _row(
            what,
            "a loop over samples",
            "≥ 4x faster in the geometric mean, never slower",
            f"{mean:.1f}x, at least {min(loop):.1f}x",
            mean >= 4 and min(loop) >= 1,
        ),
        _row(
            what,
            "`torch.vmap`, worst shape",
            "≤ 1.1x",
            f"{_spread(vmap['over_vmap'])} ({vmap['shape']})",
            vmap["over_vmap"][0] <= 1.1,
        ),
    ]


def _pooling(found: Record) -> list[Line]:
    lines = []
    for way, words in (("forwards", "forwards"), ("both_ways", "both ways")):
        ratios = {row["shape"]: row[way]["over_apart"] for row in found["rows"]}
        worst = max(ratios, key=lambda shape: ratios[shape][0])
        mean = math.exp(sum(math.log(r[0]) for r in ratios.values()) / len(ratios))
        lines.append(
            _row(
                f"`FilterPool2d` over {found['draws']} sets of filters, {words}",
                "as many passes with one set each",
                "≤ 1x in the geometric mean",
                f"{mean:.2f}; worst {_spread(ratios[worst])} ({worst})",
                mean <= 1,
            )
        )
    return lines


def _step(found: Record) -> list[Line]:
    faster = 1 / found["over_plain"][0]
    after = found["accuracies"]
    last = after[max(after, key=int)]
    equal = "single draws " + " and ".join(
        f"{one['ours']:.3f} (its {one['plain']:.3f}) after {steps} steps"
        for steps, one in after.items()
    )
    what = f"a step of the game, conv4, batch {found['batch']}"
    return [
        _row(what, "its floor", "≤ 2.5x", f"{found['over_floor']:.2f}", found["over_floor"] <= 2.5),
        _row(
            what,
            "a plain implementation",
            "≥ 4x faster, accuracy no worse",
            f"{faster:.2f}x; {equal}; playing its very game: "
            f"{1 / found['same_over_plain'][0]:.2f}x",
            faster >= 4 and last["ours"] >= last["plain"],
        ),
    ]


def _traversal(found: Record) -> list[Line]:
    one, page = found["one"]["over_floor"], found["page"]["over_floor"]
    alone = ", ".join(f"{value:.1f} ({n})" for n, value in found["gradients"].items())
    measured = (
        f"{one:.2f}; eight at once, as a study has them: {page:.2f}; the gradients alone, by "
        f"points at once: {alone}"
    )
    return [_row("a 7x7 traversal, conv4", "its floor", "≤ 2x", measured, one <= 2)]


def _metamer(found: Record) -> list[Line]:
    faster, rate = found["times_faster"], found["plenoptic_rate"]
    points = len(found["plenoptic"][str(rate)]["steps"])
    return [
        _row(
            "the same, for each image",
            "plenoptic's `Metamer`, same objective and residual",
            "≥ 10x faster",
            f"{faster:.0f}x, at its best rate of {rate}; it missed "
            f"{found['plenoptic_missed']} of {points} points",
            faster >= 10,
        )
    ]


def _natural(found: Record) -> list[Line]:
    minutes, passed = found["training_seconds"] / 60, found["pass_seconds"][0]
    one, metamer = found["metamer"], found["metamer"]["plenoptic"]
    points = len(metamer[str(one["plenoptic_rate"])]["steps"])
    faster = one["times_faster"]
    sizes = {int(n): seconds for n, seconds in found["steps_by_images"].items()}
    growth = math.log(sizes[max(sizes)] / sizes[min(sizes)]) / math.log(max(sizes) / min(sizes))
    what = "generator and transformer, conv4"
    most = f"{growth:.2f}"
    return [
        _row(f"{what}, {found['steps']} steps", "-", "≤ 10 min", f"{minutes:.1f}", minutes <= 10),
        _row("their step", "images in a minibatch", "exponent ≤ 1.1", most, growth <= 1.1),
        _row("a 7x7 grid, a pass of T", "-", "≤ 50 ms", f"{1000 * passed:.0f} ms", passed <= 0.05),
        _row(
            "the same, for each image",
            "plenoptic's `Metamer`, until its objective is as low",
            "≥ 1000x faster",
            f"{faster:.0f}x, at its best rate of {one['plenoptic_rate']}; it missed "
            f"{one['plenoptic_missed']} of {points} points",
            faster >= 1000,
        ),
        *_bounds(found),
    ]


def _bounds(found: Record) -> list[Line]:
    """What records from before these were measured do not tell."""
    lines = []
    if (mib := found.get("peak_mib")) is not None:
        goal, gib = "≤ 2 GiB", mib / 1024
        lines.append(_row("their training's peak memory", "-", goal, f"{gib:.2f} GiB", gib <= 2))
    for key, what, most in (
        ("ceilings_seconds", "ceilings of all families, conv4", 60),
        ("spectrum_seconds", "spectrum, conv4", 120),
    ):
        if (seconds := found.get(key)) is not None:
            lines.append(_row(what, "-", f"≤ {most} s", f"{seconds:.0f} s", seconds <= most))
    return lines


def _augmentation(found: Record) -> list[Line]:
    each = found["batch"] / found["seconds"][0]
    measured = f"{each:,.0f}; {_spread(found['over_pass'])} of a pass"
    goal = "≥ 5,000 a second"
    return [_row("`InvarianceAugment` of digits", "a pass of T", goal, measured, each >= 5000)]


def _evaluations(found: Record) -> list[Line]:
    smoothing = found["adam"][0]["smoothing"]  # the inversion's own
    adam = min(
        (one for one in found["adam"] if one["smoothing"] == smoothing),
        key=lambda one: one["evaluations"] or math.inf,
    )
    near = [one for one in found["along_grid"] if one["over_plateau"] <= 1.05]
    ours = min(near, key=lambda one: one["evaluations"], default=None)
    times, measured = 0.0, "not reached"
    if adam["evaluations"] is not None and ours is not None:
        times = adam["evaluations"] / ours["evaluations"]
        measured = (
            f"{ours['evaluations']} and {adam['evaluations']:.0f}: {times:.1f}x; roughness "
            f"{ours['roughness']:.2f} and {adam['roughness']:.2f}; L-BFGS from x takes "
            f"{found['from_x']:.0f}"
        )
    return [
        _row(
            "gradients to 1.05 of the plateau, along a grid",
            "Adam from x at its best constant rate, smoothing alike",
            "≥ 3x fewer",
            measured,
            times >= 3,
        )
    ]


def _growth(found: Record) -> list[Line]:
    worst = max(found, key=lambda name: found[name]["exponent"])
    each = "; ".join(f"{name} {one['exponent']:.2f}" for name, one in found.items())
    return [
        _row("growth of time", "its FLOP", "exponent ≤ 1.1", each, found[worst]["exponent"] <= 1.1)
    ]


def _start_up(found: Record) -> list[Line]:
    return [
        _row(
            "`filtergan --help`",
            "importing torch",
            "≤ 0.5 s more",
            f"{found['help']:.2f} s and {found['torch']:.2f} s",
            found["more"] <= 0.5,
        )
    ]


def _demo(found: Record) -> list[Line]:
    minutes, told, _ = _whole(found, "digits")
    return [_row("the demo's study", told, "≤ 3 minutes", f"{minutes:.1f}", minutes <= 3)]


def _mnist(found: Record) -> list[Line]:
    minutes, told, gib = _whole(found, "mnist_both")
    return [
        _row("the whole `mnist` study", told, "≤ 40 minutes", f"{minutes:.1f}", minutes <= 40),
        _row("its peak memory", told, "≤ 2 GiB", f"{gib:.2f} GiB", gib <= 2),
    ]


def _whole(found: Record, study: str) -> tuple[float, str, float]:
    """Minutes of a study with all its stages, of which run they are told, and its peak in GiB.

    A measurement from before there was the natural recipe gives way to the committed study.
    """
    if "natural" in found["stages"]:
        return found["minutes"], "-", found["peak_mib"] / 1024
    kept = costs(read_record(RESULTS / study / "seed0"))
    minutes = sum(kept["stages"].values()) / 60
    threads = "1 thread" if kept["threads"] == 1 else f"{kept['threads']} threads"
    return minutes, f"the stages of `results/{study}`, {threads}", kept["peak_mib"] / 1024


def _pages(found: Record) -> list[Line]:
    scrubber, page = found["scrubber"], found["explorer"]
    drawn, labels = (
        _spread([1000 * v for v in scrubber[f"{part}_seconds"]], 0) for part in ("drawn", "labels")
    )
    first, rate = scrubber["first_seconds"], scrubber["images_per_second"]
    opened, grid = page["served_seconds"], page["grid_seconds"]
    return [
        _row(
            "scrubber: first moved image",
            "-",
            "≤ 100 ms",
            f"{1000 * first:.0f} ms; later {drawn} ms; labels {labels} ms",
            first <= 0.1,
        ),
        _row("scrubber: while dragging", "-", "≥ 30 images a second", f"{rate:.0f}", rate >= 30),
        _row(
            "`filtergan explore` opens",
            "-",
            "≤ 5 s",
            f"{opened:.1f} s; {page['shown_seconds']:.1f} s until an image is moved",
            opened <= 5,
        ),
        _row("its 5x5 grid", "-", "≤ 1 s", f"{_spread(grid)} s", grid[0] <= 1),
    ]


ROWS = {
    "convolutions": _convolutions,
    "pooling": _pooling,
    "step": _step,
    "traversal": _traversal,
    "metamer": _metamer,
    "natural": _natural,
    "augmentation": _augmentation,
    "pages": _pages,
    "evaluations": _evaluations,
    "mnist": _mnist,
    "demo": _demo,
    "start_up": _start_up,
    "growth": _growth,
}


def convolutions(record: Record) -> tuple[Line, list[Line]]:
    """A row for each shape."""
    part = record["parts"].get("convolutions")
    lines = []
    for row in part["found"]["rows"] if part else ():
        against = (_spread(row[f"over_{other}"]) for other in ("shared", "loop", "vmap"))
        ms = _spread([1000 * v for v in row["seconds"]], 1)
        lines.append(
            [row["shape"], f"{row['filter_mib']:.1f}", ms, *against, f"{row['over_floor']:.2f}"]
        )
    heads = ["shape", "filters, MiB", "ms", "over shared", "over a loop", "over vmap"]
    return [*heads, "over its floor"], lines


def evaluations(record: Record) -> tuple[Line, list[Line]]:
    """What each way of searching takes, and how rough what it finds is."""
    part, lines = record["parts"].get("evaluations"), []
    if part:
        found = part["found"]
        rows = [("the long search itself", found["plateau"])]
        rows += [
            (f"Adam, rate {one['rate']}, smoothing {one['smoothing']}", one)
            for one in found["adam"]
        ]
        rows += [("L-BFGS along the grid", one) for one in found["along_grid"]]
        for name, one in rows:
            count = one.get("evaluations") or "-"
            over, rough = f"{one['over_plateau']:.3f}", f"{one['roughness']:.2f}"
            lines.append([name, str(count), over, rough])
    return ["search", "gradients", "objective over the plateau", "roughness of the change"], lines


def machines(record: Record) -> tuple[Line, list[Line]]:
    """What each part was measured on."""
    lines = []
    for name, part in record["parts"].items():
        on = part["machine"]
        git = part["git"] or {"commit": "-", "clean": False}
        lines.append(
            [
                name,
                f"{on['gpu'] or on['cpu']}, {part['threads']} threads",
                f"{part['gflop_per_s']:.0f}",
                f"{part['gb_per_s']:.1f}",
                str(git["commit"])[:9] + ("" if git["clean"] else " (changed)"),
            ]
        )
    return ["part", "machine", "GFLOP/s of a product", "GB/s of a copy", "commit"], lines
