"""Tables of RESULTS.md on what traversals are worth: families, gates, claims, latents."""

import math
from collections.abc import Mapping, Sequence

from filtergan.config.site_names import NATURAL, PLAIN, SiteName
from filtergan.families.catalogue import explained
from filtergan.measures.claims import TOLERANCE, Less, SiteFound, concluded
from filtergan.measures.contrasts import difference, pool
from filtergan.measures.gates import findings, is_invariance, value_of
from filtergan.measures.gates import gates as tests
from filtergan.runs.record import CheckRecord, ClaimRecord, ConditionRecord, Found, Record

Rows = tuple[list[str], list[list[str]]]

COLUMNS = {
    "image_change": "image change",
    **{f"explained_{name}": family.symbol for name, family in explained().items()},
    "topology_changed": "topology changed",
    "labels_kept_judges": "labels kept by judges",
    "on_manifold_share": "on the manifold",
}


def families(records: Sequence[Record], key: str) -> Rows:
    """What explains the changes of a site's traversals, of its null and of the references.

    Args:
        records: A study's records, one for each seed.
        key: The site.
    """
    sites = [record.sites[key] for record in records]
    sets = {"generator": [site.measures for site in sites]}
    for name in sites[0].references:
        sets[name] = [site.references[name] for site in sites]
    columns = [column for column in COLUMNS if any(column in site.measures for site in sites)]
    lines = [
        [name, *(over_seeds([value_of(found, column) for found in of_seeds]) for column in columns)]
        for name, of_seeds in sets.items()
    ]
    return ["", *(COLUMNS[column] for column in columns)], lines


def gates(records: Sequence[Record]) -> Rows:
    """What every gate and finding says of each site, a column for each seed."""
    lines = []
    for name, site in records[0].sites.items():
        for number, check in enumerate(site.gates):
            cells = [_passed(record.sites[name].gates[number]) for record in records]
            lines.append([name, check.name, *cells])
        nulls = [record.sites[name].references["null"] for record in records]
        lines.append([name, "all, of random changes of the filters", *map(_invariance, nulls)])
    return ["site", "test", *_seeds(records)], lines


def claims(records: Sequence[Record]) -> Rows:
    """The paper's two sentences: their verdicts, and every condition."""
    return _decided(records, [record.claims or {} for record in records])


def readings(records: Sequence[Record]) -> Rows:
    """The same over the readings of each layer, the layer's own activation and a later one.

    Records made before this was asked do not tell it. It is told of their measures with intervals,
    since shares of every point are not kept: at equal image change where that of both sites is.
    """
    return _decided(records, [_over_readings(record) for record in records])


def _decided(records: Sequence[Record], claims: Sequence[Mapping[str, ClaimRecord]]) -> Rows:
    lines = []
    for name, claim in claims[0].items():
        of_seeds = [one[name] for one in claims if name in one]
        verdicts = (f"**{one.verdict}**" for one in of_seeds)
        lines.append([f"**{claim.sentence}**", *verdicts])
        for number, condition in enumerate(claim.conditions):
            conditions = [one.conditions[number] for one in of_seeds]
            lines.append([condition.says, *(_met(condition) for condition in conditions)])
    return ["", *_seeds(records)], lines


def _over_readings(record: Record) -> dict[str, ClaimRecord]:
    sites = [name for name in map(SiteName.parse, record.sites) if name.recipe == NATURAL]
    found = {}
    for layer in dict.fromkeys(name.layer for name in sites):
        at_once = [name for name in sites if name.layer == layer and name.point == PLAIN]
        later = [name for name in sites if name.layer == layer and name.point != PLAIN]
        if at_once and later:
            early, late = _site(record, at_once[0]), _site(record, later[0])
            less = (
                _less(early, late, f"explained_{kind}")
                for kind in ("photometric_width", "photometric_affine_width")
            )
            decided = concluded(early, late, *less)
            found |= {f"{key} at {layer}": claim for key, claim in decided.items()}
    return found


def _site(record: Record, name: SiteName) -> SiteFound:
    site = record.sites[name]
    return SiteFound(name, site.verdict, site.measures, site.references)


def _less(early: SiteFound, late: SiteFound, measure: str) -> Less:
    """A measure at one site less at another; nothing where their images change unequally."""
    changes = [value_of(site.found, "image_change") or math.nan for site in (early, late)]
    if not abs(math.log(changes[0] / changes[1])) <= math.log1p(TOLERANCE):
        return math.nan, (math.nan, math.nan)
    found = difference(*(pool([site.found[measure]]) for site in (early, late)))
    return found.value, (found.low, found.high)


def latents(records: Sequence[Record], name: str) -> Rows:
    """What each latent of a site does, in words, for the first seed."""
    found = records[0].sites[name].latents
    return [f"{name}, seed {records[0].seed}"], [[latent.sentence] for latent in found]


def _seeds(records: Sequence[Record]) -> list[str]:
    return [f"seed {record.seed}" for record in records]


def over_seeds(values: Sequence[float | None]) -> str:
    """Mean and range of a measure's values, as a cell; a dash where no seed has one."""
    found = [value for value in values if value is not None]
    if not found:
        return "-"
    mean, low, high = (f"{v:.2f}" for v in (sum(found) / len(found), min(found), max(found)))
    return mean if low == high else f"{mean} ({low} to {high})"


def _passed(check: CheckRecord) -> str:
    word = {True: "passed", False: "**failed**", None: "not tested"}[check.passed]
    return f"{word}: {check.told}"


def _invariance(found: Found) -> str:
    missed = [check.name for check in (*tests(found), *findings(found)) if not check.passed]
    word = "passed" if is_invariance(found) else "**failed**"
    return f"{word}: {', '.join(missed)}" if missed else word


def _met(condition: ConditionRecord) -> str:
    word = {True: "met", False: "not met", None: "open"}[condition.met]
    return f"{word}: {condition.told}"
