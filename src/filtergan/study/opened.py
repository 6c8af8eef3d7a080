"""A run directory as an object: its record, its images and what was trained in it."""

import copy
import os
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import PAPER, SiteName
from filtergan.errors import UserError
from filtergan.game.card import Account
from filtergan.game.gan import FilterGAN
from filtergan.images.domain import Domain
from filtergan.images.splits import Dataset
from filtergan.machine import runtime
from filtergan.machine.files import load_tensors
from filtergan.machine.wording import as_html
from filtergan.measures.registry import order
from filtergan.measures.table import Measures
from filtergan.runs.directory import RunDirectory
from filtergan.runs.places import begun_at, data_from
from filtergan.runs.record import DatasetRecord, SiteRecord
from filtergan.sites.site import Site
from filtergan.sites.wrappers import Classifier, unwrapped
from filtergan.study.materials import kind_of, load_images, make_network
from filtergan.study.site_traversals import Traversals

if TYPE_CHECKING:  # takes a second to import
    import pandas

UNCHANGED = 0.01  # of pixels, by what the prior of a search does where nothing is to be undone
NAMED = "with --data, in Python with open_run(path, data=...)"
FEW = 1000  # training images beside the test images: enough to have all kinds of them


def open_run(
    path: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | Dataset | None = None,
    network: nn.Module | None = None,
    device: str | None = None,
) -> "OpenedRun":
    """Open the run that lies in a folder, to work with what it found; nothing is written.

    Images and network are found again from any working directory, as long as they lie where they
    did as seen from the run.

    Args:
        path: The run directory.
        data: Its images, where they have moved: as for `load_dataset`, or what that gave.
        network: Its network, where the factory of `--model` has moved; the weights are the run's.
        device: Another device than its config says.

    Raises:
        UserError: There is no run, or its record is damaged; or there is no such device.

    Examples:
        >>> import tempfile
        >>> import filtergan as fg
        >>> folder = tempfile.mkdtemp() + "/run"
        >>> config = fg.tiny().model_copy(update={"threads": 1})
        >>> directory = fg.run_study(config, folder, until="train-cnn")
        >>> run = fg.open_run(folder)
        >>> run.sites, len(run.dataset.test)
        (('conv4@activation', 'conv2@activation'), 100)
    """
    return OpenedRun(RunDirectory.open(Path(path).absolute()), data, network, device)


class OpenedRun:
    """What a run has, each part read when it is first asked for.

    `to_dataframe()` gives what it measured.

    Attributes:
        path: The run directory.
        config: The study's config.
        record: Content of record.json.
        sites: Names of the sites studied, as in conv4@bn5.
        device: Where the network lies.

    Examples:
        >>> import filtergan as fg
        >>> fg.open_run("runs/digits")
        OpenedRun('...runs/digits': digits, conv2@activation/natural, ...)
    """

    def __init__(
        self,
        directory: RunDirectory,
        data: str | os.PathLike[str] | Dataset | None = None,
        network: nn.Module | None = None,
        device: str | None = None,
    ) -> None:
        """Hold the parts; callers use `open_run`."""
        self._directory, self._data, self._network = directory, data, network
        self.path, self.config, self.record = directory.path, directory.config, directory.record
        self.sites = self.config.sites
        self.device = runtime.device(device or self.config.device)
        self._gans: dict[str, FilterGAN] = {}

    def __repr__(self) -> str:
        """Folder, images, sites and state."""
        what = f"{self.config.data}, {', '.join(self.sites)}, {self.record.status}"
        return f"OpenedRun({str(self.path)!r}: {what})"

    def _repr_html_(self) -> str:
        """The table, in a notebook: measures are many and sites few, so a column for each site."""
        return as_html(self.to_dataframe().T)

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each site: the verdict on its generator, and the value of every measure so far.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> list(run.to_dataframe().columns[:3])
            ['verdict', 'real_accuracy', 'single_draw_accuracy']
        """
        import pandas

        known = {name: self.record.sites.get(name, SiteRecord()) for name in self.sites}
        found = dict.fromkeys(name for one in known.values() for name in one.measures)
        names = sorted(found, key=lambda name: order(name)[0])
        rows = [
            {"verdict": one.verdict} | {name: each.value for name, each in one.measures.items()}
            for one in known.values()
        ]
        index = pandas.Index(list(map(str, known)), name="site")
        frame = pandas.DataFrame(rows, index=index, columns=["verdict", *names])
        return frame.astype(dict.fromkeys(names, float))

    @cached_property
    def dataset(self) -> Dataset:
        """The images.

        Raises:
            UserError: They are not found, or are others than those studied.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> run.dataset
            Dataset('digits': train Split(...), test Split(...), 10 classes)
        """
        found = self._data if isinstance(self._data, Dataset) else self._found_again(self.config)
        if found.fingerprint != self._images().fingerprint:
            raise self._others(found)
        return found

    @cached_property
    def images_to_show(self) -> Dataset:
        """The images with few of those for training, which are most, and take the longest to read.

        Its fingerprint is that of all images. Instead of it, test images are compared with those
        that the traversals show unchanged.

        Raises:
            UserError: They are not found, or are others than those studied.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> len(run.images_to_show.test) == len(run.dataset.test)
            True
        """
        if isinstance(self._data, Dataset):
            return self.dataset
        said, wanted = self._images(), self.config.dataset
        few = min(FEW, said.train)
        part = self.config.model_copy(
            update={"dataset": wanted.model_copy(update={"train_limit": few})}
        )
        found = self._found_again(part)
        told = (list(found.shape), len(found.test), list(found.classes))
        if told != (list(said.shape), said.test, list(said.classes)) or not self._shows(found):
            raise self._others(found)
        return replace(found, fingerprint=said.fingerprint)

    def _shows(self, found: Dataset) -> bool:
        """Whether the middles of all grids, where next to nothing is changed, are test images."""
        for name in self.sites:
            if self._done("traverse", name):
                seen = self.traversals(name)
                images, index = seen["grid_images"], seen["grid_index"]
                off = images[:, images.shape[1] // 2] - found.test.pixels(index)
                if off.abs().mean() > UNCHANGED:
                    return False
        return True

    def _others(self, found: Dataset) -> UserError:
        return UserError(
            f"{found.name} holds other images than those of the run in {self.path}; name theirs "
            f"{NAMED}."
        )

    @cached_property
    def network(self) -> Classifier:
        """The trained network, frozen and in evaluation mode; it takes pixels.

        Raises:
            UserError: It is not trained yet, its file is damaged, or its factory is not found.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> run.network(run.dataset.test.pixels(slice(3))).shape
            torch.Size([3, 10])
        """
        images = self._images()
        classes = tuple(images.classes)
        if self._network is None:
            plain = self.config.model_copy(update={"weights": None})  # the run has kept them
            c, h, w = images.shape
            network = make_network(plain, (c, h, w), classes, self.device, self._folder)
        else:
            domain, own = Domain(self.config.mean, self.config.std), unwrapped(self._network)
            network = Classifier(copy.deepcopy(own), domain, classes).to(self.device).eval()
        path = self.path / "cnn.safetensors"
        try:
            unwrapped(network).load_state_dict(load_tensors(path))
        except RuntimeError as error:
            raise UserError(
                f"The network does not fit the weights in {path}; put the factory that was studied "
                "back in its place, or give its network with open_run(path, network=...)."
            ) from error
        return network.requires_grad_(False)

    def site(self, name: str) -> Site:
        """The site of a name.

        Raises:
            UserError: The run has no such site, or its network is not found.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> run.site(run.sites[0])
            Site('conv2' of PaperCNN, activation, 6x4x3x3)
        """
        self.check(name)
        if self.trained(name):
            return self.gan(name).site
        site, shape = SiteName.parse(name), tuple(self._images().shape)
        return Site.of_shape(self.network, site.layer, shape, site.point)

    def trained(self, name: str) -> bool:
        """Whether the run has such a site, and has trained its generator.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> run.trained(run.sites[0]), run.trained("conv9@activation")
            (True, False)
        """
        return name in self.sites and self._done(trained_by(name), name)

    def gan(self, name: str) -> FilterGAN:
        """The trained generator of a site with its discriminator.

        Shared with `save_pretrained` or `push_to_hub`, its model card tells what the record says.

        Raises:
            UserError: The run has no such site, or has not trained it; or a file is damaged.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> filters = run.gan(run.sites[0]).draw(10)
            >>> len(filters)
            10
        """
        self.check(name)
        self.check(name, trained_by(name))
        if name not in self._gans:
            kind = kind_of(self.config, name)
            gan = kind.load(self._directory.site_path(name), self.network)
            gan.account = partial(self._account, name)
            self._gans[name] = gan
        return self._gans[name]

    def measures(self, name: str) -> Measures:
        """All that was measured at a site.

        Raises:
            UserError: The run has no such site, or has not measured it.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> found = run.measures(run.sites[0])
            >>> list(found.to_dataframe().columns[:4])
            ['value', 'low', 'high', 'null']
        """
        self.check(name, "measure")
        return Measures(self.record.sites[name].measures, name)

    def traversals(self, name: str) -> Traversals:
        """All that was found at a site's points: latents, images, residuals.

        Raises:
            UserError: The run has no such site, or no traversals of it; or the file is damaged.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> found = run.traversals(run.sites[0])
            >>> found["grid_images"].shape[-3:]
            torch.Size([1, 8, 8])
        """
        self.check(name, "traverse")
        path = self._directory.site_path(name) / "traversal.safetensors"
        return Traversals(name, load_tensors(path))

    def _account(self, name: str) -> Account:
        """What the record says of a site's generator, for its model card."""
        from filtergan.report.account import account_of  # brings matplotlib

        return account_of(self._directory, name)

    def _found_again(self, config: StudyConfig) -> Dataset:
        """The images of this config, or of what was named in their place."""
        if self._data is not None:
            assert not isinstance(self._data, Dataset), "one is at hand"
            return load_images(config, self._data)
        try:
            return load_images(config, data_from(self._folder, config))
        except UserError as error:
            raise UserError(
                f"The images of the run in {self.path} were not found again: {error} Name their "
                f"place {NAMED}."
            ) from error

    @property
    def _folder(self) -> Path:
        """The working directory in which the run was begun."""
        return begun_at(self.path, self.record.begun_in)

    def _images(self) -> DatasetRecord:
        """What the record says of the images, from which the network was trained."""
        found = self.record.dataset
        if found is None or not self._directory.stage_done("train-cnn"):
            raise UserError(
                f"The run in {self.path} has no trained network yet; continue it with --resume."
            )
        return found

    def _done(self, stage: str, name: str) -> bool:
        return self._directory.site_done(stage, name)

    def check(self, name: str, stage: str | None = None) -> None:
        """See that there is such a site, and that a stage has finished it.

        Raises:
            UserError: There is none; or it has not.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> run.check(run.sites[0], "measure")
        """
        if name not in self.sites:
            there = ", ".join(self.sites)
            raise UserError(f"The run in {self.path} has no site {name!r}; it has {there}.")
        if stage is not None and not self._done(stage, name):
            raise UserError(
                f"The run in {self.path} has not finished {stage} at {name!r} yet; continue it "
                "with --resume."
            )


def trained_by(name: str) -> str:
    """The stage that trains a site."""
    return "train-gan" if SiteName.parse(name).recipe == PAPER else "natural"
