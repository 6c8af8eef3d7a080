"""From a run's record to one self-contained HTML page."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from filtergan.config.fields import CnnConfig, StudyConfig, TraversalConfig
from filtergan.config.parsing import dump
from filtergan.config.site_names import NATURAL, PAPER, SiteName
from filtergan.machine.files import write_atomic
from filtergan.machine.wording import count_of
from filtergan.measures.gates import IMAGE_CHANGE, LABELS_KEPT, failures
from filtergan.report import bounds, findings, scrubber, tables
from filtergan.report.account import images_called
from filtergan.report.alternatives import alternatives, of_ceilings, of_depth, of_network
from filtergan.report.glossary import WORDS, anchor, glossed, term
from filtergan.report.headline import ORDER, headline, key_numbers
from filtergan.report.pictures import example, inline
from filtergan.report.planted import planted
from filtergan.report.text import as_key, duration, listed, number, plain, sentence, shape
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import Record, SiteRecord

MOST = 8 * 10**6
"""Bytes of a page that is to be sent; of what moves images, sites are left out for it."""
PAPER_ADDRESS = "https://arxiv.org/abs/1710.11386"
CAPTIONS = {
    "traversal": (
        "More images, more changes",
        "from the middle of a grid outwards the filters change more, and each image is the one "
        "that makes up for it.",
        "Each grid is one test image (blue frame) under two of the latents. Undone and null stand "
        "above the grids. As the paper's figs. 3 and 4.",
    ),
    "filters": (
        "The filters themselves",
        "each row is one filter, real and in several draws: it varies where the draws of a row "
        "differ, and was found again where they look like the real one.",
        "The later layers are fixed, so a draw's filter stands where the real one stood. As the "
        "paper's fig. 2.",
    ),
    "map": (
        "Map of filters",
        "each point is one filter, numbered as above; the wider a cloud, the more that filter "
        "varies among draws. Only distances mean something, not places along an axis.",
        "Multidimensional scaling. As the paper's fig. 5.",
    ),
    "curves": (
        "Training curves",
        "real and generated filters are hard to tell apart where both scores stay near each other; "
        "latents are recovered where the error of Q falls below 1.",
        "As they were logged, not smoothed.",
    ),
}
"""Title, how to read it, and caption of the record's figures, in the order of the page."""


def write_report(run: RunDirectory) -> Path:
    """Write report.html, one page that needs neither a server nor a network.

    What is missing (a study stopped early, or made before a measure existed) is said to be missing,
    and so are sites whose images would move beyond the size of a page that is to be sent.

    Args:
        run: A run directory; its record, the figures that the record names, and scrubber.json are
            read.

    Returns:
        Path of the page.

    Raises:
        UserError: The page could not be written (exit code 1).
    """
    environment = Environment(
        loader=PackageLoader("filtergan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    told = {"number": number, "duration": duration, "sentence": sentence}
    environment.filters |= told | {"glossed": glossed, "anchor": anchor, "as_key": as_key}
    environment.globals |= {"term": term, "words": WORDS}
    template, context, page = environment.get_template("report.html.j2"), _context(run), b""
    for part in scrubber.parts(run):
        page = template.render(context | {"scrubber": part}).encode()
        if len(page) <= MOST:
            break
    path = run.path / "report.html"
    write_atomic(path, page)
    return path


def _context(run: RunDirectory) -> dict[str, Any]:
    record, config = run.record, run.config
    done, missing = _done(run)
    # The page cannot know how long it takes to write itself.
    stages = {n: s for n, s in record.stages.items() if n != "report"}
    network_curves = record.cnn and record.cnn.figures.get("curves")
    sites = [_site(run, name, site) for name, site in record.sites.items()]
    return {
        "record": record,
        "preset": record.preset,
        "status": record.status,
        "sites": sorted(sites, key=lambda site: ORDER.index(site["finding"].tone)),
        "names": list(record.sites),
        "paper_address": PAPER_ADDRESS,
        "labels_least": LABELS_KEPT,
        "change_least": IMAGE_CHANGE,
        "done": done,
        "missing": missing,
        "claims": findings.claims(record),
        "planted": planted(config, record.sites),
        "paper": tables.paper_table(record.sites),
        "is_mnist": config.data.rstrip("/").split("/")[-1].lower() == "mnist",
        "data": images_called(run.path, record, config),
        "ceilings": inline(run.path, record.figures.get("ceilings")),
        "depth": inline(run.path, record.figures.get("depth")),
        "alternatives": {
            "ceilings": of_ceilings(record.sites),
            "depth": of_depth(record.sites),
            "network": of_network(record.cnn),
        },
        "left_out": record.left_out,
        "network_curves": inline(run.path, network_curves),
        "network": plain(record.cnn and record.cnn.model_copy(update={"warning": None})),
        "warning": record.cnn and record.cnn.warning,
        "dataset": plain(record.dataset),
        "machine": plain(record.device),
        "versions": record.versions,
        "stages": stages,
        "seconds": sum(stage.seconds for stage in stages.values()),
        "config": dump(config),
    }


def _site(run: RunDirectory, key: str, site: SiteRecord) -> dict[str, Any]:
    """What the page says of one site."""
    name, measures, figures = SiteName.parse(key), site.measures, site.figures
    shown = {
        key: {"title": title, "how": how, "caption": caption, "image": image}
        for key, (title, how, caption) in CAPTIONS.items()
        if (image := inline(run.path, figures.get(key)))
    }
    return {
        "prose": name.prose,
        "finding": headline(key, site),
        "numbers": key_numbers(site),
        "example": example(run.path, site),
        "verdict": site.verdict,
        "reason": site.reason,
        "filters": shape(site.filters),
        "response": shape(site.response),
        "traversals": findings.traversals(site),
        "failures": failures(measures),
        "ceiling": bounds.best_known(site.ceilings),
        "ceilings": bounds.ceiling_rows(site.ceilings),
        "kinds": findings.kinds(site),
        "labels": findings.labels(site),
        "latents": findings.latents(site),
        "not_measured": site.not_measured,
        "accuracies": findings.accuracies(site),
        "figures": shown,
        "grids": sorted(path for key, path in figures.items() if key.startswith("grid_")),
        "rows": tables.measure_rows(measures),
        "alternatives": alternatives(key, site),
    }


def _done(run: RunDirectory) -> tuple[list[str], list[str]]:
    """What was done, in sentences, and the stages that were not."""
    sentences = _sentences(run)
    missing = [stage for stage in sentences if not run.stage_done(stage)]
    return [says for stage, says in sentences.items() if stage not in missing], missing


def _network(cnn: CnnConfig) -> str:
    if cnn.architecture == "paper":
        return f"A network of {count_of(len(cnn.channels), 'convolution')}"
    if cnn.architecture == "whitened":
        return f"A network of {count_of(len(cnn.channels), 'group')} of two convolutions"
    stages, blocks = count_of(len(cnn.channels), "stage"), count_of(cnn.blocks, "block")
    return f"A residual network of {stages} with {blocks} each"


def _sentences(run: RunDirectory) -> dict[str, str]:
    """What each stage does under this config; judges only where the record knows of them."""
    config, record = run.config, run.record
    cnn, gan, traversal, measure = config.cnn, config.gan, config.traversal, config.measure
    network = (
        f"The network studied is {Path(config.model).name}"
        + (f" with the weights of {Path(config.weights).name}" if config.weights else "")
        if config.model
        else f"{_network(cnn)} was trained on {images_called(run.path, record, config)} for "
        f"{count_of(cnn.epochs, 'epoch')}"
    )
    updates = (
        "the three updates of Algorithm 1"
        if gan.updates == "algorithm1"
        else "adversarial and information gradients summed"
    )
    start = (
        "Its filters started at the real ones."
        if gan.start == "real"
        else "It never sees the real filters; only responses are shown to the discriminator."
        if config.ablation.shown == "responses"
        else "The discriminator is shown whole sets of filters: a test of the paper's design."
    )
    game = (
        f"For {listed([site.prose for site in config.sites_of(PAPER)])}, each on its own, a "
        f"generator was trained to map {count_of(gan.latent, 'latent')} to all filters of the "
        f"convolution, in {count_of(gan.steps, 'step')} of {count_of(gan.batch, 'image')} "
        f"({updates}, λ = {gan.information:g}), so that the responses there would "
        f"pass for real ones. {start}"
    )
    searched = f", searched by {count_of(traversal.evaluations, 'step')} of L-BFGS"
    if config.sites_of(NATURAL):
        searched = f"{searched} at sites of the paper's recipe" if config.sites_of(PAPER) else ""
    test = record.dataset.test if record.dataset else 0  # without them nothing is done
    retrained = (
        f"; {count_of(measure.pooled, 'draw')} pooled with the later layers re-trained for "
        f"{count_of(measure.retrain_epochs, 'epoch')}, beside controls re-trained alike"
        if any("pooled_retrained_accuracy" in site.measures for site in record.sites.values())
        else ""
    )
    return {
        "train-cnn": f"{network}; it stays frozen in all that follows.",
        **_ceilings(config, record),
        **({"train-gan": game} if config.sites_of(PAPER) else {}),
        **_natural(config),
        **_judges(record),
        "traverse": f"Traversals: {count_of(min(traversal.images, test), 'test image')}, each as a "
        f"grid of {traversal.grid} by {traversal.grid} latent points, and for the numbers "
        f"{count_of(min(traversal.measured_images, test), 'image')} at "
        f"{count_of(traversal.measured_points, 'point')} each{searched}.",
        "measure": f"Assessment: {count_of(measure.draws, 'single draw')} with nothing re-trained"
        f"{retrained}. Intervals are 95 %; images are resampled whole, and draws where a number is "
        f"a mean over draws{_in_groups(traversal, record)}. Other seeds may differ by more.",
    }


def _in_groups(traversal: TraversalConfig, record: Record) -> str:
    """What is resampled of traversals, a clause; single images in records of earlier versions."""
    counts = [
        site.measures["compensation"].n
        for site in record.sites.values()
        if "compensation" in site.measures
    ]
    if max(counts, default=0) > traversal.groups(traversal.measured_images):
        return ""
    return (
        f"; in traversals whole groups of up to {count_of(traversal.group, 'image')} that share "
        "their filters"
    )


def _natural(config: StudyConfig) -> dict[str, str]:
    """How generators were made together with transformers, where some were."""
    sites, natural = config.sites_of(NATURAL), config.natural
    if not sites:
        return {}
    begin = {
        "real": "the real filters",
        "spectrum": "the real filters and the leading directions of the spectrum",
        "paper": "the paper's generator of the site",
    }[natural.start]
    said = (
        f"For {listed([site.prose for site in sites])}, each on its own, a generator and a "
        "transformer of images were trained together, so that the transformer undoes in the image "
        f"what another latent changes in the response: {count_of(natural.steps, 'step')} of "
        f"{count_of(natural.batch, 'image')}, begun at {begin}. The null is a transformer trained "
        f"for {count_of(natural.null_steps, 'step')} against random directions of the filters that "
        "change the response as much. Traversals there are one pass of the transformer; searches "
        "image by image stand beside it."
    )
    asked = {"labels": natural.labels, "logits": natural.logits}
    if what := listed([name for name, weight in asked.items() if weight]):
        said += (
            f" Both transformers were trained to leave the network's own {what} as they are, too: "
            "that its labels stay is no evidence, but only what judges say who had no part in it."
        )
    if natural.draws:
        said += (
            " The generator was trained to leave the network's logits as they are, too: that the "
            "network works with single draws of it was asked for."
        )
    return {"natural": said}


def _ceilings(config: StudyConfig, record: Record) -> dict[str, str]:
    """How ceilings were found; nothing in a record made before there were any."""
    data = record.dataset
    if data is None or not any(site.ceilings for site in record.sites.values()):
        return {}
    asked = config.ceilings
    train, test = min(asked.train_images, data.train), min(asked.test_images, data.test)
    said = (
        "Ceilings: for each of several known changes of images, the filters that best undo it "
        f"were fitted on up to {count_of(train, 'training image')} and judged on "
        f"{count_of(test, 'held-out image')}. Of what such filters change that go as "
        "far as is best for it, images take back the share that is told; in records made before "
        "that was sought, of what the fitted filters change."
    )
    return {"ceilings": said}


def _judges(record: Record) -> dict[str, str]:
    """How good the judges are; nothing in a record made before there were any."""
    accuracies = record.judges.accuracies if record.judges else []
    reached = [100 * a.value for a in accuracies if a.value is not None]
    if not reached:
        return {}
    judges = count_of(len(reached), "judge")
    said = (
        f"Whether a recovered image keeps its label is also asked of {judges}: "
        "classifiers of other kinds, trained on the same images and never seen by the generator, "
        f"right on {min(reached):.1f} to {max(reached):.1f} % of the test images."
    )
    return {"train-judges": said}
