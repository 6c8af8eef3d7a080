"""Fill the tables of README.md, RESULTS.md and docs/results from the records (`make results`).

Text between `<!-- table: NAME -->` and `<!-- end -->` is replaced; everything else is written by
hand. `--check` changes nothing and fails if a table is not what the records say.
"""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from filtergan.runs.reading import read_record
from filtergan.runs.record import MeasureRecord, Record

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs" / "results").glob("*.md"))]

# measure, what it is, and on MNIST the paper's number and what was to be reached
ROWS = (
    ("real_accuracy", "network, test accuracy", "0.971", "≥ 0.990"),
    ("single_draw_accuracy", "single draws, nothing re-trained: mean", "", "≥ 0.97"),
    ("single_draw_accuracy_min", "the same: worst draw", "", "≥ 0.95"),
    ("single_draw_accuracy_sd", "the same: standard deviation", "", ""),
    ("pooled_accuracy_k1", "pooled, nothing re-trained, K = 1", "", ""),
    ("pooled_accuracy_k2", "K = 2", "", ""),
    ("pooled_accuracy_k5", "K = 5", "", ""),
    ("pooled_accuracy_k10", "pooled, nothing re-trained, K = 10", "", ""),
    ("pooled_accuracy_k20", "K = 20", "", ""),
    ("pooled_retrained_accuracy", "draws pooled, later layers re-trained", "0.982", "≥ 0.990"),
    ("real_retrained_accuracy", "control: real filters, re-trained alike", "", ""),
    ("pooled_retrained_gain", "pooled less real, same images", "0.011", "≥ -0.002"),
    ("noise_matched_retrained_accuracy", "control: real filters + matched noise", "", ""),
    ("random_filters_retrained_accuracy", "null: random filters", "", ""),
    ("latent_r2_min", "R² of Q on held-out images, worst latent", "", "≥ 0.8"),
    ("latent_r2_mean", "the same, mean", "", ""),
    ("information_nats", "information bound, nats", "", ""),
    ("filter_spread", "spread of the generated filters", "“a variety”", "≥ 0.10"),
    ("nearest_real_distance", "distance to the nearest real filter", "", ""),
    ("participation_ratio", "participation ratio of the draws", "", ""),
    ("profile_residual_before", "traversals: profile residual before", "", ""),
    ("profile_residual_after", "traversals: profile residual after", "", ""),
    ("compensation", "traversals: compensation", "", "reported"),
    ("compensation_null", "its null: random changes of the filters", "", "beside it"),
    ("image_change", "traversals: median image change", "", "≥ 0.15"),
    ("labels_kept", "traversals: labels kept", "“irrelevant for the task”", "≥ 0.95"),
)

CONTROLS = (
    "pooled_accuracy_k10",
    "pooled_retrained_accuracy",
    "real_retrained_accuracy",
    "noise_matched_retrained_accuracy",
    "pooled_retrained_gain",
    "nearest_real_distance",
)


def main() -> int:
    """Rewrite or check the pages; returns the exit code."""
    different = [page for page in PAGES if page.read_text() != _filled(page.read_text())]
    if "--check" in sys.argv:
        return int(bool(different))
    for page in different:
        page.write_text(_filled(page.read_text()))
    return 0


def _filled(page: str) -> str:
    """A page with its tables made anew."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        made = TABLES[name.partition("/")[0]](name)
        return f"<!-- table: {name} -->\n{made}\n<!-- end -->"

    return re.sub(r"<!-- table: (\S+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def _records(study: str) -> list[Record]:
    return [read_record(path.parent) for path in _paths(study)]


def _paths(study: str) -> list[Path]:
    return sorted((ROOT / "results" / study).glob("seed*/record.json"))


def _site(name: str) -> str:
    """`site/STUDY/SITE`: every measure of one site, a column per seed."""
    _, study, site = name.split("/", 2)
    records = [record for record in _records(study) if site in record.sites]
    head = [f"seed {r.seed}" for r in records]
    verdicts = [r.sites[site].verdict or "not assessed" for r in records]
    lines = [["verdict", "", "converged", *verdicts]]
    for measure, words, paper, goal in ROWS:
        found = [r.sites[site].measures.get(measure) for r in records]
        if any(found):
            lines.append([words, paper, goal, *(_shown(f, measure) for f in found)])
    if study == "mnist":
        return _table(["", "paper", "to reach", *head], lines)
    return _table(["", *head], [[line[0], *line[3:]] for line in lines])


def _controls(table: str) -> str:
    """`controls/STUDY`: pooled draws and copies of filters beside their controls, at every site."""
    records = _records(table.partition("/")[2])
    words = {measure: said for measure, said, _, _ in ROWS}
    lines = [
        [site, words[name], *(_shown(r.sites[site].measures.get(name), name) for r in records)]
        for site in records[0].sites
        for name in CONTROLS
    ]
    return _table(["site", "", *(f"seed {record.seed}" for record in records)], lines)


def _undone(name: str) -> str:
    """`natural/STUDY/SITE`, `ceilings/STUDY` or `shares/STUDY`."""
    import undone

    table, study, *site = name.split("/", 2)
    return _table(*getattr(undone, table)(_records(study), *site, _shown))


def _found(name: str) -> str:
    """`found/STUDY,STUDY`: a line for every site, means over seeds."""
    import undone

    studies = name.partition("/")[2].split(",")
    return _table(*undone.found([_records(study) for study in studies]))


def _shown(found: MeasureRecord | None, measure: str) -> str:
    if found is None or found.value is None:
        return "-"
    digits = 2 if measure in ("participation_ratio", "information_nats") else 3
    digits = 4 if "accuracy" in measure or "gain" in measure else digits
    text = f"{found.value:.{digits}f}"
    low, high = found.ci95
    if low is not None and high is not None:
        text += f" ({low:.{digits}f} to {high:.{digits}f})"
    if found.null is not None and measure not in ("real_accuracy", "pooled_retrained_gain"):
        text += f"; null {found.null:.{digits}f}"
    return text


def _cost(name: str) -> str:
    """`cost/STUDY`: what each record says of its making; a stage may be younger than the study."""
    records = _records(name.partition("/")[2])
    stages = list(records[0].stages)
    lines = [
        _line(
            [
                "seed",
                "commits",
                "trees clean",
                *(f"{stage} (threads)" for stage in stages),
                "all stages, minutes",
                "peak memory, MiB",
            ]
        ),
        _line(["---"] * (5 + len(stages))),
    ]
    for record in records:
        made = [record.stages[s] for s in stages]
        seconds = [stage.seconds for stage in made]
        memory = max(stage.peak_memory_mib or 0 for stage in made)
        git = [one for one in (record.git, *(stage.git for stage in made)) if one]
        lines.append(
            _line(
                [
                    str(record.seed),
                    ", ".join(dict.fromkeys(one.commit[:9] for one in git)) or "-",
                    "yes" if git and all(one.clean for one in git) else "no",
                    *(f"{stage.seconds:.0f} s ({stage.threads})" for stage in made),
                    f"{sum(seconds) / 60:.1f}",
                    f"{memory:.0f}",
                ]
            )
        )
    return "\n".join(lines)


def _variants(_: str) -> str:
    """`variants`: the alternatives of the game, mean over seeds and range."""
    records = [json.loads(path.read_bytes())["runs"] for path in _paths("variants")]
    keys = ("accuracy", "accuracy_min", "r2_min", "spread", "nearest")
    heads = ("variant", "single draws", "worst draw", "worst R²", "spread", "nearest real")
    lines = [_line(heads), _line(["---"] * len(heads))]
    for variant in records[0] if records else ():
        runs = [record[variant] for record in records if variant in record]
        lines.append(_line([variant, *(_over_seeds([run[key] for run in runs]) for key in keys)]))
    return "\n".join(lines)


def _ablations(name: str) -> str:
    """`ablations`: each variant, mean over seeds and range; `ablations/less_base`: differences."""
    from filtergan.ablations.outcome import COLUMNS, compare, verdicts
    from filtergan.ablations.variants import VARIANTS

    part = name.partition("/")[2]
    found = {v: {r.seed: r for r in _records(f"ablations/{v}")} for v in VARIANTS}
    sites = compare({variant: seeds for variant, seeds in found.items() if seeds})
    heads = ["site", "variant", "verdicts", *COLUMNS.values()]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for site, variants in sites.items():
        for variant, of_variant in variants.items():
            measures = of_variant["measures"].values()
            values = [(m[part] if part else m)["values"].values() for m in measures]
            if not part or variant != "base":
                cells = (_over_seeds(list(v)) for v in values)
                lines.append(_line([site, variant, verdicts(of_variant), *cells]))
    return "\n".join(lines)


def _planted(name: str) -> str:
    """`planted`: each kind against the plain study of its seed; `/kinds`: all.

    `planted/questions`: what was asked directly, in short; `/SITE` at one site.
    """
    import planted
    import questions

    if "/questions" in name:
        found, site = questions.recorded(), name.partition("/questions/")[2]
        head, *lines = questions.table(found, site) if site else questions.summary(found)
        return _table(head, lines)
    head, lines = planted.by_kind() if name.endswith("/kinds") else planted.rows()
    return _table(head, lines)


def _plain(name: str) -> str:
    """What one study found, by its name."""
    study = importlib.import_module(name)
    return _table(*study.rows_of(_recorded(ROOT / study.RECORD)))


def _likeness(name: str) -> str:
    """`STUDY`: what of the changes at a site those of another network or site could have made.

    `STUDY/whose`: how many latents of each site are whose invariance.
    """
    from filtergan.likeness import likeness_files, likeness_sheets

    study, _, table = name.partition("/")
    path = ROOT / "results" / study / "record.json"
    found = likeness_files.read(path) if path.exists() else None
    if table == "whose":
        sheet = likeness_sheets.count_sheet(found) if found else None
        return _table(list(sheet.head), [list(row) for row in sheet.rows]) if sheet else ""
    return _table(*likeness_sheets.over_pairs(found.shares if found else []))


def _augment(name: str) -> str:
    """`augment/accuracies` or `augment/differences`: augmentations side by side."""
    import augmentations

    study, _, table = name.partition("/")
    return _table(*getattr(augmentations, table)(augmentations.results(study)))


def _fibers(name: str) -> str:
    """`fibers`, or `fibers/` with `subject_rows`, `pair_rows` or `asked_rows`."""
    import fibers

    rows = getattr(fibers, name.partition("/")[2] or "rows_of")
    return _table(*rows(_recorded(fibers.RECORD)))


def _transfer(name: str) -> str:
    """`transfer`, `colour_transfer`: what carries over; with `/use`: in fresh networks."""
    import transfer_tables

    path = transfer_tables.IN_COLOUR if name.startswith("colour") else transfer_tables.RECORD
    rows = transfer_tables.use_of if name.endswith("/use") else transfer_tables.rows_of
    return _table(*rows(_recorded(path)))


def _metamers(name: str) -> str:
    """`metamers/SITE`: sets of metamers by way; `/meant`, `/directions`: what else is told."""
    import metamer_tables

    part, found = name.partition("/")[2], _recorded(metamer_tables.RECORD)
    if part in ("meant", "directions", "alone"):
        return _table(*getattr(metamer_tables, f"{part}_rows")(found))
    return _table(*metamer_tables.rows_of(found, part))


def _layers(name: str) -> str:
    """`layers`: what filters of every layer of a network for CIFAR-10 undo; what is said of it."""
    import layers

    if name.endswith("/answers"):
        return _table(*layers.answer_rows(layers.answers()))
    tables = {"claim": layers.claim_rows, "shares": layers.share_rows}
    return _table(*tables.get(name.partition("/")[2], layers.rows_of)(layers.found()))


def _spectra(name: str) -> str:
    """`spectra`, `layer_spectra`: leading directions; `spectra/limits`: what follows of them."""
    place, _, table = name.partition("/")
    study = importlib.import_module({"spectra": "site_spectra"}.get(place, place))
    return _table(*getattr(study, f"{table or 'rows'}_of")(study.recorded()))


def _others(name: str) -> str:
    """`others`: networks of others, at one reading each; `others/ceilings`: at several."""
    import others

    rows = others.ceiling_rows if name.endswith("/ceilings") else others.rows_of
    return _table(*rows(_recorded(others.RECORD)))


def _bench(name: str) -> str:
    """`bench/DEVICE/targets`, `bench/DEVICE/convolutions` or `bench/DEVICE/machines`."""
    sys.path.append(str(ROOT / "benchmarks"))
    import summary

    _, device, table = name.split("/")
    path = ROOT / "results" / "benchmarks" / device / "record.json"
    return _table(*getattr(summary, table)({"parts": {}} | _recorded(path)))


def _evidence(name: str) -> str:
    """`gates`, `claims` or `readings` with `/STUDY`, `families` or `latents` with `/STUDY/SITE`."""
    import evidence

    table, study, *site = name.split("/", 2)
    head, lines = getattr(evidence, table)(_records(study), *site)
    return _table(head, lines)


def _recorded(path: Path) -> dict[str, Any]:
    """A record of one file; empty where there is none."""
    return json.loads(path.read_bytes()) if path.exists() else {}


def _over_seeds(values: list[float | None]) -> str:
    found = [value for value in values if value is not None]
    if not found:
        return "-"
    text = f"{sum(found) / len(found):.3f}"
    if len(found) > 1:
        text += f" ({min(found):.3f} to {max(found):.3f})"
    lost = len(values) - len(found)
    return text + (f" {lost} of {len(values)} diverged" if lost else "")


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(map(_line, (head, ["---"] * len(head), *lines)))


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


TABLES = {
    "site": _site,
    "natural": _undone,
    "found": _found,
    "ceilings": _undone,
    "shares": _undone,
    "controls": _controls,
    "cost": _cost,
    "variants": _variants,
    "ablations": _ablations,
    "planted": _planted,
    "large_layers": _plain,
    "error_sets": _plain,
    "far_draws": _plain,
    "best_lengths": _plain,
    "family_steps": _plain,
    "null_steps": _plain,
    "joint_objectives": _plain,
    "augment": _augment,
    "augment_null": _augment,
    "augment_colour": _augment,
    "layers": _layers,
    "colour_network": _plain,
    "spectra": _spectra,
    "layer_spectra": _spectra,
    "symmetries": _plain,
    "fibers": _fibers,
    "others": _others,
    "transfer": _transfer,
    "colour_transfer": _transfer,
    "metamers": _metamers,
    "likeness": _likeness,
    "likeness_digits": _likeness,
    "bench": _bench,
    "families": _evidence,
    "gates": _evidence,
    "claims": _evidence,
    "readings": _evidence,
    "latents": _evidence,
}

if __name__ == "__main__":
    sys.exit(main())
