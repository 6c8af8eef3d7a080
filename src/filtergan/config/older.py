"""Configs of earlier versions: what became of the settings that are gone."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

REMOVED: dict[str, Any] = {
    "gan.r1": 0.0,
    "gan.share_trunk": True,
    "gan.information_warmup": 0,
}
"""Settings that measured no benefit, each with the value that stands for what is done now."""

RENAMED = {"dataset.augmentation": "dataset.planted", "gan.judged": "ablation.shown"}
"""Settings that have another name now."""


def renewed(values: Mapping[str, Any]) -> dict[str, Any]:
    """A config that an earlier version wrote, as one of now.

    Settings that are gone are left out where they had the value that stands for what is done now;
    with another value they stay, and `parsing.parse` will name them. Those that have another name
    now get it. The one reading becomes the first of several.

    Args:
        values: Nested mapping of field names to values, which is left as it is.
    """
    found = deepcopy(dict(values))
    for name, value in REMOVED.items():
        part, field = name.split(".")
        group = found.get(part)
        if isinstance(group, dict) and group.get(field) == value:
            del group[field]
    for name, now in RENAMED.items():
        part, field = name.split(".")
        group = found.get(part)
        if isinstance(group, dict) and field in group:
            part, new = now.split(".")
            found.setdefault(part, {})[new] = group.pop(field)
    if isinstance(found.get("response"), str):
        found["response"] = [found["response"]]
    return found
