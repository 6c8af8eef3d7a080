"""Do two trainings find the same? Changes of images by the transformers of seeds and of layers.

The same test images are changed along every latent of each site of the natural recipe. Of the
changes at one site, how much could those at another have made, by their linear combinations, image
by image? Null: what the other site's null could have made, a transformer trained for random
directions of the filters; top: what the same site's own could have made elsewhere in its latent
space. The answers stand in results/likeness/record.json.

    python studies/likeness.py RUN [RUN ...]
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import filtergan as fg
from filtergan.config.site_names import NATURAL
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.measures.statistics import interval
from filtergan.measures.transformers import share_within
from filtergan.natural.natural_gan import NaturalGAN

RECORD = Path(__file__).parents[1] / "results" / "likeness" / "record.json"
IMAGES = 256
STEP = 4.0  # along each latent: the radius of a study's traversals
RESAMPLES = 2000


@dataclass(frozen=True)
class Found:
    """How images change at a site of a run: `here`, at another z, and by the site's null."""

    seed: int
    site: str
    here: Tensor
    elsewhere: Tensor
    null: Tensor


def main() -> None:
    """Compare all sites of all runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    runs = [fg.open_run(path) for path in parser.parse_args().runs]
    x = runs[0].dataset.test.pixels(slice(IMAGES))
    found = [at(run, name, x) for run in runs for name in run.config.sites_of(NATURAL)]
    pairs = [(one, other) for one in found for other in found if comparable(one, other)]
    record = {"git": git_state(), "pairs": [compared(*pair) for pair in pairs]}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RECORD, json.dumps(record, indent=1).encode() + b"\n")
    for line in rows_of(record)[1]:
        print(" | ".join(line))


def at(run: Any, name: str, x: Tensor) -> Found:
    """How the images change at a site."""
    gan, seed = run.gan(name), run.config.seed
    null = NaturalGAN.load((run.path / run.record.sites[name].files["null"]).parent, run.network)

    def changed(which: NaturalGAN, what: str) -> Tensor:
        z = which.latents(len(x), seed, what)
        steps = STEP * torch.eye(which.latent)
        moved = [which.transform(x, z, z + step) - x for step in steps]
        return torch.stack(moved, dim=1).flatten(2)

    here, elsewhere = changed(gan, "likeness"), changed(gan, "likeness, elsewhere")
    return Found(seed, name, here, elsewhere, changed(null, "likeness"))


def comparable(one: Found, other: Found) -> bool:
    """Two seeds of one site, or two sites of one seed."""
    return (one.site == other.site) != (one.seed == other.seed)


def compared(one: Found, other: Found) -> dict[str, Any]:
    """What of the one's changes the other's could have made, with its null and its top."""
    shares = {
        "share": share_within(one.here, other.here),
        "null": share_within(one.here, other.null),
        "top": share_within(one.here, one.elsewhere),
    }
    ends = interval(shares["share"], resamples=RESAMPLES, seed=0)
    means = {name: float(values.nanmean()) for name, values in shares.items()}
    return {
        "site": one.site,
        "seed": one.seed,
        "other_site": other.site,
        "other_seed": other.seed,
        "interval": list(ends),
        **means,
    }


def rows_of(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table, means over pairs of seeds, and over seeds of two sites."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for pair in record["pairs"]:
        groups.setdefault((pair["site"], pair["other_site"]), []).append(pair)
    lines = []
    for (site, other), pairs in groups.items():
        share, null, top = (
            sum(p[key] for p in pairs) / len(pairs) for key in ("share", "null", "top")
        )
        low, high = min(p["share"] for p in pairs), max(p["share"] for p in pairs)
        of = "another seed" if site == other else other
        lines.append(
            [site, of, f"{share:.2f} ({low:.2f} to {high:.2f})", f"{null:.2f}", f"{top:.2f}"]
        )
    head = ["changes at", "made by those of", "share, over pairs", "its null's", "its own"]
    return head, lines


if __name__ == "__main__":
    main()
