"""What a stage makes, so that it can be taken back before the stage is run once more."""

from dataclasses import dataclass

from filtergan.config.site_names import Recipe


@dataclass(frozen=True)
class Owned:
    """What one stage makes.

    Attributes:
        keys: Fields of the record.
        files: Files in the run directory, as patterns.
        site_keys: Fields of every site's part of the record.
        site_files: Files in every site's folder, as patterns.
        recipe: Of whose sites alone; None: of all.
    """

    keys: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    site_keys: tuple[str, ...] = ()
    site_files: tuple[str, ...] = ()
    recipe: Recipe | None = None
