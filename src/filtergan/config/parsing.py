"""A config from plain values and from a file, and as text that is read back."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from filtergan.config.fields import StudyConfig
from filtergan.config.older import REMOVED, RENAMED, renewed
from filtergan.errors import UserError


def parse(values: dict[str, Any], source: str) -> StudyConfig:
    """Validate plain values as a config.

    Args:
        values: Nested mapping of field names to values.
        source: Where they come from, for the error.

    Raises:
        UserError: A field is unknown or its value makes no sense; names each.
    """
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(map(_fault, error.errors()))
        raise UserError(f"The config from {source} is not valid: {faults}.") from error


def _fault(error: ErrorDetails) -> str:
    name = ".".join(map(str, error["loc"]))
    if name in REMOVED:
        return f"{name} is no setting any more, since it measured no benefit; leave it out"
    if name in RENAMED:
        return f"{name} is called {RENAMED[name]} now"
    given = "" if isinstance(error["input"], dict | BaseModel) else f" (given: {error['input']!r})"
    return (name and f"{name}: ") + error["msg"].removeprefix("Value error, ") + given


def load(path: Path, *, earlier: bool = False) -> StudyConfig:
    """Read a config.yaml.

    Args:
        path: The file.
        earlier: Whether an earlier version may have written it, whose settings may be gone now.

    Raises:
        UserError: The file is missing, is no YAML mapping, or is not valid.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"The config {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The config {path} is not valid YAML; mend or replace it.") from error
    if not isinstance(values, dict):
        raise UserError(f"The config {path} holds no settings; expected `field: value` lines.")
    return parse(renewed(values) if earlier else values, str(path))


def dump(config: StudyConfig) -> str:
    """The config as YAML text that `load` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
