"""The commands `filtergan ask` and `filtergan spectrum`: what a layer ignores, what it can undo."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from filtergan.cli.helping import Wrapped
from filtergan.cli.options import add_file, add_output
from filtergan.config.site_names import PAPER, SiteName, named
from filtergan.errors import UserError

if TYPE_CHECKING:  # brings torch, which takes seconds to import
    from filtergan.study.opened import OpenedRun

ASK = """
Is a known change of images an invariance of the network at a layer? Yes, where filters can undo it
there and what they change reaches the logits hardly more than the same changes exchanged among the
filters; no, where it does; undecided, where the interval holds both; and where no filters undo it,
or the layer has but one, the question cannot be asked.
  filtergan ask RUN --family rotation --layer conv4 --response activation
"""
SPECTRUM = """
All smooth changes of images at a layer, sorted by the share that its filters can undo: what
invariances there are to look for, before a generator is trained. Each is then made visible, and
filters are fitted to it anew.
  filtergan spectrum RUN --layer conv4 --response bn5 -o directions.pdf
It takes minutes at a layer of hundreds of thousands of weights.
"""


def add_ask(commands: Any) -> None:
    """Give the whole command `ask`.

    Args:
        commands: The subparsers of the whole command.
    """
    meaning = "Whether a network ignores a known change of images at a layer."
    command = _about_layers(commands, "ask", meaning, ASK)
    command.add_argument(
        "--family", nargs="+", metavar="NAME", help="rotation, size, ... [default: all that apply]"
    )
    add_file(command)


def add_spectrum(commands: Any) -> None:
    """Give the whole command `spectrum`.

    Args:
        commands: The subparsers of the whole command.
    """
    meaning = "All smooth changes of images, sorted by how far a layer's filters undo them."
    command = _about_layers(commands, "spectrum", meaning, SPECTRUM)
    command.add_argument(
        "--directions", metavar="N", type=int, default=12, help="how many [default: 12]"
    )
    command.add_argument(
        "--grid",
        metavar="N",
        type=int,
        default=4,
        help="coefficients of a field along each axis [default: 4]",
    )
    add_file(command, figure=True)


def _about_layers(commands: Any, name: str, meaning: str, text: str) -> argparse.ArgumentParser:
    """A command that asks something of layers of a run's network."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=meaning, description=text, formatter_class=Wrapped, allow_abbrev=False
    )
    command.add_argument("run", metavar="RUN", help="a run directory whose network is trained")
    command.add_argument("--layer", nargs="+", metavar="NAME", help="[default: those of its sites]")
    command.add_argument(
        "--response", nargs="+", metavar="POINT", help="readings [default: those of its sites]"
    )
    command.add_argument("--data", help="its images, where they have moved")
    command.add_argument("--device", help="another device than its config says")
    add_output(command)
    return command


def ask(arguments: argparse.Namespace) -> None:
    """Ask of known changes of images, and tell."""
    from filtergan.cli import output
    from filtergan.machine import runtime
    from filtergan.study.measuring.of_families import answers_at, steps_at
    from filtergan.study.opened import open_run

    output.check_file(arguments.out)
    run = open_run(arguments.run, data=arguments.data, device=arguments.device)
    runtime.set_threads(run.config.threads)
    asked = _asked_of(run, arguments)
    found = {name: answers_at(run, name, arguments.family) for name in asked}
    steps = {name: steps_at(run, name, arguments.family) for name in asked}
    output.put_answers(found, steps, arguments.out, arguments.json)


def spectrum(arguments: argparse.Namespace) -> None:
    """Find the spectra of layers, and tell.

    Raises:
        UserError: A number is none that there can be; or a figure of several layers is wanted.
    """
    from filtergan.cli import output
    from filtergan.machine import runtime
    from filtergan.study.measuring.of_families import spectrum_at
    from filtergan.study.opened import open_run

    for name, least in (("directions", 1), ("grid", 2)):
        if getattr(arguments, name) < least:
            raise UserError(
                f"--{name} {getattr(arguments, name)} is too few; give {least} or more."
            )
    output.check_file(arguments.out, figure=True)
    run = open_run(arguments.run, data=arguments.data, device=arguments.device)
    runtime.set_threads(run.config.threads)
    asked = _asked_of(run, arguments)
    if output.is_figure(arguments.out) and len(asked) > 1:
        raise UserError(
            f"A figure shows the spectrum of one layer; name it with --layer and --response, as in "
            f"--layer {asked[0].layer} --response {asked[0].point}."
        )
    found = {name: spectrum_at(run, name, arguments.grid, arguments.directions) for name in asked}
    seen = run.dataset.test.pixels(slice(64))
    output.put_spectra(found, seen, arguments.out, arguments.json)


def _asked_of(run: "OpenedRun", arguments: argparse.Namespace) -> list[SiteName]:
    """What a command asks of a run, each once: a depth is the module that it stands for."""
    from filtergan.study.measuring.of_families import found_at

    wanted = asked_sites(run.sites, arguments.layer, arguments.response)
    return list(dict.fromkeys(found_at(run, name) for name in wanted))


def asked_sites(
    sites: Sequence[SiteName], layers: Sequence[str] | None, readings: Sequence[str] | None
) -> tuple[SiteName, ...]:
    """The layers and readings that are asked of: those named, else those of a run's sites.

    Args:
        sites: Of the run.
        layers: Names, some with a reading of their own; None: the run's.
        readings: Of the others; None: the run's.
    """
    if layers is None and readings is None:
        return tuple(dict.fromkeys(site.under(PAPER) for site in sites))
    layers = layers or list(dict.fromkeys(site.layer for site in sites))
    readings = readings or list(dict.fromkeys(site.point for site in sites))
    return named(layers, readings)
