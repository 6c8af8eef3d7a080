"""What a folder with a trained generator says of itself: all that is needed to build it again."""

import json
from pathlib import Path

from filtergan.config.bases import Frozen
from filtergan.config.fields import GanConfig, JointConfig, Shown
from filtergan.errors import UserError
from filtergan.machine.distributed import lead
from filtergan.machine.files import remedy, sha256, write_atomic
from filtergan.sites.convolution import Backend

FILE = "filtergan.json"
SCHEMA = 1


class Description(Frozen):
    """All about a generator and its discriminator but their weights."""

    schema_version: int = SCHEMA
    """Of this file; what a newer version of filtergan wrote is refused."""
    filtergan: str
    """Version of the package."""
    network: str
    """SHA-256 of the network's weights, as `sites.wrappers.fingerprint` takes it."""
    image: tuple[int, ...]
    """Shape of one input of the network."""
    layer: str
    """Dotted name of the convolution."""
    point: str
    """Where its response is read."""
    filters: tuple[int, ...]
    """Shape [o, i, *k] of a set of filters."""
    shows: Shown
    """What the discriminator is shown; `filters` for an ablation only."""
    response: tuple[int, ...]
    """Shape of one response, or of what else the discriminator is shown."""
    convolution: Backend
    """How filters of its own for every sample were applied in training."""
    config: JointConfig | GanConfig
    """Sizes of generator and discriminator, and how they were trained."""
    weights: dict[str, str]
    """Files of weights beside this one, each with its SHA-256."""

    def save(self, folder: Path) -> None:
        """Write filtergan.json.

        Raises:
            UserError: It could not be written (exit code 1).
        """
        text = json.dumps(self.model_dump(mode="json"), indent=2)
        write_atomic(folder / FILE, text.encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> "Description":
        """Read what `save` wrote; of several processes the first reads it for all.

        Raises:
            UserError: The file is missing, damaged, or of a newer version.
        """
        return lead(lambda: cls._load(folder / FILE))

    @classmethod
    def _load(cls, path: Path) -> "Description":
        try:
            values = json.loads(path.read_bytes())
            if isinstance(values, dict) and values.get("schema_version", 0) > SCHEMA:
                raise UserError(
                    f"{path} was written by a newer filtergan ({values.get('filtergan')}); "
                    "install that version or a later one."
                )
            return cls.model_validate(values)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}. {remedy(path)}") from error
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged. {remedy(path)}") from error

    def checked(self, path: Path) -> Path:
        """A file of weights, if it is the one that was saved with this description.

        Raises:
            UserError: It is not, or it is missing.
        """
        if sha256(path) != self.weights.get(path.name):
            raise UserError(
                f"{path} is damaged, or was not saved with the {FILE} beside it. {remedy(path)}"
            )
        return path
