"""Findings of several changes of images, by name, and as a table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from filtergan.runs.record import MeasureRecord

if TYPE_CHECKING:  # takes a second to import
    import pandas


class Told(Protocol):
    """What was found of one change of images."""

    @property
    def row(self) -> Mapping[str, Any]:
        """As plain values, by column."""
        ...


Found = TypeVar("Found", bound=Told)


class Tabled(dict[str, Found]):
    """What was found, by the name of the change of images.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images, "conv")
        >>> found = fg.ceilings_of(site, images, torch.rand(32, 1, 8, 8), ["brightness"])
        >>> found.to_dataframe()[["compensation", "compensation_null"]].shape
        (1, 2)
    """

    def _repr_html_(self) -> str:
        """The table, in a notebook."""
        return self.to_dataframe().to_html(float_format="{:.3g}".format, na_rep="")

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each change of images: values, ends of their intervals, nulls."""
        import pandas

        rows = [{"change": name, **one.row} for name, one in self.items()]
        return pandas.DataFrame(rows).set_index("change")


def cells(name: str, one: MeasureRecord) -> dict[str, float | None]:
    """A measure's value, the ends of its interval and its null, by column."""
    low, high = one.ci95
    return {name: one.value, f"{name}_low": low, f"{name}_high": high, f"{name}_null": one.null}
