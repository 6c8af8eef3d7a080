"""Measures by name as an object: to look at, to tabulate and to keep."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from filtergan.errors import UserError
from filtergan.machine.files import write_atomic
from filtergan.machine.wording import as_html
from filtergan.measures.registry import lookup, order
from filtergan.runs.record import MeasureRecord

if TYPE_CHECKING:  # takes a second to import
    import pandas

SHOWN = ("value", "low", "high", "null")


class Measures(Mapping[str, MeasureRecord]):
    """Measures of a site by name, each with its 95 % interval and its null.

    Args:
        found: The measures, in any order.
        name: Of the site.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.learn(site, images, fg.NaturalConfig(latent=(3,), steps=2, null_steps=1))
        >>> measures = fg.measure(gan, images, fg.tiny().traversal, resamples=100)
        >>> frame = measures.to_dataframe()[["value", "low", "high", "null"]]
        >>> list(frame.index[:2])
        ['profile_residual_before', 'profile_residual_after']
    """

    def __init__(self, found: Mapping[str, MeasureRecord], name: str) -> None:
        self.name = name
        self._found = dict(sorted(found.items(), key=lambda item: order(item[0])[0]))

    def __getitem__(self, name: str) -> MeasureRecord:
        """The measure of that name."""
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the report's order."""
        return iter(self._found)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def __repr__(self) -> str:
        """The site, how many measures, and how much was undone."""
        one = self._found.get("compensation")
        undone = "" if one is None else f", compensation {one}"
        return f"Measures({self.name!r}: {len(self)} measures{undone})"

    def _repr_html_(self) -> str:
        """The table, in a notebook, each name with its meaning where one points at it."""
        frame = self.to_dataframe()
        shown = frame.loc[:, [*SHOWN, "unit"]].rename(
            index=lambda name: f'<span title="{lookup(name).meaning}">{name}</span>'
        )
        return as_html(shown, escape=False)

    def to_dataframe(self) -> "pandas.DataFrame":
        """A row for each: value, ends of its interval, null, n, better, unit and meaning.

        Examples:
            >>> import filtergan as fg
            >>> measures = fg.Measures.load("measures.json")
            >>> list(measures.to_dataframe().columns[:4])
            ['value', 'low', 'high', 'null']
        """
        import pandas

        rows = [
            {
                "measure": name,
                "value": one.value,
                "low": one.ci95[0],
                "high": one.ci95[1],
                "null": one.null,
                "n": one.n,
                "better": one.better,
                "unit": one.unit,
                "meaning": lookup(name).meaning,
            }
            for name, one in self.items()
        ]
        frame = pandas.DataFrame(rows).set_index("measure")
        return frame.astype(dict.fromkeys(SHOWN, float))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them as JSON, in the form that a record has them, whole or not at all.

        Raises:
            UserError: The file could not be written (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> measures = fg.Measures.load("measures.json")
            >>> measures.save("kept.json")
        """
        said = {name: one.model_dump(mode="json") for name, one in self.items()}
        text = json.dumps({"site": self.name, "measures": said}, indent=2, allow_nan=False)
        write_atomic(Path(path), text.encode() + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Measures":
        """Read what `save` wrote.

        Raises:
            UserError: The file is missing or damaged, or holds something else.

        Examples:
            >>> import filtergan as fg
            >>> measures = fg.Measures.load("measures.json")
            >>> measures["labels_kept"].n
            8
        """
        try:
            said = json.loads(Path(path).read_bytes())
            found = {k: MeasureRecord.model_validate(v) for k, v in said["measures"].items()}
            return cls(found, said["site"])
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise UserError(f"{path} holds no measures that Measures.save wrote.") from error
