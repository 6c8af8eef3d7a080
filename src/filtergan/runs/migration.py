"""Records of earlier schemas as ones of now."""

from typing import Any

from filtergan.config.site_names import PLAIN, SiteName, folder_of
from filtergan.runs.record import SCHEMA


def migrated(values: dict[str, Any]) -> dict[str, Any]:
    """The content of a record of an earlier schema in the form of now; others as they are.

    Of `filtergan-record-1`: there, `dataset` and `cnn` were empty before they were known, claims
    that one site leaves open were null, and sites whose convolution is not told used groups. There
    and in `filtergan-record-2` a site was named by its layer, and all had the config's reading.
    """
    if values.get("schema") == "filtergan-record-1":
        new = values | {key: values.get(key) or None for key in ("dataset", "cnn")}
        if "claims" in values:
            new["claims"] = values["claims"] or {}
        sites = values["sites"].items()
        new["sites"] = {layer: {"convolution": "grouped"} | site for layer, site in sites}
        return _with_readings(new)
    return _with_readings(values) if values.get("schema") == "filtergan-record-2" else values


def _with_readings(values: dict[str, Any]) -> dict[str, Any]:
    """A record that names sites by their layers, as one that names them by reading as well."""
    point = values["config"].get("response", PLAIN)

    def named(layer: str) -> str:
        return SiteName(layer, point)

    new = values | {"schema": SCHEMA}
    new["sites"] = {
        named(layer): site | {"folder": folder_of(layer)} for layer, site in values["sites"].items()
    }
    new["stages"] = {
        stage: entry | {"sites": [named(layer) for layer in entry.get("sites", [])]}
        for stage, entry in values["stages"].items()
    }
    new["clearing"] = [folder_of(layer) for layer in values.get("clearing", [])]
    new["left_out"] = {named(n): reason for n, reason in values.get("left_out", {}).items()}
    if values.get("claims"):
        new["claims"] = {
            key: {("site" if k == "layer" else k): v for k, v in claim.items()}
            | {"site": named(claim["layer"])}
            for key, claim in values["claims"].items()
        }
    return new
