"""A family that the package does not know: its object, entered, and a study that plants it.

A script, since tables are made of the families when they are first imported.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from filtergan.families.catalogue import FAMILIES
from filtergan.families.family import Explained, Family, Reference, Strength, Transform


def mirrored(x: Tensor, share: Tensor) -> Tensor:
    """Images faded into their mirror images."""
    return x + share[:, None, None, None] * (x.flip(3) - x)


def _fading(x: Tensor, member: Tensor, generator: torch.Generator) -> tuple[Transform, float]:
    return lambda s: mirrored(x, s.clamp(max=1)), 0.1


def _left(x: Tensor, target: Tensor) -> Tensor:
    """What the best share of the mirror image leaves."""
    towards, wanted = (v.flatten(1) for v in (x.flip(3) - x, target - x))
    share = (towards * wanted).sum(1) / towards.square().sum(1).clamp(min=1e-12)
    return (wanted - share[:, None] * towards).square().sum(1)


MIRROR = Family(
    name="mirror",
    words="mirror image",
    strength=Strength(mirrored, 0.0, 1.0, "each training image was faded into its mirror image"),
    reference=Reference("reflection", _fading),
    explained=Explained(
        "mirrored",
        meaning="a mixture with the mirror image",
        words="a mirror image",
        title="mirror\nimage",
        symbol="M",
        fit=_left,
    ),
)


def main(folder: Path) -> None:
    """Study digits in which it was planted; write what the tables say that no study shows."""
    FAMILIES[MIRROR.name] = MIRROR
    import evidence
    import planted

    from filtergan import study
    from filtergan.config.parsing import parse
    from filtergan.config.presets import tiny
    from filtergan.families.catalogue import explained, references
    from filtergan.families.references import reference
    from filtergan.measures.explained import explained_all

    config = tiny().model_dump() | {"layer": ["conv2"], "threads": 1}
    config["dataset"] = config["dataset"] | {"planted": "mirror"}
    study.run(parse(config, "here"), folder / "run")

    colour, n = torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    x_k = reference("reflection", colour, torch.full((4,), 0.2), n, seed=0)
    told = {
        "of colour": [*explained(3), *references(3)],
        "explained": explained_all(colour, x_k, n)["mirrored"].tolist(),
        "asked": planted.KINDS["mirror"],
        "column": evidence.COLUMNS["explained_mirrored"],
    }
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
