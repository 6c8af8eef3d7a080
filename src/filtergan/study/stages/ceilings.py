"""Stage ceilings: what the best filters can undo of known families, at every layer and reading."""

from filtergan.config.site_names import PAPER
from filtergan.figures import ceilings_figure, save
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_families import ceilings_at

STAGE = "ceilings"


def run(run: RunDirectory, materials: Materials) -> None:
    """Write the ceilings of every site, those of a layer and reading once, and their figure."""
    for name in run.config.sites:
        if not run.site_done(STAGE, name):
            asked = materials.site(name).filters.ndim == 4  # families are of images
            every = ceilings_at(materials, name) if asked else {}
            found = {key: one.record for key, one in every.items()}
            for other in run.config.sites:
                if other.under(PAPER) == name.under(PAPER):  # whatever the recipe
                    run.site(other).ceilings = found
                    run.finish_site(STAGE, other)
    ceilings = {str(name.under(PAPER)): run.site(name).ceilings for name in materials.order()}
    if known := {name: found for name, found in ceilings.items() if found}:
        path = run.path / "figures" / "ceilings.png"
        save(ceilings_figure(known), path)
        run.record.figures["ceilings"] = str(path.relative_to(run.path))
    run.save()
