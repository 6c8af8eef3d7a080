"""Options made from the config's fields, and the config made from options."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from filtergan.config.bases import Main
from filtergan.config.fields import StudyConfig
from filtergan.config.natural_fields import NaturalConfig
from filtergan.config.parsing import load, parse
from filtergan.config.presets import PRESETS, preset
from filtergan.config.site_names import NATURAL, named
from filtergan.errors import UserError
from filtergan.plot.gallery import FORMATS

FIELD = "field:"
"""What the destination of a field's option begins with."""


def add_config(
    command: Any,
    base: StudyConfig,
    everything: bool,
    without: Sequence[str] = (),
    first: tuple[str, str] = ("PRESET", f"one of {', '.join(PRESETS)}"),
) -> None:
    """Give a command what makes a config: a preset or a file, and an option for each field.

    Args:
        command: Its parser.
        base: Its fields are the defaults that the help names.
        everything: Whether the help shows all of them, or those that are marked as `Main`.
        without: Fields that this command sets itself.
        first: What its first argument is called, and its meaning.
    """
    command.add_argument("preset", nargs="?", metavar=first[0], help=first[1])
    command.add_argument("--config", metavar="FILE", help="a config.yaml instead of a preset")
    command.add_argument("-h", "--help", action="store_true", help="show what matters most")
    command.add_argument("--help-all", action="store_true", help="show every option")
    _add_fields(command, "study", base, "", everything, without)
    for name, part in base:
        if isinstance(part, BaseModel):
            _add_fields(command, name, part, f"{name}.", everything)


def add_quiet(command: Any) -> None:
    """Give a command the option that silences what is told on the way."""
    meaning = "tell nothing on the way; warnings and errors remain"
    command.add_argument("-q", "--quiet", action="store_true", help=meaning)


def add_output(command: Any) -> None:
    """Give a command the options that say what is told, and how."""
    add_quiet(command)
    meaning = "print one JSON document instead of words and tables"
    command.add_argument("--json", action="store_true", help=meaning)


def add_file(command: Any, figure: bool = False) -> None:
    """Give a command the option that keeps what `--json` would print, or its figure, in a file."""
    meaning = "write the JSON document to a file, which ends in .json, as well"
    if figure:
        meaning += f"; or its figure, to one that ends in {', '.join(f'.{e}' for e in FORMATS)}"
    command.add_argument("-o", "--out", metavar="FILE", type=Path, help=meaning)


def _add_fields(
    command: Any,
    title: str,
    part: BaseModel,
    prefix: str,
    everything: bool,
    without: Sequence[str] = (),
) -> None:
    fields = type(part).model_fields
    shown = [name for name, field in fields.items() if everything or Main in field.metadata]
    summary = (type(part).__doc__ or "").strip().partition("\n")[0] if prefix and shown else None
    group = command.add_argument_group(title, summary)
    for name, field in fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel) or prefix + name in ("preset", *without):
            continue
        meaning = " ".join((field.description or "").split())
        meaning = f"{meaning} [default: {_text(value)}]".replace("%", "%%")
        group.add_argument(
            f"--{(prefix + name).replace('_', '-')}",
            dest=f"{FIELD}{prefix}{name}",
            action="append" if _is_list(field) else "store",
            default=argparse.SUPPRESS,
            metavar=_metavar(field),
            help=meaning if name in shown else argparse.SUPPRESS,
        )


def base_of(arguments: argparse.Namespace) -> StudyConfig:
    """The preset or file that a command names, or the defaults.

    Raises:
        UserError: It names both, or there is no such one.
    """
    if arguments.preset is not None and arguments.config is not None:
        raise UserError("Name a preset or a file with --config, not both.")
    if arguments.config is not None:
        return load(Path(arguments.config))
    return StudyConfig() if arguments.preset is None else preset(arguments.preset)


def override(base: StudyConfig, arguments: argparse.Namespace) -> StudyConfig:
    """The base with the fields that were given as options; pydantic reads their text.

    Where these name other sites, and no latents, each site that the base has keeps its number.

    Raises:
        UserError: A value makes no sense.
    """
    values = base.model_dump()
    for name, given in vars(arguments).items():
        if not name.startswith(FIELD):
            continue
        *parts, last = name.removeprefix(FIELD).split(".")
        target = values[parts[0]] if parts else values
        if isinstance(given, list):
            given = ",".join(given)
            target[last] = None if given == "none" else [v.strip() for v in given.split(",") if v]
        else:
            target[last] = None if given == "none" else given
    if f"{FIELD}natural.latent" not in vars(arguments):
        values["natural"]["latent"] = _latents(base, values)
    return parse(values, "the command line")


def unused(config: StudyConfig, arguments: argparse.Namespace) -> list[str]:
    """Of options that were given, those that change nothing, each in a sentence.

    Args:
        config: That they made.
        arguments: With the options.
    """
    given = [name.removeprefix(FIELD) for name in vars(arguments) if name.startswith(FIELD)]
    told: list[str] = []
    if config.model is not None:
        idle = [f"--{name.replace('_', '-')}" for name in given if name.startswith("cnn.")]
        why = "is of a network that is trained here, and changes nothing with --model"
        told += [f"{option} {why}; leave it out" for option in idle]
    if "interpolation" in given and config.size is None:
        told.append("--interpolation changes nothing without --size; add that, or leave it out")
    return told


def _latents(base: StudyConfig, values: Mapping[str, Any]) -> tuple[int, ...]:
    """Of each site of the natural recipe the base's own number; where one is new, the default."""
    own = base.latents
    with suppress(UserError):  # which the config refuses, as it does what is unset
        sites = named(*(values[name] or () for name in ("layer", "response", "recipe")))
        wanted = [site for site in sites if site.recipe == NATURAL]
        if own and wanted != list(own):
            known = wanted and own.keys() >= set(wanted)
            return tuple(own[site] for site in wanted) if known else NaturalConfig().latent
    return base.natural.latent


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def _kinds(annotation: Any) -> set[Any]:
    """The plain types and literal values that an annotation is made of."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    inner = [_kinds(argument) for argument in get_args(annotation)]
    return set().union(*inner) if inner else {annotation}


def _is_list(field: FieldInfo) -> bool:
    options = (field.annotation, *get_args(field.annotation))
    return any(get_origin(option) is tuple for option in options)


def _metavar(field: FieldInfo) -> str:
    kinds = _kinds(field.annotation)
    words = sorted(kind for kind in kinds if isinstance(kind, str))
    names = {bool: "true|false", int: "N", float: "X", str: "TEXT"}
    word = "|".join(words) or next(names[kind] for kind in names if kind in kinds)
    return f"{word},.." if _is_list(field) else word
