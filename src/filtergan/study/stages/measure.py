"""Stage measure: what filters and traversals are worth beside their controls, and the verdicts."""

from torch import Tensor

from filtergan.config.site_names import NATURAL, SiteName
from filtergan.errors import UserError
from filtergan.families.catalogue import LOW_LEVEL
from filtergan.figures import save
from filtergan.game.gan import FilterGAN
from filtergan.machine import distributed, runtime, telling
from filtergan.machine.files import load_tensors, save_tensors
from filtergan.measures import gates
from filtergan.measures.claims import SiteEvidence, compared, decide
from filtergan.measures.verdicts import verdict
from filtergan.natural.natural_gan import NaturalGAN, null_of
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import ClaimRecord, Found
from filtergan.study.materials import Materials
from filtergan.study.measuring.of_filters import measure_filters, not_measured
from filtergan.study.measuring.of_images import ImageMeasures
from filtergan.study.measuring.of_transformers import measure_transformer
from filtergan.study.measuring.of_traversals import TraversalMeasures
from filtergan.study.plotting import DEPTHS, measures_by_depth, plot_traversals

STAGE = "measure"


def run(run: RunDirectory, materials: Materials) -> None:
    """Write each site's measures, its figures of filters, and its verdict; then what they make."""
    for name in run.config.sites:
        if not run.site_done(STAGE, name):
            gan = materials.gan(name, run)
            seed = runtime.derive_seed(run.config.seed, STAGE, *name.seeds)
            found = measure_filters(run, materials, name, gan, seed)
            found |= _traversals(run, materials, name, gan, seed)
            null = found["single_draw_accuracy"].null or 0.0
            steps = (run.config.natural if name.recipe == NATURAL else run.config.gan).steps
            site = run.site(name)
            site.measures |= found
            site.verdict, site.reason = verdict(found, null, steps)
            run.finish_site(STAGE, name)
    run.record.claims = _claims(run, materials)
    if len(run.config.sites) >= DEPTHS:
        _plot_depth(run, materials)
    run.save()


def _traversals(
    run: RunDirectory, materials: Materials, name: SiteName, gan: FilterGAN, seed: int
) -> Found:
    """Measure a site's traversals; record what was found, plot them with the gates they fail."""
    test, folder = materials.dataset.test, run.site_path(name)
    path = folder / "traversal.safetensors"
    if not distributed.lead(path.exists):
        raise UserError(f"{path} is missing; run `filtergan traverse {run.path}` first.")
    tensors = load_tensors(path)
    index, groups = tensors["points_index"], tensors["points_groups"]
    images = ImageMeasures(run, materials, index, groups, seed)
    measures = TraversalMeasures(run, materials, gan, tensors, images, seed)
    with telling.progress(measures.work, f"images of {name}", "images") as images.tick:
        found, others = measures.measure()
        if isinstance(gan, NaturalGAN):
            null = null_of(gan)
            found |= measure_transformer(materials, gan, null, tensors, images, seed)
        failed = gates.failures(found)
        entry = run.site(name)
        entry.references = others
        entry.gates = [*gates.gates(found), *gates.findings(found)]
        entry.latents = measures.names(failed)
        entry.not_measured = images.not_measured | not_measured(gan, run.config.measure)
    save_tensors(folder / "evidence.safetensors", _flat(measures))
    entry.files["evidence"] = f"{folder.name}/evidence.safetensors"
    plot_traversals(run, name, tensors, test, failed)
    return found


def _flat(measures: TraversalMeasures) -> dict[str, Tensor]:
    """Every measure per point, by the set of images and its name."""
    return {
        f"{name}/{key}": values.contiguous()
        for name, points in measures.points.items()
        for key, values in points.items()
    }


def _plot_depth(run: RunDirectory, materials: Materials) -> None:
    """Plot the measures of all sites in the order in which the network runs them."""
    sites = {str(name): run.site(name) for name in materials.order()}
    path = run.path / "figures" / "depth.png"
    save(measures_by_depth(sites), path)
    run.record.figures["depth"] = str(path.relative_to(run.path))


def _claims(run: RunDirectory, materials: Materials) -> dict[str, ClaimRecord]:
    """The paper's two sentences, decided over layers and over the readings of each layer."""
    seed, found = runtime.derive_seed(run.config.seed, "claims"), {}
    for where, names in compared(materials.order()).items():
        early, late = (_evidence(run, name) for name in names)
        claims = decide(early, late, resamples=run.config.measure.resamples, seed=seed)
        found |= {key + where: claim for key, claim in claims.items()}
    return found


def _evidence(run: RunDirectory, name: SiteName) -> SiteEvidence:
    folder, site = run.site_path(name), run.site(name)
    points = load_tensors(folder / "evidence.safetensors")
    strokes = "points/explained_width" in points
    low = next(f"explained_{f}" for f in LOW_LEVEL if f"points/explained_{f}" in points)
    high = "explained_photometric_affine_width" if strokes else "explained_photometric_affine"
    return SiteEvidence(
        name,
        site.verdict,
        site.measures,
        site.references,
        points["points/image_change"],
        points[f"points/{low}"],
        points[f"points/{high}"],
        load_tensors(folder / "traversal.safetensors")["points_groups"],
    )
