"""What the filters of a layer can undo of known families, at one of its readings."""

from filtergan.ceilings.ceiling import Ceiling, ceilings_of
from filtergan.config.site_names import SiteName
from filtergan.machine import runtime
from filtergan.study.materials import Materials


def ceilings_at(materials: Materials, name: SiteName) -> dict[str, Ceiling]:
    """The ceilings of all families that apply to a study's images.

    Args:
        materials: Its images, and its network as it is now.
        name: Of the site.
    """
    config, data = materials.config, materials.dataset
    seed = runtime.derive_seed(config.seed, "ceilings", name.layer, name.point)
    some = runtime.sample(len(data.train), config.ceilings.train_images, seed, "train")
    held = runtime.sample(len(data.test), config.ceilings.test_images, seed, "test")
    return ceilings_of(
        materials.site(name),
        data.train.pixels(some),
        data.test.pixels(held),
        config=config.ceilings,
        seed=seed,
    )
