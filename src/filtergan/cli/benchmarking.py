"""The command `filtergan benchmark`: its arguments, and what it does."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filtergan.benchmark.methods import METHODS
from filtergan.cli.helping import Wrapped
from filtergan.cli.options import add_output
from filtergan.errors import UserError

if TYPE_CHECKING:
    from filtergan.benchmark.subject import Factory, Subject

DESCRIPTION = """
augment: fresh networks, of the make of the run's, are trained on few labelled images with each
augmentation, in equal steps. Every method has one dial and tries as many values of it; training
images that are never labelled choose among them, and the whole test set judges:
{methods}
Interrupted at any time, the same command goes on; --methods, --seeds and --sizes (but for the
largest) may change from call to call.
  filtergan benchmark augment RUN --dry-run
  filtergan benchmark augment RUN --seeds 0 1 --steps 200 --methods none ours
"""


def add_benchmark(commands: Any) -> None:
    """Give the whole command this one.

    Args:
        commands: The subparsers of the whole command.
    """
    methods = "\n".join(f"  {name:<14} {one.meaning}" for name, one in METHODS.items())
    benchmark = commands.add_parser(
        "benchmark",
        help="Augmentations side by side, on few labelled images.",
        description=DESCRIPTION.format(methods=methods),
        formatter_class=Wrapped,
        allow_abbrev=False,
    )
    benchmark.add_argument("task", metavar="TASK", choices=("augment",), help="augment")
    benchmark.add_argument("run", metavar="RUN", help="a run directory with a transformer")
    benchmark.add_argument("--site", metavar="SITE", help="[default: its first with a transformer]")
    meaning = "some of the above [default: all for which there is here what they need]"
    benchmark.add_argument("--methods", metavar="NAME", nargs="+", help=meaning)
    meaning = "numbers of labelled images [default: 100 300 1000]"
    numbers: dict[str, Any] = {"metavar": "N", "type": int}
    benchmark.add_argument("--sizes", nargs="+", default=[100, 300, 1000], help=meaning, **numbers)
    meaning = "each of other labelled images and first weights [default: 0 1 2 3 4]"
    benchmark.add_argument("--seeds", nargs="+", default=[0, 1, 2, 3, 4], help=meaning, **numbers)
    meaning = "of every training, rounded up to whole passes [default: 600]"
    benchmark.add_argument("--steps", default=600, help=meaning, **numbers)
    meaning = "values of its dial that a method tries [default: 3]"
    benchmark.add_argument("--budget", default=3, help=meaning, **numbers)
    benchmark.add_argument(
        "-o", "--out", metavar="FILE", help="the record [default: RUN/augment.json]"
    )
    benchmark.add_argument("--data", help="its images, where they have moved")
    benchmark.add_argument("--device", help="another device than its config says")
    meaning = "print what would be trained, with an estimate of the time it takes, and stop"
    benchmark.add_argument("--dry-run", action="store_true", help=meaning)
    add_output(benchmark)


def benchmark(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: As `add_benchmark` has them.

    Raises:
        UserError: A mistake in what was asked, or an interrupt (exit code 130).
    """
    from filtergan.benchmark import contest, costs, trials
    from filtergan.benchmark.subject import subject_of
    from filtergan.cli import output
    from filtergan.machine import runtime
    from filtergan.study.opened import open_run

    seeds, budget = arguments.seeds, arguments.budget
    named = arguments.methods
    wanted = trials.planned(named or list(METHODS), arguments.sizes, seeds, budget)
    if arguments.steps < 1:
        raise UserError("The steps of a training are a number from 1 on.")
    run = open_run(arguments.run, data=arguments.data, device=arguments.device)
    runtime.set_threads(run.config.threads)
    subject = subject_of(run, arguments.site, arguments.steps)
    subject.check(max(arguments.sizes))
    factories = _factories(subject, named)
    wanted = [trial for trial in wanted if trial.method in factories]
    if arguments.dry_run:
        return output.put_trials(costs.expected(subject, wanted), wanted, arguments.json)
    path = run.path / "augment.json" if arguments.out is None else Path(arguments.out)
    output.require_writable(path)
    settings = contest.settings_of(subject, run.dataset.fingerprint, wanted, budget)
    record = contest.opened(path, settings, str(subject.device))
    try:
        record = contest.run(subject, wanted, record, path, factories)
    except KeyboardInterrupt:
        raise UserError("interrupted; the same command goes on from here", exit_code=130) from None
    output.put_standings(record, path, arguments.json)


def _factories(subject: "Subject", named: list[str] | None) -> "dict[str, Factory]":
    """What makes the augmentations of each method, where none are named of those there can be."""
    from filtergan.machine import telling

    found = {}
    for name in dict.fromkeys(named or METHODS):
        try:
            found[name] = subject.factory(name)
        except UserError as error:
            if named:
                raise
            telling.warn(f"{name} is left out: {error}")
    return found
