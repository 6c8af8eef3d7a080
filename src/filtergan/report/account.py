"""What a run's record says of one generator, for the model card under which it is shared."""

import os
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import SiteName
from filtergan.game.card import Account
from filtergan.report.bounds import best_known
from filtergan.report.findings import traversals
from filtergan.report.plotted import tested
from filtergan.report.tables import main_rows
from filtergan.report.text import brief, cell, sentence, shape
from filtergan.runs.directory import RunDirectory
from filtergan.runs.places import begun_at
from filtergan.runs.record import MeasureRecord, Record

MANY = 20  # classes that are named


def account_of(run: RunDirectory, name: str) -> Account:
    """What a run's record says of a site's generator: findings, images, network, circumstances.

    Args:
        run: The run.
        name: The site's.
    """
    record, config, site = run.record, run.config, run.site(name)
    environment = Environment(
        loader=PackageLoader("filtergan.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sentence": sentence, "told": _told}
    data, cnn = record.dataset, record.cnn
    assert data is not None  # where a generator is trained, these are known
    assert cnn is not None
    text = environment.get_template("account.md.j2").render(
        prose=SiteName.parse(name).prose,
        site=site,
        traversals=traversals(site),
        latents=[one.sentence for one in site.latents] if tested(site) else [],
        ceiling=best_known(site.ceilings),
        rows=main_rows(site.measures),
        images=_images(run),
        data=data,
        shape=shape(data.shape),
        classes=_classes(data.classes),
        planted=config.dataset.planted,
        cnn=cnn,
        own=config.model is None,
        epochs=config.cnn.epochs,
        record=record,
    )
    picture = site.figures.get("traversal")
    path = None if picture is None else run.path / picture
    return Account(
        text=text.strip(),
        datasets=_on_the_hub(record, config),
        picture=path if path is not None and path.is_file() else None,
        alt="Grids of images: in the middle of each a test image, around it what becomes of it "
        "where changes of the filters are undone by changes of the image",
    )


def _on_the_hub(record: Record, config: StudyConfig) -> tuple[str, ...]:
    """The name of the images on the Hub; none where they may have come from elsewhere.

    A run that was begun with nothing of this machine's has fetched what it names, too; one with a
    network of one's own says whether it has.
    """
    named = re.fullmatch(r"[\w-]+/[\w.-]+", config.data) is not None
    fetched = record.begun_in is None or (record.dataset is not None and record.dataset.fetched)
    return (config.data,) if named and fetched else ()


def images_called(run: Path, record: Record, config: StudyConfig) -> str:
    """What a run's images are called, without the folders of the machine that they lay on.

    Args:
        run: The run directory.
        record: Its record.
        config: Its config.
    """
    there = begun_at(run, record.begun_in) / config.data  # even `.` has a name there
    return next(iter(_on_the_hub(record, config)), Path(os.path.abspath(there)).name)


def _images(run: RunDirectory) -> str:
    """What the images are, without the folders of the machine that they lay on."""
    record, config = run.record, run.config
    if config.data == "digits":
        return "The handwritten digits bundled with scikit-learn (`load_digits`)"
    if _on_the_hub(record, config):
        return f"[{config.data}](https://huggingface.co/datasets/{config.data})"
    return f"A folder of images of one's own, `{images_called(run.path, record, config)}`"


def _classes(names: list[str]) -> str:
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(names[:MANY]) + more


def _told(measure: MeasureRecord) -> str:
    """A value with its interval and null, as far as there are such."""
    value, interval = cell(measure)
    ends = f" (95 % interval {interval})" if interval else ""
    return value + ends + ("" if measure.null is None else f", against {brief(measure.null)}")
