"""The command `filtergan`: options made from the config's fields, errors as one sentence."""

import argparse
import difflib
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from filtergan.ablations.variants import VARIANTS
from filtergan.cli import launcher
from filtergan.config.fields import StudyConfig, dump, load, parse
from filtergan.config.presets import PRESETS, preset
from filtergan.errors import UserError

# In the order in which a study runs them.
STAGES = {
    "train-cnn": "Train the studied network, or load one's own, and measure its accuracy.",
    "train-gan": "Train the generator and the discriminator of every site (eqs. 1-4).",
    "train-judges": "Train independent classifiers, or take them from the cache.",
    "traverse": "Walk through the latent space and invert the walks (eqs. 5-8).",
    "measure": "Draw, pool, re-train, and compare with the controls (eq. 9).",
    "report": "Write report.html from the record.",
}
ABLATE = """
What the paper says of its design, as studies that each change one choice of a base, over seeds:
{variants}
Interrupted at any time, the same command goes on; --only and --seeds may change from call to call.
All other options are those of `study` and make the base, as in
  filtergan ablate ablation --data ../shared/data/mnist --gan.steps 500
"""
LAYERS = """
The convolutions of a network, by the names that `--layer` takes, and whether each can be studied.
  filtergan layers --model package.module:factory --weights net.safetensors --data my_images/
  filtergan layers mnist --data ../shared/data/mnist
Nothing is trained. Memory and time are those of the generator's training, an estimate: its
arithmetic, at a rate measured on a small game of a few steps on this machine, as busy as it is.
Memory is beyond that of the network and the images. All other options are those of `study`.
"""
STUDY = """
A field of a part is given by its dotted name, on/off ones as true or false and lists with commas:
  filtergan study mnist --gan.steps 5000 --gan.decay false --cnn.channels 16,16,32,32,32
  filtergan study mnist --data ../shared/data/mnist --layer conv4 --seed 1
  filtergan study mnist --layer all, or "features.*" (quoted, so that no shell expands it)
  filtergan study --config runs/mnist-seed0/config.yaml --out runs/again
`none` unsets a field that may be unset. Defaults below are those of the preset or file named.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments after the command's name; by default those of the process.

    Returns:
        0; 1 for a misfortune of the world's; 2 for a mistake of the user's; 130 if interrupted.
    """
    try:
        launcher.serve()
        _run(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        launcher.tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("filtergan: interrupted; continue with --resume", file=sys.stderr)
        return 130
    return 0


def _run(argv: list[str]) -> None:
    parser = _parser(StudyConfig())
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(unknown[0], parser, arguments.command)
    if arguments.command is None:
        parser.print_help()
    elif arguments.command == "study":
        _study(arguments, argv)
    elif arguments.command == "ablate":
        _ablate(arguments)
    elif arguments.command == "compare":
        _compare(arguments)
    elif arguments.command == "layers":
        _layers(arguments)
    else:
        _stage(arguments, argv)


def _study(arguments: argparse.Namespace, argv: list[str]) -> None:
    config = _config(arguments)
    if config is None:
        return
    out = Path(arguments.out or f"runs/{config.preset}-seed{config.seed}")
    if arguments.dry_run:
        print(f"# a study in {out}\n{dump(config)}", end="")
        return
    if launcher.several(arguments.processes, arguments.nodes):
        return launcher.launch(argv, arguments.processes or 1, arguments.nodes or 1)
    from filtergan import study  # brings torch, which takes seconds to import

    run = study.run(
        config,
        out,
        until=arguments.until,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    _tell(run)


def _ablate(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    if config is None:
        return
    from rich.console import Console

    from filtergan.ablations import outcome, queue

    out = Path(arguments.out)

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        found = queue.run(config, out, arguments.seeds, arguments.only or VARIANTS, tell)
    except KeyboardInterrupt:
        raise UserError("interrupted; the same command goes on from here", exit_code=130) from None
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(*outcome.tables(found), sep="\n")
    print(f"The numbers: {out / 'ablation.json'}")


def _compare(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from filtergan import compare

    out = None if arguments.out is None else Path(arguments.out)
    if out is not None:
        compare.check_ending(out)
    found = compare.compare([Path(run) for run in arguments.runs], arguments.measures)
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    console.print(*compare.heading(found), *compare.tables(found), sep="\n")
    if out is not None:
        compare.write(found, out)
        print(f"The comparison: {out}")


def _layers(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    if config is None:
        return
    from rich.console import Console

    from filtergan.machine import runtime
    from filtergan.study import layers
    from filtergan.study.materials import Materials

    runtime.set_threads(config.threads)
    materials = Materials(config)
    materials.check_network()
    data = materials.dataset
    example = data.test.pixels(slice(2)).to(materials.device)
    rows = layers.layers(materials.network, example, config, len(data.train))
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    console.print(layers.table(rows, config))


def _config(arguments: argparse.Namespace) -> StudyConfig | None:
    """The config that a command's options make; None where its help was wanted, and given."""
    base = _base(arguments)
    if arguments.help:
        _commands(_parser(base))[arguments.command].print_help()
        return None
    own = arguments.command == "layers" and "field:model" in vars(arguments)
    if arguments.preset is None and arguments.config is None and not own:
        raise UserError(f"Name a preset ({', '.join(PRESETS)}) or a file with --config.")
    return _override(base, arguments)


def _stage(arguments: argparse.Namespace, argv: list[str]) -> None:
    if launcher.several(arguments.processes, arguments.nodes):
        return launcher.launch(argv, arguments.processes or 1, arguments.nodes or 1)
    from filtergan import study

    _tell(study.run_stage(arguments.command, Path(arguments.run), arguments.device))


def _tell(run: Any) -> None:
    """Print the verdicts and measures, if there are any yet, and where the files lie."""
    from rich.console import Console

    from filtergan import report
    from filtergan.machine import distributed

    if not distributed.first():
        return
    if any(site.get("verdict") or site.get("measures") for site in run.record["sites"].values()):
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(*report.summary_table(run), sep="\n")
    page = run.path / "report.html"
    print(f"The report: {page}" if page.exists() else f"The run directory: {run.path}")


# ------------------------------------------------------------------------------- the arguments


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are those of the command."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


def _parser(base: StudyConfig) -> _Parser:
    """The whole command, with the fields of `base` as the defaults that its help names."""
    parser = _Parser(
        prog="filtergan",
        description="Learns what else the filters of a convolution could have been, and shows "
        "what the network ignores.",
        epilog="Begin with `filtergan study tiny` (a minute) or `filtergan study --help`.",
        allow_abbrev=False,
    )
    version = importlib.metadata.version("filtergan")
    parser.add_argument("--version", action="version", version=f"filtergan {version}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_study(commands, base)
    _add_ablate(commands, base)
    _add_compare(commands)
    _add_layers(commands, base)
    for name, meaning in STAGES.items():
        stage = commands.add_parser(name, help=meaning, description=meaning, allow_abbrev=False)
        stage.add_argument("run", metavar="RUN", help="a run directory, as made by `study`")
        stage.add_argument("--device", help="another device than its config says")
        _add_processes(stage)
    return parser


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    raise AssertionError("the parser has commands")


def _add_study(commands: Any, base: StudyConfig) -> None:
    meaning = "All stages, from images to the report."
    study = commands.add_parser(
        "study",
        help=meaning,
        description=meaning + "\n" + STUDY,
        usage="filtergan study (PRESET | --config FILE) [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    study.add_argument("--out", metavar="DIR", help="[default: runs/PRESET-seedSEED]")
    study.add_argument(
        "--until", choices=STAGES, metavar="STAGE", help=f"stop after it: {', '.join(STAGES)}"
    )
    existing = study.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue the study in DIR")
    existing.add_argument("--overwrite", action="store_true", help="replace the study in DIR")
    _add_processes(study)
    study.add_argument("--dry-run", action="store_true", help="print the config and stop")
    _add_config(study, base)


def _add_processes(command: Any) -> None:
    meaning = "processes on each machine, that share the work [default: 1]"
    command.add_argument("--processes", metavar="N", type=int, help=meaning)
    meaning = "machines, each of which runs this command [default: 1]"
    command.add_argument("--nodes", metavar="M", type=int, help=meaning)


def _add_ablate(commands: Any, base: StudyConfig) -> None:
    variants = "\n".join(f"  {name:<15} {one.meaning}" for name, one in VARIANTS.items())
    ablate = commands.add_parser(
        "ablate",
        help="The paper's design claims: studies with one choice changed, over seeds.",
        description=ABLATE.format(variants=variants),
        usage="filtergan ablate (PRESET | --config FILE) [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    ablate.add_argument(
        "--out",
        metavar="DIR",
        default="runs/ablations",
        help="a study lies in DIR/NAME/seedSEED [default: runs/ablations]",
    )
    ablate.add_argument("--seeds", metavar="N", type=int, nargs="+", default=[0, 1, 2])
    ablate.add_argument("--only", metavar="NAME", nargs="+", help="some of the names above")
    _add_config(ablate, base, without=("seed",))


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="Runs side by side, differences tested.",
        description="Runs side by side. Runs whose configs differ in nothing but the seed are "
        "pooled; every other configuration is tested against the first (Welch's t, Holm's "
        "correction over all tests made).",
        allow_abbrev=False,
    )
    compare.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    compare.add_argument("--measures", nargs="+", metavar="NAME", help="compare these only")
    compare.add_argument("--out", metavar="FILE", help="write it to a .json or .md file as well")


def _add_layers(commands: Any, base: StudyConfig) -> None:
    meaning = "The convolutions of a network that can be studied, and what that would cost."
    layers = commands.add_parser(
        "layers",
        help=meaning,
        description=meaning + "\n" + LAYERS,
        usage="filtergan layers (PRESET | --config FILE | --model FACTORY) [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    _add_config(layers, base, without=("layer",))


def _add_config(command: Any, base: StudyConfig, without: Sequence[str] = ()) -> None:
    """What every command that makes a config takes: a preset or a file, and each field."""
    command.add_argument("preset", nargs="?", metavar="PRESET", help=f"one of {', '.join(PRESETS)}")
    command.add_argument("--config", metavar="FILE", help="a config.yaml instead of a preset")
    command.add_argument("-h", "--help", action="store_true", help="show this and stop")
    _add_fields(command.add_argument_group("study"), base, "", without)
    for name, part in base:
        if isinstance(part, BaseModel):
            summary = (type(part).__doc__ or "").strip().partition("\n")[0]
            _add_fields(command.add_argument_group(name, summary), part, f"{name}.")


def _add_fields(group: Any, part: BaseModel, prefix: str, without: Sequence[str] = ()) -> None:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel) or prefix + name in ("preset", *without):
            continue
        meaning = " ".join((field.description or "").split())
        group.add_argument(
            f"--{(prefix + name).replace('_', '-')}",
            dest=f"field:{prefix}{name}",
            action="append" if _is_list(field) else "store",
            default=argparse.SUPPRESS,
            metavar=_metavar(field),
            help=f"{meaning} [default: {_shown(value)}]".replace("%", "%%"),
        )


def _shown(value: Any) -> str:
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


def _base(arguments: argparse.Namespace) -> StudyConfig:
    if arguments.preset is not None and arguments.config is not None:
        raise UserError("Name a preset or a file with --config, not both.")
    if arguments.config is not None:
        return load(Path(arguments.config))
    return StudyConfig() if arguments.preset is None else preset(arguments.preset)


def _override(base: StudyConfig, arguments: argparse.Namespace) -> StudyConfig:
    """The base with the fields that were given as options; pydantic reads their text."""
    values = base.model_dump()
    for name, given in vars(arguments).items():
        if not name.startswith("field:"):
            continue
        *parts, last = name.removeprefix("field:").split(".")
        target = values[parts[0]] if parts else values
        if isinstance(given, list):
            given = ",".join(given)
            target[last] = None if given == "none" else [v.strip() for v in given.split(",") if v]
        else:
            target[last] = None if given == "none" else given
    return parse(values, "the command line")


def _refuse(word: str, parser: _Parser, command: str | None) -> NoReturn:
    known = _commands(parser)[command] if command else parser
    option = word.partition("=")[0]
    near = difflib.get_close_matches(option, known._option_string_actions, n=1)
    hint = f" Did you mean {near[0]}?" if near and word.startswith("-") else ""
    kind = "option" if word.startswith("-") else "argument"
    raise UserError(f"There is no {kind} {option}.{hint} See `{known.prog} --help`.")
