"""Site inputs of many images: cached in memory, else on disk, else computed when asked for."""

from math import prod
from typing import Literal

import torch
from torch import Tensor

from filtergan.images.domain import to_float
from filtergan.machine import telling
from filtergan.machine.storage import (
    MIB,
    DiskTensor,
    Rows,
    RowsLike,
    batches,
    room_on_disk,
    row_numbers,
    rows_of,
)
from filtergan.sites.site import Site

Kept = Literal["memory", "disk", "recomputed"]


class SiteInputs:
    """Site inputs h of images, computed each time they are asked for.

    The network always sees `batch` images at once, because an image's last bits may depend on how
    many there are: so h is the same, bit for bit, however it is asked for, and wherever it is kept.

    Args:
        site: Computes them: what lies before it is frozen.
        images: Pixels [n, c, h, w], as `rows_of` makes rows.
        batch: Images in a pass.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> fg.SiteInputs(site, images)[:4].shape
        torch.Size([4, 8, 8, 8])
    """

    def __init__(self, site: Site, images: RowsLike, batch: int = 64) -> None:
        self.site, self.images, self.batch = site, rows_of(images), batch
        one = self[:1]
        self.shape, self.dtype = torch.Size((len(self.images), *one.shape[1:])), one.dtype

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @torch.no_grad()
    def __getitem__(self, index: slice | Tensor, /) -> Tensor:
        """The site inputs of some images, on the site's device."""
        parts = row_numbers(index, len(self)).split(self.batch)
        return torch.cat([self._compute(part) for part in parts])

    def _compute(self, rows: Tensor) -> Tensor:
        whole = rows[torch.arange(self.batch) % len(rows)]  # some twice, in a smaller batch
        images = to_float(self.images[whole].to(self.site.filters.device))
        return self.site.input(images)[: len(rows)].contiguous()

    def where(self, memory_mib: int) -> Kept:
        """Where to keep them: in memory if they fit, else on disk if half of its room does.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> site = fg.NaturalGAN.load("digits-conv2").site
            >>> fg.SiteInputs(site, torch.rand(32, 1, 8, 8)).where(memory_mib=1)
            'memory'
        """
        needed = prod(self.shape) * self.dtype.itemsize
        if needed <= memory_mib * MIB:
            return "memory"
        return "disk" if needed <= room_on_disk() / 2 else "recomputed"

    def kept(self, where: Kept) -> Rows:
        """The same rows, computed now, with a progress bar, and kept.

        Raises:
            UserError: The disk has no room (exit code 1).

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> site = fg.NaturalGAN.load("digits-conv2").site
            >>> inputs = fg.SiteInputs(site, torch.rand(32, 1, 8, 8))
            >>> inputs.kept("memory")[:4].equal(inputs[:4])
            True
        """
        if where == "recomputed":
            return self
        if where == "memory":
            copies = torch.empty(self.shape, dtype=self.dtype, device=self.site.filters.device)
        else:
            copies = DiskTensor(self.shape, self.dtype, f"The inputs of {self.site.layer}")
        with telling.progress(len(self), f"inputs of {self.site.layer}", "images") as advance:
            for part in batches(len(self), self.batch):
                copies[part] = self[part]
                advance(part.stop - part.start)
        return copies
