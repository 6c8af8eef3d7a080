"""Are the worst draws those far out? Accuracy of draws, by the length of their latents.

Latents are drawn from a normal law, whose lengths vary, and training sees long ones seldom. So
the same draws are classified with as they are; with those longer than nine of ten of the law drawn
back to that length; and all brought to the length sqrt(d) that is usual for d latents. Filters
nearer to the mean are safer in any case, so beside each way stands how far its draws spread. The
answers stand in results/far_draws/record.json, by the last two folders of a run.

    python studies/far_draws.py RUN [RUN ...] --data path/to/mnist
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from error_sets import key_of
from scipy.stats import chi, rankdata
from torch import Tensor

import filtergan as fg
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.measures.filters import filter_spread
from filtergan.pooling.retraining import draw_accuracy

RECORD = Path(__file__).parents[1] / "results" / "far_draws" / "record.json"
DRAWS, IMAGES = 100, 5000
Found = dict[str, dict[str, Any]]


def main() -> None:
    """Classify with the draws of each run's natural sites, and add them to the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", help="their images, where they have moved")
    arguments = parser.parse_args()
    git = git_state()
    found = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for path in arguments.runs:
        run = fg.open_run(path, data=arguments.data)
        names = [name for name in run.sites if SiteName.parse(name).recipe == NATURAL]
        of_sites = {name: accuracies(run, name) for name in names}
        found[key_of(path)] = {"git": git, "draws": DRAWS, "images": IMAGES, "sites": of_sites}
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    for line in rows_of(found)[1]:
        print(" | ".join(line))


@torch.no_grad()
def accuracies(run: Any, name: str) -> dict[str, Any]:
    """Of each way mean and worst accuracy and spread; as drawn, the correlation with lengths."""
    gan, test = run.gan(name), run.dataset.test
    z = gan.latents(DRAWS, run.config.seed, "far draws")
    device, found, lengths = z.device, {}, z.norm(dim=1)
    for way, drawn in ways(z).items():
        filters = gan.draw(drawn)
        right = draw_accuracy(
            gan.site, test.images[:IMAGES], test.labels[:IMAGES], filters, device=device
        )
        each = right.single.float().mean(dim=1)
        spread = filter_spread(filters, gan.site.filters)
        found[way] = {"mean": float(each.mean()), "worst": float(each.min()), "spread": spread}
        if drawn is z:
            found[way] |= correlation(lengths, each)
    return found


def ways(z: Tensor) -> dict[str, Tensor]:
    """The same latents at lengths that vary less and less."""
    lengths, size = z.norm(dim=1, keepdim=True), z.shape[1]
    longest = float(chi.ppf(0.9, size))
    return {
        "as drawn": z,
        "no longer than nine of ten": z * (longest / lengths).clamp(max=1),
        "all of length sqrt(d)": z * math.sqrt(size) / lengths,
    }


def correlation(lengths: Tensor, accuracy: Tensor) -> dict[str, Any]:
    """Spearman's, with the 95 % interval of Fieller et al. (1957); not for accuracies all alike."""
    ranks = [rankdata(one.cpu().numpy()) for one in (lengths, accuracy)]
    value = float(np.corrcoef(ranks)[0, 1])
    reach = 1.96 * math.sqrt(1.06 / (len(lengths) - 3))
    ends = [math.tanh(math.atanh(value) + sign * reach) for sign in (-1, 1)]
    return {"correlation": value, "ci95": ends}


def rows_of(found: Found) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: a row for each site and run."""
    names = dict.fromkeys(name for run in found.values() for name in run["sites"])
    asked = {
        (name, run): one["sites"][name]
        for name in names
        for run, one in found.items()
        if name in one["sites"]
    }
    lines = []
    for (name, run), of_ways in asked.items():
        drawn = of_ways["as drawn"]
        low, high = drawn["ci95"]
        told = f"{drawn['correlation']:.2f} ({low:.2f} to {high:.2f})"
        cells = [f"{w['mean']:.4f}; {w['worst']:.4f}; {w['spread']:.2f}" for w in of_ways.values()]
        lines.append([name, run, told, *cells])
    head = ["site", "run", "rank correlation of length and accuracy"]
    all_ways = next(iter(asked.values()), {})
    return [*head, *(f"{way}: mean; worst; spread" for way in all_ways)], lines


if __name__ == "__main__":
    main()
