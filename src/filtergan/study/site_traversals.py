"""What a study found at a site's points, as an object: tensors by name, and a table."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from filtergan.machine.wording import SHOWN, as_html

if TYPE_CHECKING:  # takes a second to import
    import pandas

MEASURED = {
    "profile_residual_before": "points_before",
    "profile_residual_after": "points_after",
    "compensation": "points_compensation",
    "compensation_null": "null_compensation",
    "image_change": "points_image_change",
    "labels_kept": "points_labels_kept",
}
"""What is measured at every point, and the tensor [image, point] that has it."""


class Traversals(Mapping[str, Tensor]):
    """Tensors of a site's traversals by name, as `study/stages/traverse.py` lists them.

    Walks from measured images are in `points_*` (and from their null in `null_*`), the grids shown
    in `grid_*`. `to_dataframe()` gives the numbers of the former.

    Attributes:
        site: Name of the site.

    Examples:
        >>> import filtergan as fg
        >>> run = fg.open_run("runs/digits")
        >>> found = run.traversals(run.sites[0])
        >>> found["points_images"].shape[-3:]
        torch.Size([1, 8, 8])
    """

    def __init__(self, site: str, tensors: Mapping[str, Tensor]) -> None:
        """Hold the tensors of a site."""
        self.site, self._tensors = site, tensors

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(sorted(self._tensors))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tensors)

    def __repr__(self) -> str:
        """The site and how many tensors there are."""
        return f"Traversals({self.site!r}, {len(self)} tensors)"

    def _repr_html_(self) -> str:
        """The first and the last rows of the table, in a notebook."""
        return as_html(self.to_dataframe(), most=SHOWN)

    def to_dataframe(self) -> "pandas.DataFrame":
        """The numbers of every measured point, a row each; z0, z1, ... are its latent.

        An image is named by its place among the test images.

        Examples:
            >>> import filtergan as fg
            >>> run = fg.open_run("runs/digits")
            >>> found = run.traversals(run.sites[0])
            >>> len(found.to_dataframe()) == found["points_compensation"].numel()
            True
        """
        import pandas

        targets = self["points_targets"]
        columns = {
            "image": self["points_index"].repeat_interleave(targets.shape[1]),
            **{f"z{i}": z for i, z in enumerate(targets.flatten(0, 1).unbind(1))},
            **{name: self[tensor].flatten() for name, tensor in MEASURED.items()},
        }
        return pandas.DataFrame({name: values.numpy() for name, values in columns.items()})
