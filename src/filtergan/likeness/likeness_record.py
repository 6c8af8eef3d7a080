"""What a comparison of the latents of several networks found, as it is written."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

from pydantic import Field

from filtergan.ceilings.question import Verdict
from filtergan.config.bases import Frozen
from filtergan.config.site_names import SiteName
from filtergan.runs.record import MeasureRecord, Number

Schema = Literal["filtergan-likeness-1"]
Whose = Literal["every network", "some networks", "this training", "undecided", "none"]
"""Whose invariance a latent is: that of every network compared, of its own and some others, of its
own alone; the intervals leave it open; its own network does not ignore it."""


class NetworkRecord(Frozen):
    """A run whose network takes part."""

    name: str
    """A letter, in the order in which the runs were named."""
    run: str
    """Its directory."""
    preset: str
    seed: int
    network: str
    """Class of the network."""
    sites: dict[str, int]
    """Its sites that take part, each with the number of its latents."""


class ShareRecord(Frozen):
    """How much of what a site's latents do to images another site's could have done."""

    network: str
    site: str
    other_network: str
    other_site: str
    share: MeasureRecord
    """Mean over images of the share of squares, as `share_within` has it. Its null: what the
    null of the other site could have done."""
    top: Number
    """What the site's own latents could have done elsewhere in latent space."""


class CrossingRecord(Frozen):
    """What T does to images along one latent, asked of a network at one of its sites."""

    network: str
    site: str
    latent: int
    other_network: str
    """The network that is asked; for each latent also its own."""
    other_site: str
    ignored: Verdict
    image_change: Number
    """Median of ||Tx - x|| / ||x||."""
    compensation: MeasureRecord
    passed: MeasureRecord
    labels_kept: MeasureRecord


class DirectionRecord(Frozen):
    """One latent, and what the networks make of it together."""

    network: str
    site: str
    latent: int
    whose: Whose


class Likeness(Frozen):
    """Networks compared by what their latents do to images."""

    written_as: Schema = Field(default="filtergan-likeness-1", alias="schema")
    git: dict[str, Any] | None
    images: int
    """Number of test images on which all is measured."""
    seed: int
    step: float
    """Along a latent, in standard deviations of z."""
    networks: list[NetworkRecord]
    shares: list[ShareRecord]
    crossings: list[CrossingRecord]
    directions: list[DirectionRecord]

    def own(self, direction: DirectionRecord | CrossingRecord) -> CrossingRecord:
        """What the network of a latent makes of it at the latent's own site."""
        (found,) = (one for one in self._of(direction) if one.other_network == direction.network)
        return found

    def others(self, direction: DirectionRecord) -> dict[str, CrossingRecord]:
        """What each other network makes of a latent, at the site whose filters undo it most."""
        found: dict[str, CrossingRecord] = {}
        for one in self._of(direction):
            best = found.get(one.other_network)
            if one.other_network != direction.network and (best is None or _more(one, best)):
                found[one.other_network] = one
        return found

    def _of(self, latent: DirectionRecord | CrossingRecord) -> Iterator[CrossingRecord]:
        wanted = (latent.network, latent.site, latent.latent)
        return (one for one in self.crossings if (one.network, one.site, one.latent) == wanted)


def plain_site(name: str) -> str:
    """A site without its recipe, which is the same of all that are compared."""
    return SiteName.parse(name).under("paper")


def whose(own: Verdict, others: Collection[Verdict]) -> Whose:
    """Whose invariance a latent is, by the answers of its own network and of the others.

    That the filters of another network cannot undo what it does says nothing of what that network
    ignores; so such an answer decides nothing.
    """
    if own != "yes":
        return "none" if own == "no" else "undecided"
    if all(one == "yes" for one in others):
        return "every network"
    if "yes" in others:
        return "some networks"
    return "this training" if all(one == "no" for one in others) else "undecided"


def _more(one: CrossingRecord, other: CrossingRecord) -> bool:
    a, b = one.compensation.value, other.compensation.value
    return a is not None and (b is None or a > b)
