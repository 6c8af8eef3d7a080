"""The scrubber: what travels with the page, so that readers move images there.

Images, transformers, generators and the network go into scrubber.json once; the page is made from
that file and the record, and needs neither data nor network again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor, nn

from filtergan.config.site_names import SiteName
from filtergan.images.palette import SIGNS
from filtergan.images.shown import one_of_each_class
from filtergan.images.splits import Dataset
from filtergan.machine.files import write_atomic
from filtergan.machine.runtime import generator as random_generator
from filtergan.measures.doubts import doubts, latent_shape
from filtergan.measures.gates import failures
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.transformer import Transformer
from filtergan.report.operations import Unknown, operations_of, program, steps_of
from filtergan.report.packing import fewest_bits, text, weights_of
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import Record, SiteRecord
from filtergan.sites.wrappers import Classifier
from filtergan.walks.inverter import residual

FILE = "scrubber.json"
SCHEMA = "filtergan-scrubber-1"
IMAGES = 24
REACH = 3.0
"""How far each latent can be moved: 3 standard deviations of all draws."""
SEEN = 5e-4
"""A difference of pixels or probabilities that is none: half of what the page may be off by."""
SEEN_RESIDUAL = 2e-3
"""The same of residuals, which are shown with two decimals."""
LARGEST = 3 * 2**20
"""Bytes of the network or of a generator, beyond which it stays at home: the page is to be sent."""
MOST = 5 * 2**20
"""Characters of all that is made to travel; what of it does, the size of the page decides."""
MOST_IMAGES = 2**20
"""Bytes of all images."""
MOST_WORK = 10**9
"""Multiplications of a pass through the network: a second or two in a browser."""


def make(
    path: Path, dataset: Dataset, network: Classifier, gans: Mapping[SiteName, NaturalGAN]
) -> None:
    """Write scrubber.json into a run directory.

    Args:
        path: The run directory.
        dataset: Its test images are shown.
        network: The network studied, with its domain.
        gans: Generators with their transformers, by site.

    Raises:
        UserError: It could not be written (exit code 1).
    """
    found = travelling(dataset, network, gans)
    write_atomic(path / FILE, json.dumps(found, separators=(",", ":")).encode())


def made(path: Path, sites: Iterable[SiteName]) -> bool:
    """Whether a run directory has a scrubber.json of these sites that this version reads."""
    found = _read(path)
    if found is None:
        return False
    known = {*(site["prose"] for site in found["sites"]), *found["left_out"]}
    return known == {name.prose for name in sites}


def parts(run: RunDirectory) -> Iterator[dict[str, Any] | None]:
    """What the page's template shows: all sites, then ever fewer; None: there is no scrubber.json.

    Args:
        run: Of its record the latents' sentences and the gates that a site fails are shown.
    """
    found = _read(run.path)
    if found is None:
        yield None
        return
    for count in range(len(found["sites"]), -1, -1):
        kept, others = found["sites"][:count], found["sites"][count:]
        left_out = [*(site["prose"] for site in others), *found.get("left_out", [])]
        yield _part(found | {"sites": kept, "left_out": left_out}, run.record)


def _part(found: dict[str, Any], record: Record) -> dict[str, Any]:
    c, h, w = found["shape"]
    sites = []
    for place, site in enumerate(found["sites"]):
        known = record.sites.get(site["name"], SiteRecord())
        said = {entry.name: latent_shape(entry, known) for entry in known.latents}
        names = [f"z{j}" for j in range(site["transformer"]["latent"])]
        site["latents"] = [said.get(name, "") for name in names]
        sites.append({"place": place, "prose": site["prose"], "doubt": _doubt(known)})
    # In a script element, only its end could be mistaken.
    data = Markup(json.dumps(found, separators=(",", ":")).replace("<", "\\u003c"))
    return {
        "data": data,
        "sites": sites,
        "left_out": found["left_out"],
        "grey": c == 1,
        "paper": round(280 * h / w),
        "signs": SIGNS,
    }


def _doubt(site: SiteRecord) -> str | None:
    """What speaks against taking what is seen for an invariance, in a sentence; None: nothing."""
    against = doubts(site)
    if not against:
        return None
    believed = "No invariance is shown" if not failures(site.measures) else "Not to be believed"
    return f"{believed}: {'; '.join(against)}."


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / FILE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else None


def travelling(
    dataset: Dataset, network: Classifier, gans: Mapping[SiteName, NaturalGAN]
) -> dict[str, Any]:
    """All that the page needs, as JSON has it; arguments are those of `make`.

    Sites for which there is no room are left out, from the first such one on.
    """
    c, h, w = dataset.shape
    index = one_of_each_class(dataset.test, max(1, min(IMAGES, MOST_IMAGES // (c * h * w))))
    chosen = dataset.test.images[index]
    device = next(network.parameters()).device
    x = dataset.test.pixels(index).to(device)
    studied, why = _network(network, x)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "shape": [c, h, w],
        "images": text(chosen),
        "labels": dataset.test.labels[index].tolist(),
        "classes": list(dataset.classes),
        "bright": bright(x),
        "reach": REACH,
        "network": studied,
        "why": why,
        "sites": [],
        "left_out": [],
    }
    room = MOST - len(json.dumps(found))
    for name, gan in gans.items():
        site = _site(name, gan, x, studied is not None)
        room -= len(json.dumps(site)) + len(", ")
        if room < 0:
            found["left_out"] = [other.prose for other in list(gans)[len(found["sites"]) :]]
            break
        found["sites"].append(site)
    return found


def bright(x: Float[Tensor, "n c h w"]) -> bool:
    """Whether images have a bright ground: what one draws is dark on it then."""
    border = torch.cat([x[..., [0, -1], :].flatten(1), x[..., [0, -1]].flatten(1)], dim=1)
    return bool(border.median() > 0.5)


def _network(network: Classifier, x: Tensor) -> tuple[dict[str, Any] | None, str | None]:
    """The network as the page runs it; or why it does not, as a sentence."""
    plain, domain = network.network, network.domain

    def probabilities(module: nn.Module) -> Tensor:
        return network.around(module)(x).softmax(1)

    try:
        image = domain.to_network(x[:1])
        work = sum(op.work for op in operations_of(plain, image))
        if work > MOST_WORK:
            raise Unknown(f"a pass through the network takes {work:.1g} multiplications")
        lean, bits = fewest_bits(plain, probabilities, SEEN)
        found = program(operations_of(lean, image), bits)
        _check_size(found, "the network")
    except Unknown as error:
        return None, f"Labels and residuals are not shown here: {error}."
    means = {"mean": domain.mean, "std": domain.std}
    return found | {"domain": means}, None


def _site(name: SiteName, gan: NaturalGAN, x: Tensor, network: bool) -> dict[str, Any]:
    """A site's transformer, and its generator where the page runs the network."""
    z = torch.zeros(1, gan.latent).to(x)
    z_k = _places(gan.latent).to(x)
    n = len(z_k)

    def moved(transformer: Transformer) -> Tensor:
        many = x.repeat_interleave(n, 0)
        return transformer(many, z.expand(len(many), -1), z_k.repeat(len(x), 1))

    transformer, bits = fewest_bits(gan.transformer, moved, SEEN)
    space = transformer.space
    said: dict[str, Any] = {
        "name": str(name),
        "prose": name.prose,
        "transformer": {
            "space": {"shape": space.shape, "kinds": space.kinds, "grid": space.grid},
            "latent": gan.latent,
            "weights": weights_of(transformer, bits),
        },
        "seen": None,
        "why": None,
    }
    if network:
        try:
            said["seen"] = _seen(gan, x, z, z_k)
        except Unknown as error:
            said["why"] = f"The residual is not shown here: {error}."
    return said


def _seen(gan: NaturalGAN, x: Tensor, z: Tensor, z_k: Tensor) -> dict[str, Any]:
    """Generator and the steps at which its filters act and are read."""
    site, first = gan.site, x[:1]
    assert site.classifier is not None
    operations = operations_of(site.network, site.classifier.domain.to_network(first))
    convolution, response = steps_of(site, operations, first)
    many = first.expand(len(z_k), -1, -1, -1)
    found = gan.transform(many, z.expand(len(z_k), -1), z_k)

    def residuals(generator: nn.Module) -> Tensor:
        profile = site.respond(site.input(first), generator(z))
        return residual(site, found, profile.expand(len(many), *profile.shape[1:]), generator(z_k))

    generator, bits = fewest_bits(gan.generator, residuals, SEEN_RESIDUAL)
    said = {
        "convolution": convolution,
        "response": response,
        "shape": generator.shape,
        "head": generator.head,
        "weights": weights_of(generator, bits),
    }
    _check_size(said, "the generator of filters")
    return said


def _check_size(found: dict[str, Any], what: str) -> None:
    size = len(json.dumps(found)) * 3 // 4
    if size > LARGEST:
        raise Unknown(f"{what} takes {size / 2**20:.0f} MiB, too much for a page that is passed on")


def _places(latent: int) -> Float[Tensor, "n latent"]:
    """Latents at which roundings are tried: the ends of every one, and some draws."""
    drawn = torch.randn(8, latent, generator=random_generator(0, "scrubber"))
    return torch.cat([REACH * torch.eye(latent), -REACH * torch.eye(latent), drawn])
