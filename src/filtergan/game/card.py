"""The model card of a generator: what it is, what is known of it, how it is used and cited."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from filtergan.classifiers.saving import FILE as NETWORK
from filtergan.config.fields import JointConfig
from filtergan.machine.provenance import versions
from filtergan.sites.wrappers import fingerprint

if TYPE_CHECKING:
    from filtergan.game.sharing import Shared

PICTURE = "traversal.png"
"""Name of the card's picture, beside the card."""
PAPER = "https://arxiv.org/abs/1710.11386"
TAGS = ["interpretability", "invariance", "gan", "convolutional-networks"]


@dataclass(frozen=True)
class Account:
    """What the record of a study says of a generator, for its card.

    Attributes:
        text: Sections of Markdown, each under a heading of the second level.
        datasets: Names that the images have on the Hugging Face Hub; empty where they have none.
        picture: A PNG of traversals; None: there is none.
        alt: What is seen on it.
    """

    text: str
    datasets: tuple[str, ...] = ()
    picture: Path | None = None
    alt: str = ""


def project_url(label: str) -> str | None:
    """An address of the package by its label in pyproject's [project.urls]; None: it has none."""
    lines = importlib.metadata.metadata("filtergan").get_all("Project-URL") or []
    urls = dict(line.split(", ", 1) for line in lines)
    return urls.get(label)


def card_of(
    gan: "Shared",
    account: Account | None,
    metadata: Mapping[str, Any],
    addresses: Mapping[str, Any],
    repo_id: str,
) -> ModelCard:
    """Fill the card in.

    Args:
        gan: What it is about.
        account: What a record says of it; None: there is no record.
        metadata: Of the card's head, as the Hub knows them.
        addresses: `repo_url`, `docs_url` and `paper_url`; None for one that there is not.
        repo_id: What the card's example loads.
    """
    environment = Environment(
        loader=PackageLoader("filtergan.game", ""),
        undefined=StrictUndefined,  # a card has no gaps
        trim_blocks=True,
        lstrip_blocks=True,
    )
    if account is not None and account.datasets:
        metadata = {**metadata, "datasets": list(account.datasets)}
    kind, site, config = type(gan), gan.site, gan.config
    text = environment.get_template("card.md.j2").render(
        **addresses,
        metadata=ModelCardData(**metadata).to_yaml(),
        license=metadata.get("license"),
        account=account,
        picture=PICTURE,
        repo_id=repo_id,
        kind=kind.__name__,
        place=kind.place,
        meaning=kind.meaning,
        example=kind.example,
        version=versions()["filtergan"],
        layer=site.layer,
        point=site.point,
        filters=", ".join(map(str, site.filters.shape)),
        image=", ".join(map(str, site.image_shape)),
        network=type(site.network).__name__,
        network_file=NETWORK,
        left_behind=gan.left_behind(metadata.get("license")),
        fingerprint=fingerprint(gan.whole_network),
        latent=config.latent,
        trained=config.natural if isinstance(config, JointConfig) else config,
    )
    return ModelCard(text)
