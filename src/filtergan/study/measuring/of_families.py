"""What the filters of a layer can undo of known families, at one of its readings."""

from collections.abc import Sequence

from torch import Tensor

from filtergan.ceilings.ceiling import Ceiling, ceilings_of
from filtergan.ceilings.latent_steps import LatentStep, nearest_steps
from filtergan.ceilings.question import Answer, ask
from filtergan.ceilings.spectrum import Spectrum, spectrum_of
from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import NATURAL, SiteName, is_depth
from filtergan.images.splits import Dataset
from filtergan.machine import runtime
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.sites.site import Site
from filtergan.study.materials import Materials
from filtergan.study.opened import OpenedRun


def ceilings_at(materials: Materials, name: SiteName) -> dict[str, Ceiling]:
    """The ceilings of all families that apply to a study's images.

    Args:
        materials: Its images, and its network as it is now.
        name: Of the site.
    """
    config, data = materials.config, materials.dataset
    train, test, seed = _images(config, data, name)
    return ceilings_of(materials.site(name), train, test, config=config.ceilings, seed=seed)


def found_at(run: OpenedRun, name: SiteName) -> SiteName:
    """Layer and reading by name, where a depth has become the module that it stands for.

    Args:
        run: A run whose network is trained.
        name: Layer and reading.

    Raises:
        UserError: The run has no network; or there is no such layer or reading.
    """
    if not is_depth(name.point):
        return name
    site = Site.of_shape(run.network, name.layer, run.dataset.shape, name.point)
    return site.name


def answers_at(
    run: OpenedRun, name: SiteName, families: Sequence[str] | None = None
) -> dict[str, Answer]:
    """What a run's network ignores of known families.

    Args:
        run: A run whose network is trained; the layer need be none of its sites'.
        name: Layer and reading.
        families: By name; by default all that apply.

    Raises:
        UserError: The run has no network or images; there is no such layer, reading or family.
    """
    train, test, seed = _images(run.config, run.dataset, name)
    site = Site(run.network, name.layer, test[:2].to(run.device), name.point)
    return ask(site, train, test, families, run.config.ceilings, seed)


def steps_at(
    run: OpenedRun, name: SiteName, families: Sequence[str] | None = None
) -> dict[str, LatentStep]:
    """The steps of a run's latents that come nearest to known families.

    Args:
        run: A run.
        name: Layer and reading.
        families: By name; by default all that apply.

    Returns:
        Of each; nothing where the run has no generator of the natural recipe there with its null.

    Raises:
        UserError: The run has no images; there is no such family.
    """
    site = name.under(NATURAL)
    gan = run.gan(site) if run.trained(site) else None
    if not isinstance(gan, NaturalGAN) or gan.null is None:
        return {}
    train, test, seed = _images(run.config, run.dataset, name)
    return nearest_steps(gan, train, test, families, run.config.ceilings, seed)


def spectrum_at(run: OpenedRun, name: SiteName, grid: int, directions: int) -> Spectrum:
    """The image changes that filters of a run's network undo best.

    Args:
        run: A run whose network is trained; the layer need be none of its sites'.
        name: Layer and reading.
        grid: Coefficients of a field along each axis.
        directions: How many are wanted.

    Raises:
        UserError: The run has no network or images; there is no such layer or reading; or as
            `spectrum_of`.
    """
    config, data = run.config, run.dataset
    site = Site(run.network, name.layer, data.test.pixels(slice(2)).to(run.device), name.point)
    kinds, seed = config.natural.fields, runtime.derive_seed(config.seed, "spectrum", *name.seeds)
    train, test = data.train.images, data.test.images
    return spectrum_of(site, train, test, kinds, grid, directions, config.ceilings, seed)


def _images(config: StudyConfig, data: Dataset, name: SiteName) -> tuple[Tensor, Tensor, int]:
    """Training and held-out images, and a seed, for a layer and reading."""
    seed = runtime.derive_seed(config.seed, "ceilings", name.layer, name.point)
    some = runtime.sample(len(data.train), config.ceilings.train_images, seed, "train")
    held = runtime.sample(len(data.test), config.ceilings.test_images, seed, "test")
    return data.train.pixels(some), data.test.pixels(held), seed
