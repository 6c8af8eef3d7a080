"""Reads the record of a folder, of this version or an earlier one."""

import json
from pathlib import Path

from pydantic import ValidationError

from filtergan.errors import UserError
from filtergan.machine.files import remedy
from filtergan.runs.migration import migrated
from filtergan.runs.record import SCHEMA, Record


def read_record(path: Path) -> Record:
    """Read record.json of a folder, which need hold nothing else.

    Raises:
        UserError: There is none; or it is damaged, or of a version that is not known.
    """
    file = path / "record.json"
    try:
        values = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} holds no study (no record.json); name a run directory.") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged. {remedy(file)}") from error
    try:
        values = migrated(values)
        if values.get("schema") != SCHEMA:
            raise UserError(
                f"{file} was not written by this version of filtergan; use another folder."
            )
        return Record.model_validate(values)
    except ValidationError as error:
        places = {".".join(map(str, fault["loc"])) for fault in error.errors()[:3]}
        raise UserError(f"{file} is damaged at {', '.join(places)}. {remedy(file)}") from error
    except (AttributeError, LookupError, TypeError) as error:
        raise UserError(f"{file} is damaged. {remedy(file)}") from error
