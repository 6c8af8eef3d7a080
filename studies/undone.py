"""Tables of what changes of filters undo: by the best filters, and by a trained transformer."""

from collections.abc import Callable, Mapping, Sequence

from filtergan.config.site_names import SiteName
from filtergan.report.bounds import by_compensation
from filtergan.runs.record import CeilingRecord, LatentRecord, MeasureRecord, Record, SiteRecord

Rows = tuple[list[str], list[list[str]]]
Shown = Callable[[MeasureRecord | None, str], str]

BEST, MEDIAN = "best ceiling", "median"
DIRECTIONS = {"conv4@bn5": "≥ 5", "conv4@activation": "≥ 3", "conv2@activation": "≥ 3"}
# measure, what it is, and on MNIST what was to be reached, where it differs by layer and reading
ROWS: tuple[tuple[str, str, str | dict[str, str]], ...] = (
    ("compensation", "undone by T, mean; null: a T trained for random directions", ""),
    (
        MEDIAN,
        "the same: median over points",
        {"conv4@bn5": "≥ 0.8", "conv4@activation": "≥ 0.7", "conv2@activation": "≥ 0.85"},
    ),
    (BEST, "best ceiling of a known family; null: random filters", ""),
    ("image_change", "change of image, norms of x", "≥ 0.3"),
    (
        "search_compensation",
        "undone by a search for fields, image by image",
        "≥ 0.9, null 0.3 less",
    ),
    ("repeatability", "agreement of three such searches (ICC)", "≥ 0.85"),
    ("transformer_search_agreement", "agreement of the search with T (cosine)", ""),
    ("pixel_compensation", "undone by the paper's search, pixel by pixel", ""),
    ("nearest_image_compensation", "undone by the nearest real image", ""),
    ("independent_directions", "independent directions (participation ratio)", DIRECTIONS),
    ("alike_directions", "how alike the two most alike directions are (cosine)", ""),
    ("step_r2_min", "R² of z' - z read from the images, worst latent", "≥ 0.8"),
    ("invariance_gain_affine", "change of logits, squared, over that by affine maps as large", ""),
    ("invariance_gain_warp", "the same over that by warps", ""),
    ("invariance_gain_noise", "over that by noise", ""),
    ("invariance_gain_thickness", "over that by thicker or thinner strokes", ""),
    ("invariance_gain_brightness", "over that by dimming", ""),
    ("invariance_gain_null", "over that by the images of the null", ""),
    ("labels_kept", "labels kept by the network", ""),
    ("labels_kept_judges", "labels kept by independent judges", "≥ 0.97"),
    ("on_manifold_share", "images on the manifold", "≥ 0.85"),
    ("image_two_sample_accuracy", "real or transformed, told by a classifier", "≤ 0.65"),
    ("folded_share", "pixels at which the flow folds", ""),
    ("return_error", "z to z' and back; null: not going back", ""),
    ("composition_error", "in two steps or in one; null: stopping half way", ""),
    ("single_draw_accuracy", "single draws, mean", "≥ 0.985"),
    ("single_draw_accuracy_min", "the same: worst draw", "≥ 0.975"),
)


def natural(records: Sequence[Record], name: str, shown: Shown) -> Rows:
    """Every measure of a site of the natural recipe, a column for each seed."""
    sites = {r.seed: r.sites[name] for r in records if name in r.sites}
    where = name.partition("/")[0]
    lines = []
    for measure, words, goal in ROWS:
        cells = [_cell(site, measure, shown) for site in sites.values()]
        if set(cells) != {"-"}:
            lines.append([words, goal if isinstance(goal, str) else goal.get(where, ""), *cells])
    most = [_gains(site.latents) for site in sites.values()]
    lines.append(["latents that brightness explains to 0.8 or more", "≤ 1", *most])
    return ["", "to reach on MNIST", *(f"seed {seed}" for seed in sites)], lines


def _cell(site: SiteRecord, measure: str, shown: Shown) -> str:
    """A measure; or what is no measure: the change that filters undo best, or T's median."""
    if measure == BEST:
        if not site.ceilings:
            return "-"
        best = by_compensation(site.ceilings)[-1]
        return f"{best}: {shown(site.ceilings[best].undone, BEST)}"
    if measure == MEDIAN:
        mean = site.measures.get("compensation")
        return f"{mean.quantiles['0.5']:.3f}" if mean is not None and mean.quantiles else "-"
    return shown(site.measures.get(measure), measure)


def _gains(latents: Sequence[LatentRecord]) -> str:
    shares = [
        one.explained.get("photometric") or 0.0 for one in latents if one.name.startswith("z")
    ]
    return f"{sum(share >= 0.8 for share in shares)} of {len(shares)}"


def ceilings(records: Sequence[Record], shown: Shown) -> Rows:
    """What the best filters undo of every known change, a column for each site."""
    return _bounds(records, shown, lambda ceiling: ceiling.undone)


def shares(records: Sequence[Record], shown: Shown) -> Rows:
    """How much of what every known change does to the response the best filters can express."""
    return _bounds(records, shown, lambda ceiling: ceiling.share)


def _bounds(
    records: Sequence[Record], shown: Shown, part: Callable[[CeilingRecord], MeasureRecord]
) -> Rows:
    """A part of every ceiling: with the interval of a single seed, or the range over several."""
    sites: dict[str, list[Mapping[str, CeilingRecord]]] = {}
    for record in records:
        for name, site in record.sites.items():
            if site.ceilings:
                sites.setdefault(name.partition("/")[0], []).append(site.ceilings)
    lines = []
    for kind in dict.fromkeys(kind for of in sites.values() for one in of for kind in one):
        found = {name: [one[kind] for one in of if kind in one] for name, of in sites.items()}
        sizes = [one.image_change for of in found.values() for one in of]
        cells = (_over_seeds([part(one) for one in of], shown, kind) for of in found.values())
        lines.append([kind, _range(sizes), *cells])
    return ["change of images", "its size", *sites], lines


def _over_seeds(found: Sequence[MeasureRecord], shown: Shown, kind: str) -> str:
    if len(found) < 2:
        return shown(found[0] if found else None, kind)
    return f"{_range([one.value for one in found])}; null {_range([one.null for one in found])}"


def _range(values: Sequence[float | None]) -> str:
    """Least and largest of some values; one where they read alike."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    low, high = (f"{value:.2f}" for value in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


# measure, and the head of its column
SUMMARY = (
    ("compensation", "undone"),
    ("search_compensation", "undone by a search"),
    ("image_change", "change of image"),
    ("labels_kept_judges", "labels kept by judges"),
    ("on_manifold_share", "on the manifold"),
)


def found(studies: Sequence[Sequence[Record]]) -> Rows:
    """A line for every site of some studies, means over seeds; of a site of several, the first."""
    lines, told = [], set[str]()
    for records in studies:
        for name in [name for name in records[0].sites if name not in told]:
            told.add(name)
            sites = [record.sites[name] for record in records if name in record.sites]
            each = ([site.measures.get(measure) for site in sites] for measure, _ in SUMMARY)
            passed = sum(all(gate.passed for gate in site.gates) for site in sites)
            words = SiteName.parse(name).prose
            lines.append([words, *map(_mean, each), f"{passed} of {len(sites)}"])
    head = ["site", *(words for _, words in SUMMARY), "seeds that pass all gates"]
    return head, lines


def _mean(found: Sequence[MeasureRecord | None]) -> str:
    values = [one.value for one in found if one is not None and one.value is not None]
    if not values:
        return "-"
    nulls = [one.null for one in found if one is not None and one.null is not None]
    chance = f" ({sum(nulls) / len(nulls):.2f})" if nulls else ""
    return f"{sum(values) / len(values):.2f}{chance}"
