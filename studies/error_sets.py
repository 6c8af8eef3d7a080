"""Do generated filters err as the real ones do? Accuracy against overlap of error sets.

A generator of weights may but copy what it was trained on, which accuracy does not tell. So beside
each site's generator stand what anyone can make of W without one: noise on it, of two sizes; and
of the draws: their mean, and a Gaussian of each weight on its own. The overlap is that of the test
images a network gets wrong with those that the real one does (shared over all), its null that of
as many errors drawn at random. The answers stand in results/error_sets/record.json, by the last two
folders of a run, such as mnist_natural/seed0: one preset serves several studies.

    python studies/error_sets.py RUN [RUN ...]
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import filtergan as fg
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state
from filtergan.machine.runtime import generator as random_generator
from filtergan.sites.site import Site

RECORD = Path(__file__).parents[1] / "results" / "error_sets" / "record.json"
NOISE = (0.06, 0.12)  # over the root mean square of W
DRAWS = 16
BATCH = 1000


def main() -> None:
    """Measure each run's sites, and add them to the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    found = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for path in parser.parse_args().runs:
        run = fg.open_run(path)
        of_sites = {name: sites(run, name) for name in run.sites}
        found[key_of(path)] = {"git": git_state(), "sites": of_sites}
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(RECORD, json.dumps(found, indent=1).encode() + b"\n")
    for line in rows_of(found)[1]:
        print(" | ".join(line))


def key_of(path: Path) -> str:
    """What a run is called in the record: by its folder and that of its study."""
    return "/".join(path.resolve().parts[-2:])


@torch.no_grad()
def sites(run: Any, name: str) -> dict[str, dict[str, float]]:
    """Accuracy, overlap and its null of each kind of filters at one site, means over sets."""
    gan, test = run.gan(name), run.dataset.test
    site, labels = gan.site, test.labels

    def wrong(filters: Tensor) -> Tensor:
        parts = torch.arange(len(test)).split(BATCH)
        outputs = [_output(site, test.pixels(part), filters) for part in parts]
        return torch.cat(outputs).argmax(1) != labels

    real, found = wrong(site.filters), {}
    for kind, make in kinds(gan, run.config.seed).items():
        compared = [compare(wrong(filters), real) for filters in make()]
        found[kind] = {key: sum(c[key] for c in compared) / len(compared) for key in compared[0]}
    return found


def _output(site: Site, images: Tensor, filters: Tensor) -> Tensor:
    return site.output(images.to(filters.device), filters=filters).cpu()


def kinds(gan: fg.FilterGAN, seed: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Sets of filters by what they are made of."""
    real, draws = gan.site.filters, gan.draw(gan.latents(DRAWS, seed, "error sets"))
    rng = random_generator(seed, "error sets")

    def noisy(size: float) -> list[Tensor]:
        scale = size * real.square().mean().sqrt()
        return [real + scale * torch.randn(real.shape, generator=rng).to(real) for _ in draws]

    def gaussian() -> list[Tensor]:
        many = gan.draw(gan.latents(256, seed, "error sets, weights"))
        mean, spread = many.mean(0), many.std(0)
        return [mean + spread * torch.randn(mean.shape, generator=rng).to(mean) for _ in draws]

    return {
        "draws": lambda: list(draws),
        f"mean of {DRAWS} draws": lambda: [draws.mean(0)],
        "a Gaussian for each weight": gaussian,
        f"W with noise, {NOISE[0]} of its size": lambda: noisy(NOISE[0]),
        f"W with noise, {NOISE[1]} of its size": lambda: noisy(NOISE[1]),
    }


def compare(wrong: Tensor, real: Tensor) -> dict[str, float]:
    """Accuracy, overlap of error sets, and what it would be of as many errors at random."""
    n, ours, theirs = len(real), int(wrong.sum()), int(real.sum())
    shared = ours * theirs / n
    return {
        "accuracy": 1 - ours / n,
        "overlap": int((wrong & real).sum()) / max(1, int((wrong | real).sum())),
        "null": shared / max(1.0, ours + theirs - shared),
    }


def rows_of(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: a row for each site and kind, a cell for each run."""
    runs = list(found)
    names = dict.fromkeys(name for run in found.values() for name in run["sites"])
    lines = []
    for name in names:
        for kind in dict.fromkeys(k for run in found.values() for k in run["sites"].get(name, {})):
            cells = [_cell(found[run]["sites"].get(name, {}).get(kind)) for run in runs]
            lines.append([name, kind, *cells])
    return ["site", "filters", *(f"{run}: accuracy, overlap (null)" for run in runs)], lines


def _cell(one: dict[str, float] | None) -> str:
    if one is None:
        return "-"
    return f"{one['accuracy']:.4f}, {one['overlap']:.2f} ({one['null']:.3f})"


if __name__ == "__main__":
    main()
