"""The command `filtergan`: what each of its commands does, and errors as one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from filtergan.ablations.variants import VARIANTS
from filtergan.cli import launcher
from filtergan.cli.arguments import HUB, commands_of, figure_path, parser, refuse
from filtergan.cli.asking import ask, spectrum
from filtergan.cli.benchmarking import benchmark
from filtergan.cli.options import FIELD, base_of, override, unused
from filtergan.config.fields import StudyConfig
from filtergan.config.presets import PRESETS
from filtergan.config.site_names import PAPER, SiteName
from filtergan.errors import UserError
from filtergan.plot.gallery import FIGURES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments after the command's name; by default those of the process.

    Returns:
        0; 1 for a misfortune of the world's, or where nobody reads on; 2 for a mistake of the
        user's; 130 if interrupted.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        with launcher.serving():
            _run(given)
    except UserError as error:
        launcher.tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        further = "; continue with --resume" if given[:1] == ["study"] else ""
        print(f"filtergan: interrupted{further}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read the output has gone, as `head` does; so has what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _run(argv: list[str]) -> None:
    whole = parser(StudyConfig())
    arguments, unknown = whole.parse_known_args(argv)
    if unknown:
        refuse(unknown[0], whole, arguments.command)
    if arguments.command is None:
        whole.print_help()
    elif vars(arguments).get("quiet"):
        from filtergan.machine import telling

        with telling.quiet():
            _perform(arguments, argv)
    else:
        _perform(arguments, argv)


def _perform(arguments: argparse.Namespace, argv: list[str]) -> None:
    if arguments.command == "study":
        _study(arguments, argv)
    elif arguments.command == "ablate":
        _ablate(arguments)
    elif arguments.command == "compare":
        _compare(arguments)
    elif arguments.command == "layers":
        _layers(arguments)
    elif arguments.command == "ask":
        ask(arguments)
    elif arguments.command == "spectrum":
        spectrum(arguments)
    elif arguments.command == "share":
        _share(arguments)
    elif arguments.command == "figure":
        _figure(arguments)
    elif arguments.command == "explore":
        _explore(arguments)
    elif arguments.command == "benchmark":
        benchmark(arguments)
    elif arguments.command == "ceilings":
        _ceilings(arguments, argv)
    else:
        _stage(arguments, argv)


def _study(arguments: argparse.Namespace, argv: list[str]) -> None:
    config = _config(arguments)
    if config is None:
        return
    out = Path(arguments.out or f"runs/{config.preset}-seed{config.seed}")
    several = launcher.several(arguments.processes, arguments.nodes)
    if arguments.resume and not out.exists():
        _tell([f"nothing lies in {out} yet; the study begins"])
    if arguments.dry_run:
        return _plan(config, out, arguments)
    if several:
        return launcher.launch(argv, arguments.processes or 1, arguments.nodes or 1)
    from filtergan import study  # brings torch, which takes seconds to import
    from filtergan.cli import output

    run = study.run(
        config,
        out,
        until=arguments.until,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    output.put_study(run, arguments.json)


def _plan(config: StudyConfig, out: Path, arguments: argparse.Namespace) -> None:
    """The config, and what its stages should take where its images are at hand."""
    there = (out / "record.json").exists()
    if there and not (arguments.resume or arguments.overwrite):
        raise UserError(
            f"{out} holds a study already; add --resume to see what is left of it, or --overwrite, "
            "or name another folder with --out."
        )
    from filtergan.cli import output
    from filtergan.study.expected import planned

    parts = planned(config, arguments.until, out if there and arguments.resume else None)
    output.put_plan(config, out, parts, arguments.json)


def _ablate(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    if config is None:
        return
    from filtergan.ablations import outcome, queue
    from filtergan.cli import output
    from filtergan.machine import telling

    out = Path(arguments.out)

    try:
        found = queue.run(config, out, arguments.seeds, arguments.only or VARIANTS, telling.say)
    except KeyboardInterrupt:
        raise UserError("interrupted; the same command goes on from here", exit_code=130) from None
    if arguments.json:
        return output.put({"sites": found})
    output.show(*outcome.sheets(found))
    print(f"The numbers: {out / 'ablation.json'}")


def _compare(arguments: argparse.Namespace) -> None:
    if arguments.directions:
        return _directions(arguments)
    for option in ("site", "images", "seed", "data", "device"):
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option} is an option of --directions; leave it out, or add that.")
    from filtergan import compare
    from filtergan.cli import output

    files = [Path(one) for one in arguments.out]
    for file in files:
        compare.check_ending(file)
        output.require_writable(file)
    found = compare.compare([Path(run) for run in arguments.runs], arguments.measures)
    for file in files:
        compare.write(found, file)
    if arguments.json:
        return output.put(compare.document(found))
    output.put_sheets(compare.heading(found), compare.sheets(found))
    for file in files:
        print(f"The comparison: {file}")


def _directions(arguments: argparse.Namespace) -> None:
    if arguments.measures is not None:
        raise UserError("--directions compares no measures; leave out --measures.")
    files, paths = ([Path(one) for one in some] for some in (arguments.out, arguments.runs))
    from filtergan.cli import output
    from filtergan.likeness import likeness_files, likeness_sheets
    from filtergan.likeness.likening import IMAGES, liken
    from filtergan.likeness.trained import trained_in
    from filtergan.machine import runtime

    for file in files:
        likeness_files.check_ending(file)
        output.require_writable(file)
    networks, data = trained_in(paths, arguments.site, arguments.data, arguments.device)
    runtime.set_threads(networks[0].threads)
    found = liken(networks, data, arguments.images or IMAGES, arguments.seed or 0)
    for file in files:
        likeness_files.write(found, file)
    if arguments.json:
        return output.put(likeness_files.document(found))
    output.put_sheets(likeness_sheets.heading(found), likeness_sheets.sheets(found))
    for file in files:
        print(f"The comparison: {file}")


def _layers(arguments: argparse.Namespace) -> None:
    config = _config(arguments)
    if config is None:
        return
    from filtergan.cli import output
    from filtergan.machine import runtime
    from filtergan.study import layers
    from filtergan.study.materials import Materials

    output.check_file(arguments.out)
    runtime.set_threads(config.threads)
    materials = Materials(config)
    materials.check_network()
    data = materials.dataset
    example = data.test.pixels(slice(2)).to(materials.device)
    rows = layers.layers(materials.network, example, config, len(data.train))
    told = layers.document(rows, config), [layers.sheet(rows, config)]
    output.tell(*told, arguments.out, arguments.json)


def _share(arguments: argparse.Namespace) -> None:
    from filtergan.cli import output
    from filtergan.study.opened import open_run

    to = arguments.to.removeprefix(HUB)
    if to == arguments.to and arguments.private:
        raise UserError(f"A folder cannot be private; leave that out, or name {HUB}{to}.")
    gan = open_run(arguments.run, device="cpu").gan(arguments.site)
    if to == arguments.to:
        gan.save_pretrained(to, license=arguments.license)
    else:
        private = arguments.private or None
        to = gan.push_to_hub(to, license=arguments.license, private=private)
    output.put_shared(to, gan.left_behind(arguments.license), arguments.license, arguments.json)


def _figure(arguments: argparse.Namespace) -> None:
    if arguments.name is None:
        raise UserError(f"Name a figure: {', '.join(FIGURES)}.")
    path = figure_path(arguments)
    from filtergan.cli import output
    from filtergan.machine import runtime
    from filtergan.plot.saved import export
    from filtergan.study.opened import open_run

    run = open_run(arguments.run, data=arguments.data, device=arguments.device)
    runtime.set_threads(run.config.threads)
    asked = {key: getattr(arguments, key) for key in ("site", "image", "latents", "width")}
    said = export(run, arguments.name, path, **asked)
    if arguments.json:
        return output.put({"figure": str(path), "caption": said})
    print(f"The figure: {path}\n{said}")


def _explore(arguments: argparse.Namespace) -> None:
    from filtergan.explorer import serving

    password = serving.check(arguments.host)
    from filtergan.explorer.exploring import Explorer
    from filtergan.machine import runtime

    explorer = Explorer(arguments.run, arguments.data, arguments.device)
    runtime.set_threads(0)

    def tell(address: str) -> None:
        print(f"The page: {address} (Ctrl-C ends it)", flush=True)

    serving.serve(explorer, arguments.host, arguments.port, password, tell)


def _ceilings(arguments: argparse.Namespace, argv: list[str]) -> None:
    """The stage on a run directory, or a table of a network of one's own."""
    if arguments.preset not in (None, *PRESETS):
        return _ceilings_of_run(arguments, argv)
    config = _config(arguments)
    if config is None:
        return
    if config.model is None:
        raise UserError(
            "Ceilings are of a trained network: name a run (`filtergan study PRESET --until "
            "train-cnn` makes one), or your own with --model and --weights."
        )
    from filtergan.cli import output

    output.check_file(arguments.out, figure=True)
    if {arguments.processes, arguments.nodes} - {None, 1}:
        raise UserError("Ceilings of a network of your own are found by one process.")
    from filtergan.machine import runtime
    from filtergan.study.materials import Materials
    from filtergan.study.measuring.of_families import ceilings_at

    runtime.set_threads(config.threads)
    materials = Materials(config)
    materials.check()
    found = {
        name: {key: one.record for key, one in ceilings_at(materials, name).items()}
        for name in materials.config.sites
    }
    output.put_ceilings(found, arguments.out, arguments.json)


def _ceilings_of_run(arguments: argparse.Namespace, argv: list[str]) -> None:
    if _helped(StudyConfig(), arguments):
        return
    given = {name.removeprefix(FIELD) for name in vars(arguments) if name.startswith(FIELD)}
    given |= {"config"} if arguments.config else set()
    if others := sorted(given - {"device"}):
        raise UserError(f"A run has its own config; leave out --{others[0].replace('_', '-')}.")
    from filtergan.cli import output

    output.check_file(arguments.out, figure=True)
    arguments.run, arguments.device = arguments.preset, vars(arguments).get(f"{FIELD}device")
    _stage(arguments, argv)


def _helped(base: StudyConfig, arguments: argparse.Namespace) -> bool:
    """Give a command's help, with the defaults of a base, where it is wanted; and whether it is."""
    wanted = arguments.help or arguments.help_all
    if wanted:
        commands_of(parser(base, arguments.help_all))[arguments.command].print_help()
    return wanted


def _config(arguments: argparse.Namespace) -> StudyConfig | None:
    """The config that a command's options make; None where its help was wanted, and given."""
    base = base_of(arguments)
    if _helped(base, arguments):
        return None
    own = arguments.command in ("layers", "ceilings") and f"{FIELD}model" in vars(arguments)
    if arguments.preset is None and arguments.config is None and not own:
        raise UserError(f"Name a preset ({', '.join(PRESETS)}) or a file with --config.")
    config = override(base, arguments)
    _tell(unused(config, arguments))
    return config


def _tell(lines: Sequence[str]) -> None:
    """Tell something in lines, once where a launcher has begun this process."""
    if lines and launcher.TOLD not in os.environ:
        from filtergan.machine import telling  # brings torch, which takes seconds to import

        for line in lines:
            telling.warn(line)


def _stage(arguments: argparse.Namespace, argv: list[str]) -> None:
    from filtergan.cli import output

    try:
        if launcher.several(arguments.processes, arguments.nodes):
            return launcher.launch(argv, arguments.processes or 1, arguments.nodes or 1)
        from filtergan import study

        overwrite = vars(arguments).get("overwrite", False)
        run = study.run_stage(
            arguments.command, Path(arguments.run), arguments.device, overwrite=overwrite
        )
    except KeyboardInterrupt:
        same = f"`filtergan {arguments.command} {arguments.run}`"
        raise UserError(f"interrupted; {same} goes on from here", exit_code=130) from None
    if arguments.command == "ceilings":
        sites = run.record.sites.items()
        found = {SiteName.parse(name).under(PAPER): site.ceilings for name, site in sites}
        return output.put_ceilings(found, arguments.out, arguments.json)
    output.put_study(run, arguments.json)
