"""Stage natural: train generator and transformer together, and a transformer of the null."""

import torch

from filtergan.config.fields import JointConfig
from filtergan.config.site_names import NATURAL, PAPER, SiteName
from filtergan.machine import runtime, telling
from filtergan.machine.storage import rows_of
from filtergan.natural.beginning import begin_with_spectrum
from filtergan.natural.joint import train_jointly
from filtergan.natural.learning import first_rows
from filtergan.natural.natural_gan import NULL, NaturalGAN
from filtergan.natural.random_directions import random_directions
from filtergan.natural.runaway import runaway
from filtergan.runs.directory import RunDirectory
from filtergan.study.following import followed, keep
from filtergan.study.materials import Materials

STAGE = "natural"


def run(run: RunDirectory, materials: Materials) -> None:
    """Write generator, transformer and curves of each site of the recipe, and of its null."""
    for name in run.config.sites_of(NATURAL):
        if not run.site_done(STAGE, name):
            seed = runtime.derive_seed(run.config.seed, STAGE, *name.seeds)
            train = materials.dataset.train
            some = first_rows(len(train), seed)
            first = train.pixels(some).to(materials.device)
            gan = _begun(run, materials, name, first, seed)
            gan = _train(run, materials, name, gan, seed)
            if said := runaway(gan, first):
                telling.warn(said)
            keep(run, STAGE, name, gan, gan.discriminator.shape)
            null = random_directions(gan, first, seed)
            null = _train(run, materials, name, null, seed, fixed=True)
            folder = run.site_path(name)
            null.save(folder / NULL)
            run.site(name).files["null"] = f"{folder.name}/{NULL}/filtergan.json"
            run.finish_site(STAGE, name)


def _begun(
    run: RunDirectory, materials: Materials, name: SiteName, first: torch.Tensor, seed: int
) -> NaturalGAN:
    """What the training begins with: the real filters, a spectrum, or the paper's generator."""
    site, config = materials.site(name), run.config
    chosen = config.game_of(name)
    assert isinstance(chosen, JointConfig)
    gan = NaturalGAN.new(site, site.input(first), chosen, seed)
    if config.natural.start == "spectrum":
        begin_with_spectrum(gan, rows_of(materials.dataset.train.images), seed)
    if config.natural.start == "paper":
        paper = materials.gan(name.under(PAPER), run)
        gan.generator.load_state_dict(paper.generator.state_dict())
        gan.discriminator.load_state_dict(paper.discriminator.state_dict())
    return gan


def _train(
    run: RunDirectory,
    materials: Materials,
    name: SiteName,
    gan: NaturalGAN,
    seed: int,
    fixed: bool = False,
) -> NaturalGAN:
    """Train both, or where the generator is fixed, as the null's is, its transformer alone."""
    config = run.config.natural
    stage, what = (f"{STAGE}-null", "transformer of the null") if fixed else (STAGE, "generator")
    steps = config.null_steps if fixed else config.steps
    checkpoint = run.site_path(name) / "checkpoint" / ("null" if fixed else "joint")
    runtime.keep_memory(config.pairs * gan.site.filters.nbytes)
    with followed(run, stage, name, steps, config.batch, what) as callbacks:
        return train_jointly(
            gan,
            materials.dataset.train.images,
            seed,
            fixed=fixed,
            checkpoint=checkpoint.with_suffix(".safetensors"),
            **callbacks,
        )
