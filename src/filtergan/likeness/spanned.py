"""How much of what the latents of one site do to images those of another could have done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.likeness.likeness_record import ShareRecord
from filtergan.likeness.trained import Trained
from filtergan.machine import telling
from filtergan.measures.statistics import interval
from filtergan.measures.transformers import share_within
from filtergan.natural.natural_gan import NaturalGAN, null_of
from filtergan.runs.record import MeasureRecord

RESAMPLES = 2000


@dataclass(frozen=True)
class Changes:
    """How each image changes by a step along every latent of a site.

    Attributes:
        here: From a z of its own.
        elsewhere: From another.
        null: By the transformer of the site's null.
    """

    here: Float[Tensor, "n latent d"]
    elsewhere: Float[Tensor, "n latent d"]
    null: Float[Tensor, "n latent d"]

    @classmethod
    def at(cls, gan: NaturalGAN, x: Float[Tensor, "n c h w"], step: float, seed: int) -> "Changes":
        """Those of a generator, its transformer and its null.

        Raises:
            UserError: It has no null.
        """
        null = null_of(gan)
        return cls(
            _changed(gan, x, step, seed, "likeness"),
            _changed(gan, x, step, seed, "likeness, elsewhere"),
            _changed(null, x, step, seed, "likeness"),
        )


def _changed(gan: NaturalGAN, x: Tensor, step: float, seed: int, what: str) -> Tensor:
    z = gan.latents(len(x), seed, what)
    x = x.to(z)
    moved = [gan.transform(x, z, z + one) - x for one in step * torch.eye(gan.latent).to(z)]
    return torch.stack(moved, dim=1).flatten(2).cpu()


def shares_of(
    networks: Sequence[Trained], x: Float[Tensor, "n c h w"], step: float, seed: int
) -> list[ShareRecord]:
    """The shares of all pairs of sites that stand beside each other.

    Args:
        networks: The networks.
        x: Test images.
        step: Along each latent.
        seed: Of the latents and of resamples.

    Raises:
        UserError: A generator has no null.
    """
    places = [(network.name, site) for network in networks for site in network.gans]
    changes: dict[tuple[str, str], Changes] = {}
    with telling.progress(len(places), "changes of images", "sites") as advance:
        for network in networks:
            for site, gan in network.gans.items():
                changes[network.name, site] = Changes.at(gan, x, step, seed)
                advance()
    return [
        _share(one, other, changes[one], changes[other], seed) for one, other in pairs_of(networks)
    ]


def pairs_of(networks: Sequence[Trained]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Network and site beside those of another network, or beside another site of its own."""
    for network in networks:
        for site in network.gans:
            for other in networks:
                own = [name for name in network.gans if name != site]
                for facing in own if other is network else other.facing(site):
                    yield (network.name, site), (other.name, facing)


def _share(
    one: tuple[str, str], other: tuple[str, str], own: Changes, others: Changes, seed: int
) -> ShareRecord:
    share = share_within(own.here, others.here)
    null = share_within(own.here, others.null)
    top = share_within(own.here, own.elsewhere)
    return ShareRecord(
        network=one[0],
        site=one[1],
        other_network=other[0],
        other_site=other[1],
        share=MeasureRecord(
            value=float(share.nanmean()),
            ci95=interval(share, resamples=RESAMPLES, seed=seed),
            n=len(share),
            null=float(null.nanmean()),
            better="neither",
        ),
        top=float(top.nanmean()),
    )
