"""The spectrum of a site: its leading directions, each beside its ceiling at a visible size."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.ceilings.ceiling import Asked, Ceiling, some_of
from filtergan.ceilings.tabled import cells, keep, kept
from filtergan.ceilings.undoing import PLAIN
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.values import FieldKind
from filtergan.families.family import Fixed
from filtergan.figures import directions_figure
from filtergan.images.image_fields import APART, FieldSpace
from filtergan.machine.storage import RowsLike
from filtergan.machine.wording import as_html
from filtergan.sites.site import Site, require_images
from filtergan.spectra.leading import FITTED, JUDGED, Directions, leading, mostly

if TYPE_CHECKING:  # takes a second to import
    import pandas

WALKED = 5  # steps of a direction that are shown
FIELDS = "fields"  # what a direction is called as a change of images
OWN = ("shares", "nulls", "fields", "filters")  # tensors with a row for each direction


@dataclass(frozen=True, repr=False)
class Spectrum(Directions):
    """Leading directions of image change, as `Directions` has them, and their ceilings.

    Attributes:
        ceilings: Of each direction as a change of images of the size of `fields`, which is no
            longer linear, with filters fitted to that.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> found = fg.spectrum_of(site, images, images, kinds=("gain",), grid=2, directions=2)
        >>> found.figure(images[:2])
        <Figure size ...>
    """

    ceilings: tuple[Ceiling, ...]

    def __repr__(self) -> str:
        """How many directions, and what is undone of the first."""
        first = f"{float(self.shares[0]):.2f}, null {float(self.nulls[0]):.2f}"
        return f"Spectrum({len(self.shares)} directions, of the first undone {first})"

    def _repr_html_(self) -> str:
        """The table, in a notebook."""
        return as_html(self.to_dataframe())

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each direction: its share and null, and its ceiling at a visible size.

        Examples:
            >>> import filtergan as fg
            >>> found = fg.Spectrum.load("spectrum.safetensors")
            >>> list(found.to_dataframe().columns[:3])
            ['share', 'share_null', 'at_size']
        """
        import pandas

        rows = [
            {"share": share, "share_null": null, **cells("at_size", one.record.undone)}
            for share, null, one in zip(
                self.shares.tolist(), self.nulls.tolist(), self.ceilings, strict=True
            )
        ]
        return pandas.DataFrame(rows).rename_axis("direction")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all, fields and filters too, to a file of safetensors, whole or not at all.

        Raises:
            UserError: The file could not be written (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> found = fg.Spectrum.load("spectrum.safetensors")
            >>> found.save("again.safetensors")
        """
        said = {
            "space": dataclasses.asdict(self.space),
            "ridge": self.ridge,
            "ceilings": [one.said for one in self.ceilings],
        }
        fitted = torch.stack([one.filters for one in self.ceilings])
        keep(path, Spectrum, said, {name: getattr(self, name) for name in OWN} | {"fitted": fitted})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Spectrum":
        """Read what `save` wrote.

        Raises:
            UserError: The file is missing or damaged, or holds something else.

        Examples:
            >>> import filtergan as fg
            >>> fg.Spectrum.load("spectrum.safetensors")
            Spectrum(2 directions, of the first undone ..., null ...)
        """

        def restored(said: Any, tensors: Mapping[str, Tensor]) -> Spectrum:
            space = said["space"]
            ceilings = map(Ceiling.restored, repeat(FIELDS), said["ceilings"], tensors["fitted"])
            return cls(
                space=FieldSpace(tuple(space["shape"]), tuple(space["kinds"]), space["grid"]),
                ridge=said["ridge"],
                ceilings=tuple(ceilings),
                **{name: tensors[name] for name in OWN},
            )

        return kept(path, cls, restored)

    def kinds(self, x: Float[Tensor, "n c h w"]) -> list[dict[FieldKind, float]]:
        """How much each kind of field has in every direction's change of images.

        Args:
            x: Images whose changes are compared.

        Returns:
            For each direction, squared changes by one kind alone over the sum of these.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> found = fg.Spectrum.load("spectrum.safetensors")
            >>> found.kinds(torch.rand(2, 1, 8, 8))  # of two directions, each of one kind
            [{'gain': 1.0}, {'gain': 1.0}]
        """
        fields, tangents = self.fields.to(x).flatten(1), self.space.tangents(x).flatten(1)
        parts, start = {}, 0
        for kind, channels in self.space.channels.items():
            of_kind = slice(start, start + channels * self.space.grid**2)
            change = fields[:, of_kind] @ tangents[of_kind]
            parts[kind], start = change.square().sum(1), of_kind.stop
        total = torch.stack(list(parts.values())).sum(0)
        shares = {kind: (part / total).tolist() for kind, part in parts.items()}
        return [{kind: of[i] for kind, of in shares.items()} for i in range(len(total))]

    def directions(self, x: Float[Tensor, "n c h w"]) -> list[dict[str, Any]]:
        """All that is known of each, as JSON has it.

        Args:
            x: Images over which kinds of change are compared.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> found = fg.Spectrum.load("spectrum.safetensors")
            >>> list(found.directions(torch.rand(2, 1, 8, 8))[0])
            ['share', 'null', 'kinds', 'image_change', 'ceiling']
        """
        return [
            {
                "share": share,
                "null": null,
                "kinds": kinds,
                "image_change": ceiling.image_change,
                "ceiling": ceiling.record.undone.model_dump(mode="json"),
            }
            for share, null, kinds, ceiling in zip(
                self.shares.tolist(), self.nulls.tolist(), self.kinds(x), self.ceilings, strict=True
            )
        ]

    def figure(self, x: Float[Tensor, "n c h w"]):
        """The directions as a matplotlib figure, each walked back and forth from some images.

        Args:
            x: A few images, pixels in [0, 1].

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> found = fg.Spectrum.load("spectrum.safetensors")
            >>> found.figure(torch.rand(2, 1, 8, 8)).savefig("directions.pdf")
        """
        steps = torch.linspace(-1, 1, WALKED)
        walked = [
            [self.space.apply(x, (step * own).expand(len(x), -1, -1, -1)) for step in steps]
            for own in self.fields.to(x)
        ]
        told = []
        for kinds, share, null, at_size in zip(
            self.kinds(x), self.shares, self.nulls, self.ceilings, strict=True
        ):
            undone = f"undone {share:.2f} (null {null:.2f})"
            told.append(
                f"{mostly(kinds)}\n{undone}\nat this size {at_size.record.undone.value:.2f}"
            )
        return directions_figure(torch.stack([torch.stack(one) for one in walked]), told)


def spectrum_of(
    site: Site,
    train: RowsLike,
    test: RowsLike,
    kinds: Sequence[FieldKind] = APART,
    grid: int = 4,
    directions: int = 12,
    config: CeilingConfig = PLAIN,
    seed: int = 0,
) -> Spectrum:
    """The leading directions of a site.

    Args:
        site: Of a network of images, its convolution of two dimensions.
        train: Pixels in [0, 1], as `rows_of` makes rows; filters are fitted on some of them.
        test: Others, on some of which directions are chosen, and on others shares told.
        kinds: Of fields.
        grid: Coefficients of a field along each axis.
        directions: How many are wanted.
        config: Of the ceilings of the directions.
        seed: Of the choice of images, and of the ceilings.

    Raises:
        UserError: The images are no pixels, or too few; the convolution is not of two dimensions;
            or the layer is too large.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> others = torch.rand(32, 1, 8, 8)
        >>> fg.spectrum_of(site, images, others, kinds=("gain",), grid=2, directions=2).shares.shape
        torch.Size([2])
    """
    require_images(site)
    fitted = some_of(train, FITTED, seed, "fitted").to(site.filters.device)
    held = some_of(test, 2 * JUDGED, seed, "held out").to(fitted)
    found = leading(site, fitted, held, kinds, grid, directions)
    asked = Asked.of(site, train, held.tensor_split(2)[1], config, seed)
    ceilings = (asked.ceiling(FIELDS, _fixed(found.space, own), config) for own in found.fields)
    return Spectrum(**vars(found), ceilings=tuple(ceilings))


def _fixed(space: FieldSpace, fields: Tensor) -> Fixed:
    """A direction as a change of images."""
    return Fixed(FIELDS, lambda x, _: space.apply(x, fields.expand(len(x), -1, -1, -1)), 1.0)
