"""What all parts of a config are made of."""

from pydantic import BaseModel, ConfigDict


class Main:
    """Marks a field as one of the dozen that matter: `--help` shows it, `--help-all` all others."""


class Frozen(BaseModel):
    """A part of a config: unknown keys fail, values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
