"""What the stages work on: device, images, network, judges, sites, trained generators."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.classifiers import networks
from filtergan.classifiers.fitting import channels_last
from filtergan.classifiers.judges import Judges, get_judges
from filtergan.classifiers.loading import check_fits, load_model
from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import NATURAL, PAPER, SiteName
from filtergan.errors import UserError
from filtergan.game.ablated import gan_type
from filtergan.game.gan import FilterGAN
from filtergan.images.dataset import load_dataset
from filtergan.images.domain import Domain, to_float
from filtergan.images.splits import Dataset, Split
from filtergan.machine import runtime
from filtergan.machine.files import load_tensors, load_weights
from filtergan.machine.wording import count_of
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.random_directions import require_enough
from filtergan.runs.directory import RunDirectory
from filtergan.sites.site import Site
from filtergan.sites.wrappers import Classifier, unwrapped
from filtergan.study.selection import execution_order, in_order, select


class Materials:
    """Loads each thing once, when it is first needed.

    Attributes:
        config: The study's config; once checked, it names its sites, without patterns or depths.
        left_out: Sites that it stands for as well, but that cannot be studied, and why.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.device = runtime.device(config.device)
        self.left_out: dict[str, str] = {}
        self._sites: dict[SiteName, Site] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The images."""
        return load_images(self.config, self.config.data)

    @cached_property
    def network(self) -> Classifier:
        """The studied network, which takes pixels: the user's, or one of ours before training."""
        return make_network(self.config, self.dataset.shape, self.dataset.classes, self.device)

    @cached_property
    def judges(self) -> Judges:
        """The dataset's independent classifiers, from the cache or trained now.

        Raises:
            UserError: The cache folder cannot be written (exit code 1).
        """
        return get_judges(self.dataset, self.config.judges, self.device)

    def check(self) -> None:
        """Meet every mistake in the choice of images, network and sites before work begins.

        Patterns of layers become the names that they fit, depths the modules that are there.

        Raises:
            UserError: The first one found.
        """
        self.check_network()
        config = self.config
        sites, self.left_out = select(
            config.layer,
            config.response,
            self._layers(),
            lambda name: self.site(name).name.under(name.recipe),
            config.recipe,
        )
        self.config = config.at(sites)
        self.config.check_grids()
        given, wanted = len(config.natural.latent), len(self.config.sites_of(NATURAL))
        if given not in (1, wanted) and wanted:
            raise UserError(
                f"natural.latent has {count_of(given, 'number')} for {count_of(wanted, 'site')} of "
                "the natural recipe; give one for all, or one for each."
            )

    def check_images(self, stages: Sequence[str]) -> None:
        """See that there are images enough for some stages.

        Raises:
            UserError: There are not.
        """
        if "natural" in stages:
            require_enough(len(self.dataset.train))
        if "measure" in stages and len(self.dataset.test) < 2:
            raise UserError("Measures compare test images; give two or more.")

    def check_studied(self, run: RunDirectory) -> None:
        """See that the images are those of a run, once its network is trained.

        Raises:
            UserError: They are others.
        """
        studied = run.record.dataset if run.stage_done("train-cnn") else None
        if studied is not None and studied.fingerprint != self.dataset.fingerprint:
            raise UserError(
                f"The images of {self.config.data!r} are not those of {run.path}; run this in the "
                "folder in which the study was begun, with these in place."
            )

    def check_network(self) -> None:
        """See that the network takes the images, and gives a logit for each class.

        Raises:
            UserError: It does not.
        """
        check_fits(self.network, self.dataset.shape, len(self.network.classes))

    def order(self) -> list[SiteName]:
        """All sites by recipe, then layer, then reading, as the network comes to them."""
        return in_order(self.config.sites, self.network, self.example)

    def _layers(self) -> list[str]:
        return execution_order(self.network, self.example)

    def load_trained(self, run: RunDirectory) -> None:
        """Give the network the weights that `train-cnn` saved in a run.

        Raises:
            UserError: They are missing or damaged.
        """
        path = run.path / "cnn.safetensors"
        load_weights(unwrapped(self.network), load_tensors(path), path)
        self._sites.clear()
        self.network.requires_grad_(False)

    def site(self, name: str) -> Site:
        """The site of a name in the network as it is now; that of all recipes is the same.

        Raises:
            UserError: The network has none of that name, or it cannot be studied.
        """
        name = SiteName.parse(name).under(PAPER)
        if name not in self._sites:
            site = Site(self.network, name.layer, self.example, name.point)
            self._sites |= {name: site, site.name: site}
        return self._sites[name]

    @property
    def example(self) -> Tensor:
        """Two images, on the device."""
        return self.dataset.test.pixels(slice(2)).to(self.device)

    def gan(self, name: str, run: RunDirectory) -> FilterGAN:
        """The trained generator and discriminator of a site.

        Raises:
            UserError: They are missing or damaged.
        """
        return kind_of(self.config, name).load(run.site_path(name), self.network)

    @torch.no_grad()
    def inputs(self, site: Site, split: Split, index: Tensor) -> Float[Tensor, "n i *k"]:
        """Site inputs h of chosen images, on the device."""
        parts = index.split(1000)
        return torch.cat(
            [site.input(to_float(split.images[part].to(self.device))) for part in parts]
        )


def kind_of(config: StudyConfig, name: str) -> type[FilterGAN]:
    """What is trained at a site: its type says how it is saved, loaded and used."""
    if SiteName.parse(name).recipe == NATURAL:
        return NaturalGAN
    return gan_type(config.ablation.shown)


def load_images(config: StudyConfig, data: str | os.PathLike[str]) -> Dataset:
    """The images of a study, wherever they lie now; errors are those of `load_dataset`."""
    return load_dataset(data, config.dataset, config.size, config.interpolation)


def make_network(
    config: StudyConfig,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    device: torch.device,
    folder: Path = Path(),
) -> Classifier:
    """The user's network, or one of ours before training, in evaluation mode; it takes pixels.

    Args:
        config: Which network; its weights.
        shape: Channels, height and width of an image.
        classes: Their names.
        device: Where it is to lie.
        folder: Where the factory of a user's network is looked for first.

    Raises:
        UserError: The factory or the weights are missing or damaged; or the config's mean and
            standard deviation are none.
    """
    domain = Domain(config.mean, config.std)
    if config.model is not None:
        network = load_model(config.model, config.weights, folder)
    else:
        with runtime.own_randomness(runtime.derive_seed(config.seed, "cnn weights")):
            network = networks.make(config.cnn, shape, len(classes))
    whole = Classifier(network, domain, classes).to(device).eval()
    # Not the user's: a `view` in its forward would not take what is laid out so.
    ours = config.model is None and device.type == "cpu"
    if ours:
        channels_last(network)
    return whole
