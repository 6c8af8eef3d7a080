"""What is removed from a run directory: an earlier study, or what a stage has made."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from filtergan.config.parsing import load
from filtergan.config.site_names import SiteName, folder_of
from filtergan.errors import UserError
from filtergan.machine.files import PART, writing
from filtergan.runs.owned import Owned
from filtergan.runs.reading import read_record
from filtergan.runs.record import Record

STUDY = Owned(
    files=(
        *("events.jsonl", "report.html", "scrubber.json", "cnn.safetensors"),
        *("checkpoint/*", "figures/*.png"),
        *("tensorboard/*/events.out.tfevents.*", f".*{PART}"),
    ),
    site_files=(
        *("*.safetensors", "filtergan.json", "checkpoint/*", "figures/*.png", f".*{PART}"),
        *("null/*.safetensors", "null/filtergan.json"),
    ),
)
"""What `overwrite` may remove: these files and no others, whatever else lies in the directory."""


def folders_there(path: Path) -> tuple[str, ...]:
    """Folders of the sites that an earlier study left; fails where the folder is not a study's.

    With a damaged record, a valid config.yaml beside it shows that the folder is one; its sites'
    folders may then be named in either way.

    Raises:
        UserError: There is neither.
    """
    try:
        record = read_record(path)
    except UserError:
        try:
            sites = load(path / "config.yaml", earlier=True).sites
            return tuple(folder_of(name) for site in sites for name in (site, site.layer))
        except UserError as error:
            raise UserError(
                f"{path} cannot be recognised as a study, so nothing is removed there; name "
                "another folder with --out."
            ) from error
    return (*folders(record), *record.clearing)


def folders(record: Record, owned: Owned = STUDY) -> tuple[str, ...]:
    """The folders of a record's sites, of those that a stage works on."""
    sites = ((name, site) for name, site in record.sites.items() if _of(owned, name))
    return tuple(site.folder or folder_of(name) for name, site in sites)


def _of(owned: Owned, name: str) -> bool:
    return owned.recipe in (None, SiteName.parse(name).recipe)


def remove(path: Path, owned: Owned, sites: Iterable[str]) -> None:
    """Remove files from a run directory, and the folders that this leaves empty.

    Args:
        path: The run directory.
        owned: Which files.
        sites: Folders of the sites.

    Raises:
        UserError: One could not be removed (exit code 1).
    """
    places = [(path, owned.files), *((path / n, owned.site_files) for n in sites)]
    with writing(path):
        found = {f for at, patterns in places for p in patterns for f in at.glob(p)}
        removed = {file for file in found if not file.is_dir()}
        for file in removed:
            file.unlink()
    emptied = {p for f in removed for p in f.parents if p.is_relative_to(path) and p != path}
    for folder in sorted(emptied, reverse=True):
        with suppress(OSError):
            folder.rmdir()


def forget(record: Record, owned: Owned) -> None:
    """Take out of a record what a stage has made: its keys, and where its files lie.

    Args:
        record: Changed, but not saved.
        owned: What the stage makes.
    """
    _reset(record, owned.keys)
    record.figures = _others(record.figures, "", owned.files)
    sites = (s for name, s in record.sites.items() if _of(owned, name))
    for folder, site in zip(folders(record, owned), sites, strict=True):
        _reset(site, owned.site_keys)
        site.figures = _others(site.figures, folder, owned.site_files)
        site.files = _others(site.files, folder, owned.site_files)


def _reset(part: BaseModel, keys: Iterable[str]) -> None:
    for key in keys:
        setattr(part, key, type(part).model_fields[key].get_default())


def _others(paths: dict[str, str], folder: str, patterns: Iterable[str]) -> dict[str, str]:
    """The paths that fit none of the patterns in a folder."""
    return {
        name: path
        for name, path in paths.items()
        if not any(Path(path).relative_to(folder).match(pattern) for pattern in patterns)
    }
