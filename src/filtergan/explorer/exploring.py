"""A run to be explored: images, sites, network and judges, asked by several threads at once."""

import os
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.classifiers.judges import Judges, judges_file
from filtergan.config.fields import Interpolation
from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.explorer.looks import Grid, Look, Opinion, fields_of, residual_parts
from filtergan.explorer.uploads import on_bright
from filtergan.images.splits import Split
from filtergan.machine.telling import Tick
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.recovering import FieldSearch
from filtergan.runs.record import SiteRecord
from filtergan.study.opened import OpenedRun, open_run
from filtergan.study.site_traversals import Traversals
from filtergan.walks.inverter import compensation
from filtergan.walks.points import latent_grid
from filtergan.walks.walk import walk

REACH = 3.0
"""How far each latent can be moved: 3 standard deviations of all draws."""
SIDE = 5
"""Points along each side of a grid."""
TEST, TRAINING = "test", "training"
SEEN = 100  # images that tell whether they lie on a bright ground
PATIENCE = 0.2  # seconds between two looks whether a search that waits is still wanted


class Explorer:
    """A finished run, opened for looking. Nothing is written, and nothing is trained.

    Attributes:
        path: The run directory.
        test: The test images.
        classes: Their names.
        interpolation: How images were brought to one size.
        sites: Names of the sites whose generators are trained; those with a transformer first.
        judges: The dataset's independent classifiers; None where they are not kept here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        data: str | os.PathLike[str] | None = None,
        device: str | None = None,
    ) -> None:
        """Open a run.

        Raises:
            UserError: There is no run, no site of it is trained, or its images or network are not
                found.
        """
        self._run = open_run(path, data=data, device=device)
        self._looking, self._searching = threading.Lock(), threading.Lock()
        self.path, self.device = Path(path).resolve(), self._run.device
        dataset = self._run.images_to_show
        self.test, self.classes = dataset.test, dataset.classes
        self.interpolation: Interpolation = self._run.config.interpolation
        self.sites = self._trained()
        self.judges: Judges | None = None
        with suppress(UserError):
            kept = judges_file(dataset, self._run.config.judges)
            self.judges = Judges.load(kept, dataset, self._run.config.judges, self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        c, h, w = self.test.images.shape[1:]
        return c, h, w

    def record(self, site: str) -> SiteRecord:
        """What the run's record says of a site."""
        return self._run.record.sites[site]

    @cached_property
    def bright(self) -> bool | None:
        """Whether the images lie on a bright ground; None of images in colour."""
        return None if self.shape[0] > 1 else on_bright(self.test.pixels(slice(SEEN)))

    def split(self, name: str) -> Split:
        """The images called `TEST`, or those called `TRAINING`, read when first asked for.

        Raises:
            UserError: They are not found any more, or are others than those studied.
        """
        return self.test if name == TEST else self._run.dataset.train

    def image(self, number: int, split: str = TEST) -> Float[Tensor, "c h w"]:
        """An image of a split.

        Raises:
            UserError: There is none of that number.
        """
        images = self.split(split)
        if not 0 <= number < len(images):
            raise UserError(f"There is no image {number}; they are 0 to {len(images) - 1}.")
        return images.pixels(slice(number, number + 1))[0]

    def has_transformer(self, site: str) -> bool:
        """Whether images can be moved there at once."""
        return isinstance(self._run.gan(site), NaturalGAN)

    def latent(self, site: str) -> int:
        """Dimension of z."""
        return self._run.gan(site).latent

    def traversals(self, site: str) -> Traversals | None:
        """What the study found there; None where it has not come to it."""
        with suppress(UserError):
            return self._run.traversals(site)
        return None

    def filters(
        self, site: str, z: Float[Tensor, " latent"]
    ) -> tuple[Float[Tensor, "o i *k"], Float[Tensor, "o i *k"]]:
        """The real filters and those of z, on the CPU."""
        with self._looking:
            gan = self._run.gan(site)
            return gan.site.filters.cpu(), gan.draw(z[None].to(self.device))[0].cpu()

    def look(self, site: str, image: Float[Tensor, "c h w"], z: Float[Tensor, " latent"]) -> Look:
        """An image, moved by T to where the filters of z make of it what those of 0 did.

        Raises:
            UserError: The site has no transformer.
        """
        with self._looking:
            gan = self._natural(site)
            x, latent = image[None].to(self.device), z[None].to(self.device)
            moved = gan.transform(x, torch.zeros_like(latent), latent)
            return self._seen(gan, site, x, moved, latent, fields_of(gan, x, latent))

    def walk(
        self, site: str, image: Float[Tensor, "c h w"], targets: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "n c h w"]:
        """An image, moved by T to each of several latents."""
        with self._looking:
            gan, targets = self._natural(site), targets.to(self.device)
            x = image.to(self.device).expand(len(targets), -1, -1, -1)
            return gan.transform(x, torch.zeros_like(targets), targets).cpu()

    def grid(
        self,
        site: str,
        image: Float[Tensor, "c h w"],
        z: Float[Tensor, " latent"],
        dims: tuple[int, int],
    ) -> Grid:
        """An image, moved by T to the points of a grid over two latents; the others are those of z.

        Raises:
            UserError: The site has no transformer, or no two such latents.
        """
        if dims[0] == dims[1] or not all(0 <= dim < len(z) for dim in dims):
            raise UserError("A grid is over two different latents; choose two.")
        offsets = torch.linspace(-REACH, REACH, SIDE)
        centre = z.clone()
        centre[list(dims)] = 0
        targets = latent_grid(centre, dims, offsets).flatten(0, 1)
        with self._looking:
            gan, targets = self._natural(site), targets.to(self.device)
            x = image.to(self.device).expand(len(targets), -1, -1, -1)
            moved = gan.transform(x, torch.zeros_like(targets), targets)
            before, after = (
                residual_parts(gan, x, one, targets).flatten(1).sum(1).cpu() for one in (x, moved)
            )
            with torch.no_grad():
                labels = self._run.network(torch.cat([x[:1], moved])).argmax(1).tolist()
        return Grid(
            dims,
            offsets.tolist(),
            moved.cpu().unflatten(0, (SIDE, SIDE)),
            compensation(before, after).unflatten(0, (SIDE, SIDE)),
            [labels[1 + SIDE * row :][:SIDE] for row in range(SIDE)],
            labels[0],
        )

    def search(
        self,
        site: str,
        image: Float[Tensor, "c h w"],
        z: Float[Tensor, " latent"],
        tick: Tick = lambda points: None,
    ) -> Look:
        """An image, moved by fields that are searched for it alone, beginning with those of T.

        Args:
            site: A site that has a transformer.
            image: The image.
            z: The latent.
            tick: Called after every evaluation with 1, and with 0 now and then while another search
                has to be waited for; what it raises ends the search.
        """
        while not self._searching.acquire(timeout=PATIENCE):
            tick(0)
        try:
            with self._looking:  # a network is traced at first, and then no other may compute
                gan = self._natural(site, self._apart)
            search = FieldSearch(gan.transformer.space, from_transformer=True)
            x, latent = image[None].to(self.device), z[None].to(self.device)
            found = walk(gan, search, x, torch.zeros_like(latent), latent[:, None], tick=tick)
        finally:
            self._searching.release()
        with self._looking:
            return self._seen(self._natural(site), site, x, found.images, latent, {})

    def _seen(
        self,
        gan: NaturalGAN,
        site: str,
        x: Float[Tensor, "1 c h w"],
        moved: Float[Tensor, "1 c h w"],
        z: Float[Tensor, "1 latent"],
        fields: dict[str, Float[Tensor, "1 k h w"]],
    ) -> Look:
        parts = [residual_parts(gan, x, one, z)[0].cpu() for one in (x, moved)]
        has_places = parts[0].ndim == 3 and parts[0].shape[1:].numel() > 1
        both = torch.cat([x, moved])
        with torch.no_grad():
            said = {"network": self._run.network(both)}
            for i, judge in enumerate(self.judges.networks if self.judges else (), 1):
                said[f"judge {i}"] = judge(both)
        sure = {who: logits.softmax(1).cpu() for who, logits in said.items()}
        return Look(
            site,
            z[0].cpu(),
            x[0].cpu(),
            moved[0].cpu(),
            {kind: field[0].cpu() for kind, field in fields.items()},
            float(parts[0].sum()),
            float(parts[1].sum()),
            (parts[0].sum(0), parts[1].sum(0)) if has_places else None,
            [Opinion(who, one[0], one[1]) for who, one in sure.items()],
        )

    @cached_property
    def _apart(self) -> OpenedRun:
        """The run once more, opened for the first search.

        A pass through a network is no thread's alone: hooks see what others compute. Searches,
        which take seconds, have a network of their own.
        """
        return open_run(self.path, device=str(self.device))

    def _natural(self, site: str, run: OpenedRun | None = None) -> NaturalGAN:
        gan = (run or self._run).gan(site)
        if not isinstance(gan, NaturalGAN):
            raise UserError(
                f"{site} has no transformer: its images are searched pixel by pixel, which takes a "
                "while. A site of the natural recipe (--recipe natural) has one."
            )
        return gan

    def _trained(self) -> tuple[SiteName, ...]:
        found = [name for name in self._run.sites if self._run.trained(name)]
        if not found:
            raise UserError(
                f"The run in {self.path} has no trained generator yet; continue it with --resume."
            )
        return tuple(sorted(found, key=lambda name: not self.has_transformer(name)))
