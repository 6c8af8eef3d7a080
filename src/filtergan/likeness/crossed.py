"""T of one network asked of another: can its filters undo it, and does it then ignore it?"""

from collections.abc import Iterator, Sequence

from filtergan.ceilings.question import Answer, Questions
from filtergan.families.family import Family, Fixed
from filtergan.likeness.likeness_record import CrossingRecord
from filtergan.likeness.trained import Pixels, Trained, at_step
from filtergan.machine import runtime, telling
from filtergan.natural.natural_gan import NaturalGAN


def crossings_of(
    networks: Sequence[Trained], pixels: Pixels, step: float, seed: int
) -> list[CrossingRecord]:
    """Every latent of every site, asked of its own network and of all others.

    Args:
        networks: The networks.
        pixels: Images on which filters are fitted, and on which they are judged.
        step: Along each latent.
        seed: Of all that is random; at sites of one name it is the same in all networks.

    Raises:
        UserError: A convolution is not of two dimensions, or a network puts out no logits.
    """
    places = [(network, site) for network in networks for site in network.gans]
    asked = [(place, list(askers(networks, *place))) for place in places]
    total = sum(source.gans[name].latent for _, some in asked for source, name in some)
    found = []
    with telling.progress(total, "latents asked of networks", "questions") as advance:
        for (network, site), some in asked:
            gan = network.gans[site]
            config = network.ceilings.model_copy(update={"test_images": len(pixels.test)})
            own_seed = runtime.derive_seed(seed, "likeness", site)
            questions = Questions.of(gan.site, pixels.train, pixels.test, config, own_seed)
            for source, name in some:
                family = moved_by(source.gans[name], step)
                for latent, one in enumerate(family.fixed):
                    answer = questions.answer(family.name, one)
                    found.append(_record(source, name, latent, network, site, answer))
                    advance()
    order = {place: number for number, place in enumerate((n.name, s) for n, s in places)}
    return sorted(found, key=lambda one: (order[one.network, one.site], one.latent))


def askers(
    networks: Sequence[Trained], network: Trained, site: str
) -> Iterator[tuple[Trained, str]]:
    """The networks and sites whose latents are asked of a network at a site."""
    for source in networks:
        for name in source.gans:
            if name == site if source is network else site in network.facing(name):
                yield source, name


def moved_by(gan: NaturalGAN, step: float) -> Family:
    """What T does to images along each latent, as a family to be asked."""

    def along(latent: int) -> Fixed:
        return Fixed(f"z{latent}", lambda x, s: at_step(gan, x, latent, s), step)

    fixed = tuple(along(latent) for latent in range(gan.latent))
    return Family(str(gan.name), f"what the latents of {gan.name} do", fixed=fixed)


def _record(
    source: Trained, name: str, latent: int, network: Trained, site: str, answer: Answer
) -> CrossingRecord:
    return CrossingRecord(
        network=source.name,
        site=name,
        latent=latent,
        other_network=network.name,
        other_site=site,
        ignored=answer.verdict,
        image_change=answer.ceiling.image_change,
        compensation=answer.ceiling.compensation,
        passed=answer.passed,
        labels_kept=answer.labels_kept,
    )
