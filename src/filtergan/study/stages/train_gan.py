"""Stage train-gan: play the paper's game at every site of its recipe."""

import torch

from filtergan.config.site_names import PAPER, SiteName
from filtergan.figures import curves_figure, save
from filtergan.game.ablated import gan_type
from filtergan.game.training import Diverged, train
from filtergan.machine import runtime
from filtergan.machine.storage import Rows, Subset
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import EventLog, read_events
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
    config, site, folder = run.config.gan, materials.site(name), run.site_path(name)
    stage = f"{STAGE}/{name}"
    seed = runtime.derive_seed(run.config.seed, STAGE, *name.seeds)
    inputs = _inputs(run, materials, name)
    runtime.keep_memory(config.batch * site.filters.nbytes)
    with (
        EventLog(run) as log,
        runtime.progress(config.steps, f"generator of {name}", "steps") as advance,
    ):

        def on_start(step: int) -> None:
            log.cut_back(stage, step)
            if step:
                runtime.say(
                    f"the generator of {name.prose} goes on from step {step:,} of {config.steps:,}"
                )
            advance(step)

        def on_log(step: int, values: dict[str, float]) -> None:
            log.append(stage, step, samples=step * config.batch, **values)

        try:
            gan = train(
                site,
                inputs,
                config,
                seed,
                kind=gan_type(run.config.ablation.shown),
                checkpoint=folder / "checkpoint" / "game.safetensors",
                log=on_log,
                on_start=on_start,
                on_step=advance,
            )
        except Diverged as error:
            run.set_verdict(name, "diverged", str(error))
            raise
    gan.save(folder)
    entry = run.site(name)
    with torch.no_grad():
        entry.response = list(site.respond(inputs[:1].to(site.filters.device)).shape[1:])
    entry.filters, entry.convolution = list(site.filters.shape), site.backend
    entry.files |= {
        "gan": f"{folder.name}/filtergan.json",
        "generator": f"{folder.name}/generator.safetensors",
        "discriminator": f"{folder.name}/discriminator.safetensors",
    }
    figure = folder / "figures" / "curves.png"
    save(curves_figure(read_events(run.path / "events.jsonl"), stage), figure)
    entry.figures["curves"] = str(figure.relative_to(run.path))


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
