"""What commands print on stdout: tables that fit the terminal, or one JSON document."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filtergan.errors import UserError
from filtergan.machine import distributed
from filtergan.machine.files import json_safe, require_ending, require_writable, write_atomic
from filtergan.machine.sheets import Sheet, console, show
from filtergan.plot.gallery import FIGURES, FORMATS

STUDY, CEILINGS, ANSWERS = "filtergan-study-1", "filtergan-ceilings-1", "filtergan-answers-1"
SPECTRA = "filtergan-spectra-1"
SHOWN = 2  # images in the figure of a spectrum


def put(document: Mapping[str, Any]) -> None:
    """Print a document, and nothing else; what is no number becomes null."""
    print(_text(document))


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(json_safe(dict(document)), indent=2, allow_nan=False)


def check_file(file: Path | None, figure: bool = False) -> None:
    """Refuse a file to which a document cannot be written, before it is made.

    Args:
        file: As `-o` names it; None: it was not given.
        figure: Whether it may be one of a figure instead.

    Raises:
        UserError: It ends in something else; or it cannot be written (exit code 1).
    """
    if file is not None:
        endings = [f".{ending}" for ending in FORMATS] if figure else []
        require_ending(file, [".json", *endings], "The document")
        require_writable(file)


def tell(
    document: Mapping[str, Any], sheets: Sequence[Sheet], file: Path | None, as_json: bool
) -> None:
    """Print tables, or the document instead; write that to a file where one is named.

    Of several processes only the first does.

    Args:
        document: All that there is to tell.
        sheets: The tables.
        file: Where to, whole or not at all.
        as_json: Whether the document is printed.

    Raises:
        UserError: The file could not be written (exit code 1).
    """
    if file is not None:
        write_atomic(file, f"{_text(document)}\n".encode())
    if not distributed.first():
        return
    if as_json:
        return put(document)
    show(*sheets)
    if file is not None:
        print(f"The document: {file}")


def put_study(run: Any, as_json: bool) -> None:
    """What a study or a stage came to: verdicts, measures, and where it lies."""
    from filtergan import report

    if not distributed.first():
        return
    page = run.path / "report.html"
    if as_json:
        record = run.record.model_dump(mode="json", by_alias=True)
        path = str(page) if page.exists() else None
        put({"schema": STUDY, "run": str(run.path), "report": path, "record": record})
        return
    if any(site.verdict or site.measures for site in run.record.sites.values()):
        show(*report.summary_sheets(run))
    print(f"The report: {page}" if page.exists() else f"The run directory: {run.path}")


def put_ceilings(found: Mapping[Any, Mapping[str, Any]], file: Path | None, as_json: bool) -> None:
    """Ceilings, as the record has them, by site; told as `tell` does.

    A file that does not end in .json gets their figure, of all sites together.
    """
    from filtergan.report.bounds import ceiling_sheet

    sites = {
        str(name): {key: one.model_dump(mode="json") for key, one in ceilings.items()}
        for name, ceilings in found.items()
    }
    sheets = [ceiling_sheet(name, ceilings) for name, ceilings in found.items()]
    document = {"schema": CEILINGS, "sites": sites}

    def drawn() -> Any:
        from filtergan.figures import ceilings_figure

        if known := {str(name): one for name, one in found.items() if one}:
            return ceilings_figure(known)
        raise UserError("The layers have no ceilings, which are of images; name a planar one.")

    _tell_or_draw(document, sheets, file, as_json, drawn, FIGURES["ceilings"].caption)


def put_spectra(found: Mapping[Any, Any], seen: Any, file: Path | None, as_json: bool) -> None:
    """Spectra by site; told as `tell` does.

    Args:
        found: The spectra.
        seen: Images [n, c, h, w] over which kinds of change are compared; the first few are walked
            along in the figure, which a file that does not end in .json gets.
        file: Where to; None: nowhere.
        as_json: Whether the document is printed.
    """
    from filtergan.report.bounds import spectrum_sheet

    sites = {
        str(name): {"ridge": one.ridge, "directions": one.directions(seen)}
        for name, one in found.items()
    }
    sheets = [spectrum_sheet(name, sites[str(name)]["directions"]) for name in found]
    (first, *_), words = found.values(), "Image changes that filters of {} undo best, sorted."
    caption = words.format(next(iter(found)).prose)
    document = {"schema": SPECTRA, "sites": sites}
    _tell_or_draw(document, sheets, file, as_json, lambda: first.figure(seen[:SHOWN]), caption)


def is_figure(file: Path | None) -> bool:
    """Whether a file is to get a figure, not the document."""
    return file is not None and file.suffix != ".json"


def _tell_or_draw(
    document: Mapping[str, Any],
    sheets: Sequence[Sheet],
    file: Path | None,
    as_json: bool,
    drawn: Callable[[], Any],
    caption: str,
) -> None:
    """Do as `tell` does; but a file that does not end in .json gets the figure."""
    if file is None or not is_figure(file):
        return tell(document, sheets, file, as_json)
    from filtergan.figures import written

    write_atomic(file, written(drawn(), file.suffix[1:], file.stem, caption))
    tell(document, sheets, None, as_json)
    if distributed.first() and not as_json:
        print(f"The figure: {file}")


def put_answers(
    found: Mapping[Any, Mapping[str, Any]],
    steps: Mapping[Any, Mapping[str, Any]],
    file: Path | None,
    as_json: bool,
) -> None:
    """What a network ignores, by site, and which steps of latents come nearest; as `tell` does."""
    from filtergan.report.bounds import answer_sheet, step_sheet

    sites = {
        str(name): {key: _answer(one, steps[name].get(key)) for key, one in answers.items()}
        for name, answers in found.items()
    }
    sheets = []
    for name, answers in found.items():
        sheets.append(answer_sheet(name, answers))
        if steps[name]:
            sheets.append(step_sheet(name, steps[name]))
    tell({"schema": ANSWERS, "sites": sites}, sheets, file, as_json)


def _answer(one: Any, step: Any) -> dict[str, Any]:
    """An answer; and where there is a generator, the step of its latents nearest to the change."""
    told = {
        "ignored": one.verdict,
        "ceiling": one.ceiling.record.model_dump(mode="json"),
        "passed": one.passed.model_dump(mode="json"),
        "labels_kept": one.labels_kept.model_dump(mode="json"),
    }
    if step is not None:
        told["latents"] = step.record
    return told


def put_shared(to: str, left_behind: str | None, licence: str | None, as_json: bool) -> None:
    """Where a generator was handed on to, and whether its network goes along.

    Args:
        to: The folder, or the address of the commit.
        left_behind: Why the network does not go along; None: it does.
        licence: That was given; None: none was.
        as_json: Whether as a document.
    """
    if as_json:
        return put({"shared": str(to), "network": left_behind is None, "license": licence})
    print(f"Shared: {to}")
    if left_behind is None:
        print(f"The network goes along under the licence {licence}.")
    else:
        print(f"The network does not go along, since {left_behind}.")


def put_sheets(lines: Sequence[str], sheets: Sequence[Sheet]) -> None:
    """Some lines, and tables below them."""
    console().print(*lines, sep="\n", soft_wrap=False)
    show(*sheets)


def put_plan(config: Any, out: Path, parts: Sequence[Any] | str, as_json: bool) -> None:
    """A config, and what its stages should take.

    Args:
        config: Of the study.
        out: Where it would lie.
        parts: Its long works; or why they are not known.
        as_json: Whether as a document.
    """
    from filtergan.config.parsing import dump
    from filtergan.machine.wording import duration

    known = [] if isinstance(parts, str) else parts
    seconds: dict[str, float] = {}
    for part in known:
        seconds[part.stage] = seconds.get(part.stage, 0.0) + part.seconds
    if as_json:
        told = {
            "seconds": None if isinstance(parts, str) else sum(seconds.values()),
            "why": parts if isinstance(parts, str) else None,
            "stages": seconds,
            "parts": [dataclasses.asdict(part) for part in known],
        }
        return put({"out": str(out), "config": config.model_dump(mode="json"), "expected": told})
    print(f"# a study in {out}")
    if isinstance(parts, str):
        print(f"# no estimate of its time: {parts}")
    else:
        print(f"# about {duration(sum(seconds.values()))} on this machine, as busy as it is now:")
        for stage, each in seconds.items():
            print(f"#   {stage:<13} {duration(each):>11}")
    print(dump(config), end="")


def put_trials(seconds: Mapping[str, float], trials: Sequence[Any], as_json: bool) -> None:
    """The trainings of a comparison of augmentations, and what they should take.

    Args:
        seconds: By method.
        trials: All that are wanted.
        as_json: Whether as a document.
    """
    from filtergan.machine.wording import count_of, duration

    rows = []
    for name, each in seconds.items():
        own = [trial for trial in trials if trial.method == name]
        strengths = dict.fromkeys(trial.strength for trial in own)
        rows.append({"method": name, "strengths": list(strengths), "trainings": len(own)})
        rows[-1]["seconds"] = each
    total = sum(seconds.values())
    if as_json:
        return put({"trainings": len(trials), "seconds": total, "methods": rows})
    cells = [
        [
            row["method"],
            ", ".join(f"{s:g}" for s in row["strengths"]),
            f"{row['trainings']:,}",
            duration(row["seconds"]),
        ]
        for row in rows
    ]
    head = ("method", "strengths", "trainings", "takes")
    caption = f"About {duration(total)} in all on this machine, as busy as it is now."
    show(Sheet(count_of(len(trials), "training"), head, cells, caption, words=(1,)))


def put_standings(record: Mapping[str, Any], path: Path, as_json: bool) -> None:
    """What a comparison of augmentations came to, and where its record lies."""
    from filtergan.benchmark.standings import sheets

    if as_json:
        parts = ("schema", "settings", "methods", "results")
        return put({part: record[part] for part in parts} | {"record": str(path)})
    show(*sheets(record["results"]))
    print(f"The record: {path}")
