"""Stage train-gan: play the paper's game at every site of its recipe."""

import torch

from filtergan.config.site_names import PAPER, SiteName
from filtergan.game.ablated import gan_type
from filtergan.game.training import train
from filtergan.machine import runtime
from filtergan.machine.storage import Rows, Subset
from filtergan.runs.directory import RunDirectory
from filtergan.study.following import followed, keep
from filtergan.study.materials import Materials
from filtergan.study.site_inputs import SiteInputs

STAGE = "train-gan"


def run(run: RunDirectory, materials: Materials) -> None:
    """Write each site's generator, discriminator, checkpoint and curves."""
    for name in run.config.sites_of(PAPER):
        if not run.site_done(STAGE, name):
            _train_site(run, materials, name)
            run.finish_site(STAGE, name)


def _train_site(run: RunDirectory, materials: Materials, name: SiteName) -> None:
    config, site = run.config.gan, materials.site(name)
    seed = runtime.derive_seed(run.config.seed, STAGE, *name.seeds)
    inputs = _inputs(run, materials, name)
    runtime.keep_memory(config.batch * site.filters.nbytes)
    with followed(run, STAGE, name, config.steps, config.batch) as callbacks:
        gan = train(
            site,
            inputs,
            config,
            seed,
            kind=gan_type(run.config.ablation.shown),
            checkpoint=run.site_path(name) / "checkpoint" / "game.safetensors",
            **callbacks,
        )
    with torch.no_grad():
        response = site.respond(inputs[:1].to(site.filters.device))
    keep(run, STAGE, name, gan, tuple(response.shape[1:]))


def _inputs(run: RunDirectory, materials: Materials, name: SiteName) -> Rows:
    """Site inputs of all training images that the game can draw, in an order of their own.

    Where they are kept goes into the record, and stays so when the stage is continued.
    """
    config, train, entry = run.config.gan, materials.dataset.train, run.site(name)
    rng = runtime.generator(run.config.seed, STAGE, *name.seeds, "images")
    chosen = torch.randperm(len(train), generator=rng)[: config.steps * config.batch]
    inputs = SiteInputs(materials.site(name), Subset(train.images, chosen), config.batch)
    if entry.inputs is None:
        entry.inputs = inputs.where(config.cache_mib)
        run.save()
    return inputs.kept(entry.inputs)
