"""Images, a network and transformers as if trained, of any size and colour, to be moved by hand."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jinja2 import Environment, PackageLoader
from records import begun
from torch import Tensor, nn

from filtergan.classifiers import networks
from filtergan.config.fields import CnnConfig, GanConfig, StudyConfig, joint_config
from filtergan.config.natural_fields import NaturalConfig
from filtergan.config.site_names import SiteName
from filtergan.images.domain import Domain
from filtergan.images.splits import Dataset, Split
from filtergan.measures.registry import result
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.report import scrubber, write_report
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import DatasetRecord
from filtergan.sites.site import Site
from filtergan.sites.wrappers import Classifier

CLASSES = ("round", "<b>", "long & thin")
PAPER = CnnConfig(channels=(4, 6, 5), pool_after=(1,))
RESIDUAL = CnnConfig(architecture="resnet", channels=(4, 6))
WHITENED = CnnConfig(architecture="whitened", channels=(8, 6), rate=11.5)
LAYERS = {
    "paper": ("conv2", "bn3"),
    "resnet": ("stage2.0.conv1", "activation"),
    "whitened": ("group2.conv1", "activation"),
}


def images(channels: int, side: int, n: int = 40) -> Dataset:
    """Smooth images of three classes."""
    noise = torch.rand(n, channels, 5, 5, generator=torch.Generator().manual_seed(0))
    x = F.interpolate(F.pad(noise, (1, 1, 1, 1)), (side, side), mode="bicubic").clamp(0, 1)
    split = Split((255 * x).round().to(torch.uint8), torch.arange(n) % len(CLASSES))
    return Dataset("smooth", split, split, CLASSES, "f" * 64)


def network(cnn: CnnConfig, data: Dataset, domain: Domain = Domain()) -> Classifier:
    """One that gives no class for sure, its batch norms with statistics of their own."""
    torch.manual_seed(2)
    plain = networks.make(cnn, data.shape, len(CLASSES))
    with torch.no_grad():
        for _ in range(20):
            plain.train()(domain.to_network(data.test.pixels()))
        for weight in (p for n, p in plain.named_parameters() if n.startswith("fc")):
            weight.mul_(2)
    return Classifier(plain.eval().requires_grad_(False), domain, CLASSES)


def gan(
    classifier: nn.Module, data: Dataset, cnn: CnnConfig, point: str | None = None, **natural: Any
) -> NaturalGAN:
    """A generator and a transformer that do much, of the layer read at a point."""
    chosen = NaturalConfig.model_validate({"latent": (3,), "channels": 8, "grid": 4} | natural)
    config = joint_config(GanConfig(latent=3, hidden=8, discriminator_channels=4), chosen)
    layer, later = LAYERS[cnn.architecture]
    site = Site(classifier, layer, data.test.pixels(slice(2)), point or later)
    return as_if_trained(NaturalGAN.new(site, site.input(data.test.pixels(slice(9))), config, 5))


def as_if_trained(made: NaturalGAN) -> NaturalGAN:
    """The same, changed so that its filters and images move much."""
    torch.manual_seed(3)
    with torch.no_grad():
        made.transformer.common.mul_(25)
        made.transformer.decode.weight.mul_(25)
        if hasattr(made.generator, "directions"):
            made.generator.directions.mul_(8)
        for weight in made.generator.decode.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return made


def named(*made: NaturalGAN) -> dict[SiteName, NaturalGAN]:
    return {one.site.name.under("natural"): one for one in made}


def page(
    folder: Path, channels: int = 1, side: int = 8, cnn: CnnConfig = PAPER, two: bool = False
) -> Path:
    """A page with nothing but images to move, at one site or at two, the second of one latent."""
    data = images(channels, side)
    classifier = network(cnn, data)
    made = [gan(classifier, data, cnn)]
    if two:
        made.append(
            gan(classifier, data, cnn, "activation", latent=(1,), fields=("gain", "offset"))
        )
    gans = named(*made)
    folder.mkdir(parents=True)
    scrubber.make(folder, data, classifier, gans)
    config = StudyConfig(preset="digits", layer=tuple(gans), recipe=("natural",))
    said = DatasetRecord(
        **{"name": "smooth", "fingerprint": "f" * 64, "train": 40, "test": 40},
        shape=list(data.shape),
        classes=list(CLASSES),
    )
    record = begun(config, dataset=said)
    if two:  # the second fails a gate
        found = record.sites[list(gans)[1]].measures
        found["repeatability"] = result("repeatability", 0.2, (0.1, 0.3), 9)
    return write_report(RunDirectory(folder, config, record))


def in_node(script: str, given: Any) -> Any:
    """What a script, in which the page's `filtergan` and `given` are known, returns."""
    path = shutil.which("node") or shutil.which("nodejs")
    if path is None and os.environ.get("REQUIRE_BROWSER"):
        pytest.fail("node is not installed")
    if path is None:
        pytest.skip("node is not installed")
    maths = Environment(loader=PackageLoader("filtergan.report")).get_template(
        "scrubber/maths.js.j2"
    )
    whole = (
        f"{maths.render()}\nconst given = JSON.parse(require('fs').readFileSync(0));"
        f"process.stdout.write(JSON.stringify((() => {{ {script} }})()));"
    )
    done = subprocess.run(
        [path, "-e", whole], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MOVED = """
const { sites, network, shape } = given.data, [site] = sites;
const transformer = new filtergan.Transformer(site.transformer);
const seen = site.seen && { ...site.seen, generator: new filtergan.Generator(site.seen) };
const onlooker = network && new filtergan.Onlooker(new filtergan.Network(network), seen);
return given.x.map((pixels, i) => {
  const x = filtergan.array(shape, Float32Array.from(pixels)), z = given.z[i], zk = given.zk[i];
  const seen = transformer.encode(x);
  const moved = transformer.forward(x, seen, z, zk);
  const coefficients = Array.from(transformer.coefficients(seen, z, zk).data);
  const found = { moved: Array.from(moved.data), coefficients };
  if (!onlooker) return found;
  onlooker.begin(x, z);
  return { ...found, ...onlooker.see(moved, zk) };
});
"""
"""In JavaScript: every image moved from z to z', and what the network makes of it."""


def moves(data: Dataset, latent: int, n: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Images, and from where to where they are moved: x, z, z'."""
    torch.manual_seed(1)
    return data.test.pixels(slice(n)), torch.randn(n, latent), 1.5 * torch.randn(n, latent)
