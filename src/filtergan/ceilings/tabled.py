"""Findings of several changes of images, by name: as a table, and kept in a file."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from jaxtyping import Float
from torch import Tensor

from filtergan.errors import UserError
from filtergan.machine.files import load_metadata, load_tensors, save_tensors
from filtergan.machine.wording import as_html
from filtergan.runs.record import MeasureRecord

if TYPE_CHECKING:  # takes a second to import
    import pandas


class Told(Protocol):
    """What was found of one change of images."""

    @property
    def filters(self) -> Float[Tensor, "o i kh kw"]:
        """Those that undo it best."""
        ...

    @property
    def row(self) -> Mapping[str, Any]:
        """As a table has it."""
        ...

    @property
    def said(self) -> Mapping[str, Any]:
        """All but its name and filters, as JSON has it."""
        ...

    @classmethod
    def restored(cls, name: str, said: Any, filters: Tensor) -> Any:
        """What `said` said."""
        ...


Found = TypeVar("Found", bound=Told)
Kept = TypeVar("Kept")
Tensors = Mapping[str, Tensor]


class Tabled(dict[str, Found]):
    """What was found, by the name of the change of images.

    Attributes:
        kind: Of what it holds.
    """

    kind: ClassVar[type[Told]]

    def _repr_html_(self) -> str:
        """The table, in a notebook."""
        return as_html(self.to_dataframe())

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each change of images: values, ends of their intervals, nulls.

        Examples:
            >>> import filtergan as fg
            >>> found = fg.Ceilings.load("ceilings.safetensors")
            >>> found.to_dataframe()[["compensation", "compensation_null"]].shape
            (1, 2)
        """
        import pandas

        rows = [{"change": name, **one.row} for name, one in self.items()]
        return pandas.DataFrame(rows).set_index("change")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all, filters too, to a file of safetensors, whole or not at all.

        Raises:
            UserError: The file could not be written (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> found = fg.Ceilings.load("ceilings.safetensors")
            >>> found.save("again.safetensors")
        """
        tensors = {name: one.filters for name, one in self.items()}
        keep(path, type(self), {name: one.said for name, one in self.items()}, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tabled[Found]":
        """Read what `save` wrote.

        Raises:
            UserError: The file is missing or damaged, or holds something else.

        Examples:
            >>> import filtergan as fg
            >>> fg.Ceilings.load("ceilings.safetensors")
            {'brightness x0.7': Ceiling('brightness x0.7': undone ...)}
        """
        return cls(
            kept(
                path,
                cls,
                lambda said, tensors: {
                    name: cls.kind.restored(name, one, tensors[name]) for name, one in said.items()
                },
            )
        )


def keep(path: str | os.PathLike[str], of: type, said: Any, tensors: Tensors) -> None:
    """Write what was found to a file of safetensors, whole or not at all.

    Raises:
        UserError: The file could not be written (exit code 1).
    """
    contiguous = {name: one.contiguous() for name, one in tensors.items()}
    save_tensors(Path(path), contiguous, {of.__name__: json.dumps(said, allow_nan=False)})


def kept(path: str | os.PathLike[str], of: type, restored: Callable[[Any, Tensors], Kept]) -> Kept:
    """What `keep` wrote.

    Raises:
        UserError: The file is missing or damaged, or holds something else.
    """
    place = Path(path)
    tensors = load_tensors(place)
    try:
        return restored(json.loads(load_metadata(place)[of.__name__]), tensors)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} holds nothing that {of.__name__}.save wrote.") from error


def cells(name: str, one: MeasureRecord) -> dict[str, float | None]:
    """A measure's value, the ends of its interval and its null, by column."""
    low, high = one.ci95
    return {name: one.value, f"{name}_low": low, f"{name}_high": high, f"{name}_null": one.null}
