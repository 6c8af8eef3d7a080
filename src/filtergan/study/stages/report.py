"""Stage report: one page from what the record says, and what a reader moves there."""

from filtergan.config.site_names import NATURAL
from filtergan.errors import UserError
from filtergan.machine import distributed, telling
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.report import scrubber, write_report
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials


def run(run: RunDirectory, materials: Materials) -> None:
    """Write report.html, and scrubber.json where it is not there for all trained transformers."""
    distributed.lead(lambda: _write(run, materials))


def _write(run: RunDirectory, materials: Materials) -> None:
    trained = [n for n in run.config.sites_of(NATURAL) if run.site_done("natural", n)]
    if trained and not scrubber.made(run.path, trained):
        try:
            materials.check_studied(run)
            materials.load_trained(run)
            gans = {n: g for n in trained if isinstance(g := materials.gan(n, run), NaturalGAN)}
            scrubber.make(run.path, materials.dataset, materials.network, gans)
        except UserError as error:  # the page tells what there is
            telling.warn(f"the page is written without images to move: {error}")
    write_report(run)
