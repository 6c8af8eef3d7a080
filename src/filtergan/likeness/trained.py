"""The networks that are compared: each of a run, with the generators of its natural sites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.errors import UserError
from filtergan.images.splits import Dataset
from filtergan.likeness.likeness_record import NetworkRecord
from filtergan.machine import runtime
from filtergan.machine.wording import letter
from filtergan.natural.natural_gan import NaturalGAN, require_natural
from filtergan.sites.wrappers import unwrapped
from filtergan.study.opened import OpenedRun, open_run


@dataclass(frozen=True)
class Trained:
    """A network and what was trained for it.

    Attributes:
        told: What the comparison says of it.
        gans: The generators by site, each with its transformer and null.
        ceilings: How filters are fitted for it.
        threads: Of its study.
    """

    told: NetworkRecord
    gans: Mapping[str, NaturalGAN]
    ceilings: CeilingConfig
    threads: int = 0

    @property
    def name(self) -> str:
        """Its letter."""
        return self.told.name

    def facing(self, site: str) -> list[str]:
        """Its sites beside which one of another network is set: that of the same name, or all."""
        return [site] if site in self.gans else list(self.gans)


@dataclass(frozen=True)
class Pixels:
    """The images that all networks are shown.

    Attributes:
        train: Those on which filters are fitted.
        test: Those on which all is measured.
    """

    train: Float[Tensor, "n c h w"]
    test: Float[Tensor, "m c h w"]

    @classmethod
    def chosen(cls, data: Dataset, train: int, test: int, seed: int) -> "Pixels":
        """So many at random, or all where there are fewer."""
        known = runtime.sample(len(data.train), train, seed, "likeness", "train")
        held = runtime.sample(len(data.test), test, seed, "likeness", "test")
        return cls(data.train.pixels(known), data.test.pixels(held))


def trained_in(
    paths: Sequence[Path],
    sites: Sequence[str] | None = None,
    data: str | None = None,
    device: str | None = None,
) -> tuple[list[Trained], Dataset]:
    """The networks of some runs, and their common images.

    Args:
        paths: Run directories.
        sites: The natural sites that take part, with or without `/natural`; by default all.
        data: The images, where they have moved.
        device: Another one than the configs say.

    Raises:
        UserError: Fewer than two runs, or one given twice; one that has no natural site, none of
            those named, or not finished one; runs whose images are not the same.
    """
    if len(paths) < 2:
        raise UserError("Name at least two run directories whose directions are to be compared.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("A run is named twice; name each one once.")
    runs = [open_run(path, data=data, device=device) for path in paths]
    wanted = [(run, natural_sites(run, path, sites)) for run, path in zip(runs, paths, strict=True)]
    _require_same_images(runs, paths)
    images = runs[0].dataset
    found = []
    for place, ((run, names), path) in enumerate(zip(wanted, paths, strict=True)):
        gans = {name: require_natural(run.gan(name)) for name in names}
        told = NetworkRecord(
            name=letter(place),
            run=str(path),
            preset=run.config.preset,
            seed=run.config.seed,
            network=type(unwrapped(run.network)).__name__,
            sites={name: gan.latent for name, gan in gans.items()},
        )
        found.append(Trained(told, gans, run.config.ceilings, run.config.threads))
    return found, images


def natural_sites(run: OpenedRun, path: Path, wanted: Sequence[str] | None) -> list[str]:
    """The finished natural sites of a run, or those of them that are wanted.

    Raises:
        UserError: There is none, or one is not finished.
    """
    there = [str(name) for name in run.config.sites_of(NATURAL)]
    if not there:
        raise UserError(
            f"The run in {path} has no site of the natural recipe, whose latents move images; "
            "leave it out, or study one with --recipe natural."
        )
    asked = None if wanted is None else {SiteName.parse(one).under(NATURAL) for one in wanted}
    chosen = there if asked is None else [name for name in there if name in asked]
    if not chosen:
        raise UserError(
            f"The run in {path} has none of the sites named with --site; it has {', '.join(there)}."
        )
    for name in chosen:
        run.check(name, "natural")
    return chosen


def _require_same_images(runs: Sequence[OpenedRun], paths: Sequence[Path]) -> None:
    first, *others = (run.record.dataset for run in runs)
    assert first is not None, "sites are finished"
    for path, other in zip(paths[1:], others, strict=True):
        if other is None or other.fingerprint != first.fingerprint:
            raise UserError(
                f"The images of {path} are not those of {paths[0]}; directions are compared on the "
                "same images."
            )


def at_step(
    gan: NaturalGAN, x: Float[Tensor, "n c h w"], latent: int, step: Tensor
) -> Float[Tensor, "n c h w"]:
    """Images moved by T along one latent, from half a step before the middle to half behind it.

    Args:
        gan: Its generator.
        x: Pixels, on any device.
        latent: Which one; all others are 0.
        step: Of each image.
    """
    z_k = torch.zeros(len(x), gan.latent)
    z_k[:, latent] = step.cpu() / 2
    z_k = z_k.to(gan.site.filters.device)
    return gan.transform(x.to(z_k), -z_k, z_k).to(x)
