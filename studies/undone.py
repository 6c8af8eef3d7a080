"""Tables of what changes of filters undo: by the best filters, and by a trained transformer."""

from collections.abc import Callable, Sequence

from filtergan.config.site_names import SiteName
from filtergan.runs.record import LatentRecord, MeasureRecord, Record

Rows = tuple[list[str], list[list[str]]]
Shown = Callable[[MeasureRecord | None, str], str]

# measure, what it is, and on MNIST what was to be reached
ROWS = (
    (
        "compensation",
        "undone by T; null: a T trained for random directions",
        "0.7 to 0.85, by site",
    ),
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
    ("independent_directions", "independent directions (participation ratio)", "≥ 5 or ≥ 3"),
    ("step_r2_min", "R² of z' - z read from the images, worst latent", "≥ 0.8"),
    ("labels_kept", "labels kept by the network", ""),
    ("labels_kept_judges", "labels kept by three judges", "≥ 0.97"),
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
    records = [record for record in records if name in record.sites]
    lines = []
    for measure, words, goal in ROWS:
        found = [record.sites[name].measures.get(measure) for record in records]
        if any(found):
            lines.append([words, goal, *(shown(one, measure) for one in found)])
    most = [_gains(record.sites[name].latents) for record in records]
    lines.append(["latents that brightness explains to 0.8 or more", "≤ 1", *most])
    return ["", "to reach on MNIST", *(f"seed {record.seed}" for record in records)], lines


def _gains(latents: Sequence[LatentRecord]) -> str:
    shares = [
        one.explained.get("photometric") or 0.0 for one in latents if one.name.startswith("z")
    ]
    return f"{sum(share >= 0.8 for share in shares)} of {len(shares)}"


def ceilings(records: Sequence[Record], shown: Shown) -> Rows:
    """What the best filters undo of every known change, a column for each site, the first seed."""
    found = records[0].sites.items() if records else ()
    sites = {name.partition("/")[0]: site.ceilings for name, site in found if site.ceilings}
    kinds = dict.fromkeys(kind for found in sites.values() for kind in found)
    lines = []
    for kind in kinds:
        first = next(found[kind] for found in sites.values() if kind in found)
        cells = [
            shown(found[kind].compensation if kind in found else None, kind)
            for found in sites.values()
        ]
        lines.append([kind, f"{first.image_change:.2f}", *cells])
    return ["change of images", "its size", *sites], lines


# measure, and the head of its column
SUMMARY = (
    ("compensation", "undone"),
    ("search_compensation", "undone by a search"),
    ("image_change", "change of image"),
    ("labels_kept_judges", "labels kept by judges"),
    ("on_manifold_share", "on the manifold"),
)


def found(studies: Sequence[Sequence[Record]]) -> Rows:
    """A line for every site of some studies, means over their seeds."""
    lines = []
    for records in studies:
        for name in records[0].sites:
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
