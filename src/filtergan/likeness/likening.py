"""Networks compared by what their latents do to images: which invariances belong to the task."""

from collections.abc import Sequence

from filtergan.images.splits import Dataset
from filtergan.likeness.crossed import crossings_of
from filtergan.likeness.likeness_record import DirectionRecord, Likeness, whose
from filtergan.likeness.spanned import shares_of
from filtergan.likeness.trained import Pixels, Trained
from filtergan.machine.provenance import git_state
from filtergan.natural.terms import STEP

IMAGES = 256


def liken(
    networks: Sequence[Trained], data: Dataset, images: int = IMAGES, seed: int = 0
) -> Likeness:
    """Compare the latents of networks that were trained on the same images.

    Args:
        networks: Two or more, as `trained_in` finds them.
        data: The images.
        images: Test images on which all is measured.
        seed: Of all that is random.

    Raises:
        UserError: A generator has no null, a convolution is not of two dimensions, or a network
            puts out no logits.
    """
    train = max(network.ceilings.train_images for network in networks)
    pixels = Pixels.chosen(data, train, images, seed)
    shares = shares_of(networks, pixels.test, STEP, seed)
    crossings = crossings_of(networks, pixels, STEP, seed)
    found = Likeness(
        git=git_state(),
        images=len(pixels.test),
        seed=seed,
        step=STEP,
        networks=[network.told for network in networks],
        shares=shares,
        crossings=crossings,
        directions=[],
    )
    return found.model_copy(update={"directions": _directions(found)})


def _directions(found: Likeness) -> list[DirectionRecord]:
    """Whose invariance each latent is."""
    decided = []
    for network in found.networks:
        for site, latents in network.sites.items():
            for latent in range(latents):
                place = {"network": network.name, "site": site, "latent": latent}
                open_ = DirectionRecord(**place, whose="undecided")
                others = found.others(open_).values()
                said = whose(found.own(open_).ignored, [one.ignored for one in others])
                decided.append(DirectionRecord(**place, whose=said))
    return decided
