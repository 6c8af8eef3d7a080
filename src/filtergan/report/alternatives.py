"""What is seen in the figures, in words made of the record's numbers."""

from filtergan.config.site_names import SiteName
from filtergan.measures.doubts import latent_says
from filtergan.measures.gates import failures, value_of
from filtergan.report.bounds import by_compensation
from filtergan.report.text import brief, listed
from filtergan.runs.record import CeilingRecord, Found, NetworkRecord, SiteRecord

SHARES = {
    "photometric": "brightness",
    "width": "stroke width",
    "colour": "colour",
    "affine": "an affine map",
    "spline": "a smooth warp",
}
"""Families that are told of, in words."""


def alternatives(name: str, site: SiteRecord) -> dict[str, str]:
    """Alternative texts of a site's figures, by the figure's key.

    Args:
        name: The site's.
        site: Its part of the record; what was not measured is not told.
    """
    found, layer = site.measures, SiteName.parse(name).layer
    failed = failures(found)
    said = [f"Not to be believed: {'; '.join(failed)}."] if failed else []
    said += [f"{entry.name}: {latent_says(entry, site)}." for entry in site.latents]
    return {
        "filters": f"Filters of {layer} in rows, the real one beside those of several draws."
        + _told(found, " Between two draws they differ by {} of their norm.", "filter_spread")
        + _told(found, " Draws lie {} from the real filters.", "nearest_real_distance"),
        "traversal": "Grids of images: a test image in the middle of each, more changed the "
        "further out."
        + _told(found, " At the measured points the change is {} of its norm,", "image_change")
        + _told(found, " {} of the change in response is undone", "compensation")
        + _told(found, " (random changes of the filters: {}),", "compensation_null")
        + _told(found, " and {} of the labels stay.", "labels_kept"),
        "map": "Filters as points in a plane, each real one beside a cloud of its draws."
        + _told(found, " The draws vary in about {} directions.", "participation_ratio"),
        "curves": f"Curves of the training, which ended so: {site.reason or 'not assessed'}.",
        "kinds": f"Of the change of the image, {_shares(found)}. Of that under random changes of "
        f"the filters, {_shares(site.references.get('null', {}))}.",
        "labels": f"Labels kept: by the network {_path(found, 'labels_kept_at_')}; by the judges "
        f"{_path(found, 'labels_kept_judges_at_')}.",
        "latents": " ".join(said),
        "accuracies": "Test accuracies."
        + _told(found, " The real network: {}.", "real_accuracy")
        + _told(found, " Single draws: {}.", "single_draw_accuracy")
        + _told(found, " Draws pooled and re-trained: {}.", "pooled_retrained_accuracy")
        + _told(found, " Random filters, alike: {}.", "random_filters_retrained_accuracy"),
    }


def of_ceilings(sites: dict[str, SiteRecord]) -> str:
    """What the figure of all ceilings shows: at each site, what is undone most and least."""
    told = [
        f"{SiteName.parse(name).prose}: {_ends(site.ceilings)}"
        for name, site in sites.items()
        if site.ceilings
    ]
    return f"What filters undo. {'; '.join(told)}."


def of_depth(sites: dict[str, SiteRecord]) -> str:
    """What the figure along the network shows."""
    told = [
        f"{SiteName.parse(name).prose} {brief(undone)}"
        for name, site in sites.items()
        if (undone := value_of(site.measures, "compensation")) is not None
    ]
    return f"The main measures, site by site. Undone: {'; '.join(told) or 'not measured'}."


def of_network(network: NetworkRecord | None) -> str:
    """What the curves of the network's training show."""
    reached = brief(network.accuracy.value) if network else "an unknown part"
    return f"Curves of loss and accuracy, at whose end {reached} of the test images are right."


def _told(found: Found, text: str, name: str) -> str:
    value = value_of(found, name)
    return "" if value is None else text.format(brief(value))


def _shares(found: Found) -> str:
    shares = [
        f"{words} explains {brief(share)}"
        for family, words in SHARES.items()
        if (share := value_of(found, f"explained_{family}")) is not None
    ]
    return listed(shares) or "nothing was measured"


def _path(found: Found, prefix: str) -> str:
    """From nearest to furthest."""
    values = {n.removeprefix(prefix): m.value for n, m in found.items() if n.startswith(prefix)}
    steps = [f"{brief(v)} at {r.replace('p', '.')}" for r, v in values.items()]
    return ", ".join([*steps[:1], *steps[-1:]]) or "not measured"


def _ends(ceilings: dict[str, CeilingRecord]) -> str:
    """The family that is undone most, and that undone least."""
    order = by_compensation(ceilings)
    ends = zip(("most", "least"), (*order[-1:], *order[:-1][:1]), strict=False)
    told = (f"{which} {key} ({brief(ceilings[key].undone.value)})" for which, key in ends)
    return ", ".join(told) or "nothing was measured"
