"""A page of the preset `mnist`, with all that it carries, is small enough to be sent."""

import shutil
from pathlib import Path

import movable
from test_headline import walked

from filtergan.config.fields import JointConfig, StudyConfig
from filtergan.config.presets import preset
from filtergan.config.site_names import NATURAL, SiteName
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.report import scrubber, write_report
from filtergan.report.page import MOST
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record
from filtergan.sites.site import Site

STUDY = Path(__file__).parents[1] / "results" / "mnist_both" / "seed0"
"""A study of the preset: its record and figures, without its generators."""


def carry(config: StudyConfig, folder: Path) -> None:
    """Write what moves images: network, generators and transformers of the config's sizes."""
    data = movable.images(1, 28)
    classifier = movable.network(config.cnn, data)
    gans: dict[SiteName, NaturalGAN] = {}
    for name in config.sites_of(NATURAL):
        site = Site(classifier, name.layer, data.test.pixels(slice(2)), name.point)
        joint = config.game_of(name)
        assert isinstance(joint, JointConfig)
        made = NaturalGAN.new(site, site.input(data.test.pixels(slice(9))), joint, 5)
        gans[name] = movable.as_if_trained(made)
    scrubber.make(folder, data, classifier, gans)


def test_a_page_of_the_preset_mnist_is_small_enough_to_be_sent(tmp_path: Path) -> None:
    config, record = preset("mnist"), read_record(STUDY)
    assert list(record.sites) == list(config.sites)
    run = RunDirectory(shutil.copytree(STUDY, tmp_path / "run"), config, record)
    carry(config, run.path)
    walked(run.path)
    for site in record.sites.values():
        site.files = {"traversal": "traversal.safetensors"}
    page = write_report(run)
    told = page.read_text()
    assert told.count("<img") == len(config.sites) * (3 + 8) + 3
    assert 'id="scrubber-data"' in told
    assert "small enough to be passed on" not in told  # all sites move
    assert page.stat().st_size <= MOST == 8e6
