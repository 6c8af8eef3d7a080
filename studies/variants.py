"""Alternatives for the game, each measured over seeds on the bundled digits (`make variants`).

`variants.py SEED` writes results/variants/seed<SEED>/record.json after every run, so that an
interrupted queue goes on where it was; `make results` puts it into RESULTS.md. The records there
also hold runs with settings that measured no benefit and are gone since: the hinge loss, R1, a
rising lambda, a Q that does not move the trunk.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from filtergan.classifiers.fitting import fit
from filtergan.config import presets
from filtergan.config.fields import StudyConfig
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Diverged, train
from filtergan.machine import runtime
from filtergan.machine.files import write_atomic
from filtergan.machine.provenance import git_state, machine, now, versions
from filtergan.measures.filters import filter_spread, nearest_real_distance
from filtergan.measures.latents import latent_r2
from filtergan.pooling.retraining import draw_accuracy
from filtergan.study.materials import Materials

DRAWS = 30
SITE = "conv4@activation"
# The digits of the demo in a game as on MNIST.
BASE = presets.digits().model_copy(update={"gan": presets.mnist().gan})
STEPS = 300  # fewer than the preset's: differences show sooner, and a queue of many ends
VARIANTS: dict[str, dict[str, object]] = {
    "preset": {},
    "algorithm1": {"updates": "algorithm1"},
    "minimax": {"loss": "minimax"},
    "no spectral norm": {"spectral_norm": False},
    "no average": {"average": 0.0},
    "no decay": {"decay": False},
    "information 1": {"information": 1.0},
    "information 50": {"information": 50.0},
    "dense head": {"head": "dense"},
}


def main(seed: int) -> None:
    """Run what is missing."""
    path = Path(f"results/variants/seed{seed}/record.json")
    record: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {"runs": {}}
    record |= {"versions": versions(), "device": machine("cpu"), "git": git_state()}
    record |= {"seed": seed, "threads": runtime.set_threads(0)}
    materials = _prepare(BASE.model_copy(update={"seed": seed}))
    for name, changes in VARIANTS.items():
        if name not in record["runs"]:
            record["runs"][name] = _measure(materials, seed, changes) | {"at": now()}
            write_atomic(path, json.dumps(record, indent=1).encode() + b"\n")
            print(name, record["runs"][name], file=sys.stderr, flush=True)


def _prepare(config: StudyConfig) -> Materials:
    materials = Materials(config)
    data, cnn = materials.dataset, config.cnn
    fit(
        materials.network,
        materials.network.parameters(),
        data.train.images,
        data.train.labels,
        epochs=cnn.epochs,
        batch=cnn.batch,
        rate=cnn.rate,
        weight_decay=cnn.weight_decay,
        seed=config.seed,
    )
    materials.network.requires_grad_(False)
    return materials


def _measure(
    materials: Materials, seed: int, changes: dict[str, object]
) -> dict[str, float | None]:
    """Train one variant and measure it; all None where it diverged."""
    config = BASE.gan.model_copy(update={"steps": STEPS, **changes})
    site, data = materials.site(SITE), materials.dataset
    inputs = materials.inputs(site, data.train, torch.arange(len(data.train)))
    try:
        gan = train(site, inputs, config, seed)
    except Diverged:
        return dict.fromkeys(("accuracy", "accuracy_min", "r2_min", "r2_mean", "spread", "nearest"))
    return _assess(materials, gan, seed)


def _assess(materials: Materials, gan: FilterGAN, seed: int) -> dict[str, float | None]:
    test, site = materials.dataset.test, gan.site
    draws = gan.draw(gan.latents(DRAWS, seed, "draws"))
    right = draw_accuracy(site, test.images, test.labels, draws, device=materials.device)
    accuracy = right.single.float().mean(1)
    z = gan.latents(len(test), seed, "held out")
    r2 = latent_r2(z, gan.predict(materials.inputs(site, test, torch.arange(len(test))), z))
    return {
        "accuracy": float(accuracy.mean()),
        "accuracy_min": float(accuracy.min()),
        "r2_min": float(r2.min()),
        "r2_mean": float(r2.mean()),
        "spread": filter_spread(draws, site.filters),
        "nearest": nearest_real_distance(draws, site.filters),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]))
