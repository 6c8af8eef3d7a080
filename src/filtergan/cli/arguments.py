"""The arguments of every command, their help, and what is said of unknown ones."""

import argparse
import difflib
import importlib.metadata
from pathlib import Path
from typing import Any, NoReturn

from filtergan.ablations.variants import VARIANTS
from filtergan.cli.asking import add_ask, add_spectrum
from filtergan.cli.benchmarking import add_benchmark
from filtergan.cli.helping import Wrapped
from filtergan.cli.options import add_config, add_file, add_output, add_quiet
from filtergan.config.fields import StudyConfig
from filtergan.config.site_names import folder_of
from filtergan.errors import UserError
from filtergan.plot.gallery import ANIMATED, FIGURES, FORMATS
from filtergan.study import STAGES

ABLATE = """
What the paper says of its design, as studies that each change one choice of a base, over seeds:
{variants}
Interrupted at any time, the same command goes on; --only and --seeds may change from call to call.
All other options (--help-all shows every one) are those of `study` and make the base, as in
  filtergan ablate ablation --data ../shared/data/mnist --gan.steps 500
"""
LAYERS = """
The convolutions of a network, by the names that `--layer` takes, and whether each can be studied.
  filtergan layers --model package.module:factory --weights net.safetensors \\
    --data my_images/
  filtergan layers mnist --data ../shared/data/mnist
Nothing is trained. Memory and time are those of the generator's training, an estimate: its
arithmetic, at a rate measured on a small game of a few steps on this machine, as busy as it is.
Memory is beyond that of the network and the images. All other options (--help-all shows every one)
are those of `study`.
"""
CEILINGS = """
For each known change of images (brightness, blur, shift, rotation, size, ...) the filters that best
undo it at a layer are fitted, and judged on held-out images: what is low here, a generator of
filters can hardly show.
  filtergan ceilings RUN  (the stage, on a run whose network is trained; its page is written anew)
  filtergan ceilings --model package.module:factory --weights net.safetensors \\
    --data my_images/ --layer "features.*" --response activation,+1
All other options (--help-all shows every one) are those of `study`.
"""
COMPARE = """
Runs side by side. Runs whose configs differ in nothing but the seed are pooled; every other
configuration is tested against the first (Welch's t, Holm's correction over all tests made).
  filtergan compare RUN RUN RUN -o table.csv
Or whose invariances they found. What the image transformer of one network does along a latent is
asked of the others: can their filters undo it, and do they then ignore it? Architectures and
layers may differ, the images must be the same. Beside it, how much of the image changes of one
site the latents of another could have made.
  filtergan compare --directions RUN RUN RUN -o record.json -o matrix.pdf
"""
STAGE = """
Interrupted, the same command goes on. Done, it is run anew; where later stages have built on it,
that takes --overwrite, which removes what they have made: `study --resume` makes it again.
"""
RUN = "a run directory, as made by `study`"
HUB = "hf://"
"""What the name of a repository of the Hugging Face Hub begins with, so that none is meant by
mistake."""
SHARE = """
A generator with all that others need to load it, and a model card filled in from the run's record.
  filtergan share RUN conv4@bn5/natural --to FOLDER
  filtergan share RUN conv4@bn5/natural --to hf://me/conv4 --license cc-by-4.0
They load it with fg.NaturalGAN.from_pretrained("me/conv4"), or as the card says. The network
goes along where --license gives its licence, if it is a PaperCNN, ResNet or WhitenedCNN of
filtergan's; else the card names its fingerprint, and they bring it. To upload, log in first
(`hf auth login`).
"""
FIGURE = """
A figure of a run for a paper or a talk, laid out for its width, with its fonts in the file:
  filtergan figure RUN traversal --format pdf --width 85mm
  filtergan figure RUN walk --image 7 --latents 2 --out walk.gif

{figures}
"""
EXPLORE = """
A page on which images are moved by hand: any test image or one of your own, along any latent, with
the fields that move it, the labels of network and judges, the filters, grids over two latents, a
search image by image, and all of it as files.
  filtergan explore RUN
It is served to this machine alone. For others name an address with --host, and set a password in
FILTERGAN_PASSWORD; what they send is not encrypted, so a tunnel is better:
  ssh -L 7860:127.0.0.1:7860 there filtergan explore RUN
"""
STUDY = """
--help shows the options that matter most, --help-all every one: each field of the config, by its
dotted name, on/off ones as true or false and lists with commas:
  filtergan study mnist --gan.decay false --cnn.channels 16,16,32,32,32
  filtergan study mnist --data ../shared/data/mnist --layer conv4 --seed 1
  filtergan study mnist --layer all
  filtergan study mnist --layer "features.*"  (quoted for the shell)
  filtergan study mnist --layer conv2,conv4@bn5
  filtergan study mnist --layer conv4 --response activation,+1,fc
  filtergan study --config runs/mnist-seed0/config.yaml --out runs/again
`none` unsets a field that may be unset. Defaults below are those of the preset or file named.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are those of the command."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


def parser(base: StudyConfig, everything: bool = False) -> _Parser:
    """The whole command.

    Args:
        base: Its fields are the defaults that the help names.
        everything: Whether the help shows every option, or those that matter most.
    """
    whole = _Parser(
        prog="filtergan",
        description="Learns what else the filters of a convolution could have been, and shows "
        "what the network ignores.",
        epilog="Begin with `filtergan study tiny` (a minute) or `filtergan study --help`.",
        allow_abbrev=False,
    )
    version = importlib.metadata.version("filtergan")
    whole.add_argument("--version", action="version", version=f"filtergan {version}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_study(commands, base, everything)
    _add_ablate(commands, base, everything)
    _add_compare(commands)
    _add_layers(commands, base, everything)
    add_ask(commands)
    add_spectrum(commands)
    _add_share(commands)
    _add_figure(commands)
    _add_explore(commands)
    add_benchmark(commands)
    for name, declared in STAGES.items():
        if name == "ceilings":
            _add_ceilings(commands, base, everything)
            continue
        described = declared.meaning + ("" if declared.reads_only else f"\n{STAGE}")
        stage = commands.add_parser(
            name,
            help=declared.meaning,
            description=described,
            formatter_class=Wrapped,
            allow_abbrev=False,
        )
        stage.add_argument("run", metavar="RUN", help=RUN)
        stage.add_argument("--device", help="another device than its config says")
        if not declared.reads_only:
            meaning = "begin anew, and remove what later stages have built on it"
            stage.add_argument("--overwrite", action="store_true", help=meaning)
        _add_processes(stage)
        add_output(stage)
    return whole


def commands_of(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    raise AssertionError("the whole parser has commands")


def _with_a_config(
    commands: Any, name: str, meaning: str, description: str, usage: str
) -> argparse.ArgumentParser:
    """A command that makes a config, whose help has to wait for the preset or file named."""
    return commands.add_parser(
        name,
        help=meaning,
        description=description,
        usage=usage,
        formatter_class=Wrapped,
        allow_abbrev=False,
        add_help=False,
    )


def _add_study(commands: Any, base: StudyConfig, everything: bool) -> None:
    meaning = "All stages, from images to the report."
    usage = "filtergan study (PRESET | --config FILE) [options]"
    study = _with_a_config(commands, "study", meaning, meaning + "\n" + STUDY, usage)
    study.add_argument("-o", "--out", metavar="DIR", help="[default: runs/PRESET-seedSEED]")
    until = f"stop after it: {', '.join(STAGES)}" if everything else argparse.SUPPRESS
    study.add_argument("--until", choices=STAGES, metavar="STAGE", help=until)
    existing = study.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue the study in DIR")
    existing.add_argument("--overwrite", action="store_true", help="replace the study in DIR")
    _add_processes(study, everything)
    meaning = "print the config, with an estimate of the time it takes, and stop"
    study.add_argument("--dry-run", action="store_true", help=meaning)
    add_output(study)
    add_config(study, base, everything)


def _add_processes(command: Any, everything: bool = True) -> None:
    meaning = "processes on each machine, that share the work [default: 1]"
    command.add_argument("--processes", metavar="N", type=int, help=meaning)
    meaning = "machines, each of which runs this command [default: 1]"
    meaning = meaning if everything else argparse.SUPPRESS
    command.add_argument("--nodes", metavar="M", type=int, help=meaning)


def _add_ablate(commands: Any, base: StudyConfig, everything: bool) -> None:
    variants = "\n".join(f"  {name:<15} {one.meaning}" for name, one in VARIANTS.items())
    meaning = "The paper's design claims: studies with one choice changed, over seeds."
    usage = "filtergan ablate (PRESET | --config FILE) [options]"
    description = ABLATE.format(variants=variants)
    ablate = _with_a_config(commands, "ablate", meaning, description, usage)
    ablate.add_argument(
        *("-o", "--out"),
        metavar="DIR",
        default="runs/ablations",
        help="a study lies in DIR/NAME/seedSEED [default: runs/ablations]",
    )
    ablate.add_argument("--seeds", metavar="N", type=int, nargs="+", default=[0, 1, 2])
    ablate.add_argument("--only", metavar="NAME", nargs="+", help="some of the names above")
    add_output(ablate)
    add_config(ablate, base, everything, without=("seed",))


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="Runs side by side, differences tested; or whose invariances they found.",
        description=COMPARE,
        formatter_class=Wrapped,
        allow_abbrev=False,
    )
    compare.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    compare.add_argument("--measures", nargs="+", metavar="NAME", help="compare these only")
    meaning = "write it to a file as well: .json, .csv, .md or .tex (booktabs); may be repeated"
    compare.add_argument("-o", "--out", metavar="FILE", action="append", default=[], help=meaning)
    add_output(compare)
    meaning = "compare what the latents of natural sites do to images"
    directions = compare.add_argument_group("directions", "-o takes .pdf, .svg and .png as well.")
    directions.add_argument("--directions", action="store_true", help=meaning)
    meaning = "as in conv4@bn5 [default: all natural ones]"
    directions.add_argument("--site", nargs="+", metavar="SITE", help=meaning)
    meaning = "test images [default: 256]"
    directions.add_argument("--images", metavar="N", type=_count, help=meaning)
    meaning = "of all that is random [default: 0]"
    directions.add_argument("--seed", metavar="N", type=int, help=meaning)
    directions.add_argument("--data", help="their images, where they have moved")
    directions.add_argument("--device", help="another device than their configs say")


def _count(text: str) -> int:
    """A number of images from which an interval can be told."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of images; take 2 or more")
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} images are too few; take 2 or more")
    return int(text)


def _add_layers(commands: Any, base: StudyConfig, everything: bool) -> None:
    meaning = "The convolutions of a network that can be studied, and what that would cost."
    usage = "filtergan layers (PRESET | --config FILE | --model FACTORY) [options]"
    layers = _with_a_config(commands, "layers", meaning, meaning + "\n" + LAYERS, usage)
    add_output(layers)
    add_file(layers)
    add_config(layers, base, everything, without=("layer",))


def _add_share(commands: Any) -> None:
    share = commands.add_parser(
        "share",
        help="Hand a generator on: a folder or a repository of the Hub, with a model card.",
        description=SHARE,
        formatter_class=Wrapped,
        allow_abbrev=False,
    )
    share.add_argument("run", metavar="RUN", help="a run directory whose generator is trained")
    share.add_argument("site", metavar="SITE", help="as in conv4@activation, conv4@bn5/natural")
    to = f"a folder, or {HUB}OWNER/NAME"
    share.add_argument("--to", metavar="FOLDER_OR_REPO", required=True, help=to)
    meaning = "of generator and network, by the Hub's name for it; without, no network goes along"
    share.add_argument("--license", metavar="NAME", help=meaning)
    share.add_argument("--private", action="store_true", help="make a new repository private")
    add_output(share)


def _add_figure(commands: Any) -> None:
    figures = "\n".join(f"  {name:<11} {one.meaning}" for name, one in FIGURES.items())
    figure = commands.add_parser(
        "figure",
        help="A figure of a run, as pdf, svg or png; a walk also as gif or webp.",
        description=FIGURE.format(figures=figures),
        formatter_class=Wrapped,
        allow_abbrev=False,
    )
    figure.add_argument("run", metavar="RUN", help=RUN)
    figure.add_argument("name", metavar="NAME", nargs="?", help="one of those above")
    figure.add_argument("--site", metavar="SITE", help="such as conv4@bn5 [default: its first]")
    figure.add_argument("--image", metavar="N", type=int, help="number of a test image")
    figure.add_argument(
        "--latents", metavar="I", type=int, nargs="+", help="two for a plane; any for a walk"
    )
    figure.add_argument(
        "--format", choices=(*FORMATS, *ANIMATED), help="[default: that of --out, else pdf]"
    )
    figure.add_argument(
        "--width", metavar="WIDTH", help="with its unit, as 85mm or 3.3in [default: 7.2in]"
    )
    figure.add_argument("-o", "--out", metavar="FILE", help="[default: its name and site, here]")
    figure.add_argument("--data", help="its images, where they have moved")
    figure.add_argument("--device", help="another device than its config says")
    add_output(figure)


def _add_explore(commands: Any) -> None:
    explore = commands.add_parser(
        "explore",
        help="Move images by hand, on a live page.",
        description=EXPLORE,
        formatter_class=Wrapped,
        allow_abbrev=False,
    )
    explore.add_argument("run", metavar="RUN", help="a run directory whose generator is trained")
    explore.add_argument("--host", default="127.0.0.1", help="[default: this machine alone]")
    explore.add_argument("--port", type=int, default=7860, help="0: any [default: 7860]")
    explore.add_argument("--data", help="its images, where they have moved")
    explore.add_argument("--device", help="another device than its config says")
    add_quiet(explore)


def _add_ceilings(commands: Any, base: StudyConfig, everything: bool) -> None:
    meaning = STAGES["ceilings"].meaning
    usage = "filtergan ceilings (RUN | --model FACTORY) [options]"
    ceilings = _with_a_config(commands, "ceilings", meaning, meaning + "\n" + CEILINGS, usage)
    _add_processes(ceilings, everything)
    add_output(ceilings)
    add_file(ceilings, figure=True)
    add_config(ceilings, base, everything, first=("RUN", RUN))


def figure_path(arguments: argparse.Namespace) -> Path:
    """Where a figure is written to: what was named, or its own name and that of its site.

    Raises:
        UserError: A file was named that ends in another format than the one asked for.
    """
    if arguments.out is None:
        parts = [arguments.name, *([folder_of(arguments.site)] if arguments.site else [])]
        return Path(f"{'-'.join(parts)}.{arguments.format or 'pdf'}")
    path = Path(arguments.out)
    if arguments.format and path.suffix.lower() != f".{arguments.format}":
        raise UserError(f"{path} does not end in .{arguments.format}; leave out one of the two.")
    return path


def refuse(word: str, whole: argparse.ArgumentParser, command: str | None) -> NoReturn:
    """Say that there is no such option or argument, and which may have been meant.

    Raises:
        UserError: Always.
    """
    known = commands_of(whole)[command] if command else whole
    options = known._option_string_actions
    option = word.partition("=")[0]
    near = difflib.get_close_matches(option, options, n=1)
    hint = f" Did you mean {near[0]}?" if near and word.startswith("-") else ""
    kind = "option" if word.startswith("-") else "argument"
    asked = "--help-all" if "--help-all" in options else "--help"
    raise UserError(f"There is no {kind} {option}.{hint} See `{known.prog} {asked}`.")
