"""What is said of ceilings: a table for the terminal, and for the page rows and a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from filtergan.ceilings.latent_steps import LatentStep
from filtergan.ceilings.question import ARRIVED, ASKABLE, IGNORED, Answer
from filtergan.config.site_names import SiteName
from filtergan.machine.sheets import Sheet
from filtergan.measures.gates import LABELS_KEPT
from filtergan.measures.naming import combination_name
from filtergan.report.text import brief
from filtergan.runs.record import CeilingRecord, MeasureRecord
from filtergan.spectra.leading import mostly


def ceiling_sheet(name: SiteName, ceilings: Mapping[str, CeilingRecord]) -> Sheet:
    """The ceilings of a site, for the terminal.

    Args:
        name: Of the site.
        ceilings: By the name of the transformation.
    """
    return Sheet(
        f"What filters of {name.prose} undo",
        ("change of images", "image", "response", "ceiling", "null", "share", "null"),
        [
            [row["name"], *row["changes"], *row["compensation"], *row["share"]]
            for row in ceiling_rows(ceilings)
        ],
        "Held-out images, 95 % intervals. Image and response: how much these change. "
        "Share: of what the images change, the share that the fitted filters take back. "
        "Ceiling: of what filters change that go as far the same way as is best for it, the share "
        "that the images take back; in records made before, of what the fitted ones change. Null: "
        "random filters.",
    )


def ceiling_rows(ceilings: Mapping[str, CeilingRecord]) -> list[dict[str, Any]]:
    """Rows of a table: name, both changes, each share with its interval and null; and numbers."""
    return [
        {
            "name": name,
            "changes": (brief(one.image_change), brief(one.response_change)),
            "compensation": told(one.undone),
            "share": told(one.share),
            "sorted_by": (
                *(one.image_change, one.response_change),
                *(one.undone.value, one.undone.null),
                *(one.share.value, one.share.null),
            ),
        }
        for name, one in ceilings.items()
    ]


def answer_sheet(name: SiteName, answers: Mapping[str, Answer]) -> Sheet:
    """Whether a network ignores known changes of images at a site, for the terminal.

    Args:
        name: Of the site.
        answers: By the name of the transformation.
    """
    rows = [
        [
            *(key, one.verdict, *told(one.ceiling.compensation), *told(one.passed)),
            *(brief(one.labels_kept.value), brief(one.labels_kept.null)),
        ]
        for key, one in answers.items()
    ]
    return Sheet(
        f"Does the network ignore it at {name.prose}?",
        (
            *("change of images", "ignored?", "fitted", "null", "passed on", "null"),
            *("labels kept", "null"),
        ),
        rows,
        "Fitted: compensation of the filters fitted to the change, as they are; it must exceed "
        f"{ASKABLE:g}. Passed on: how much of what these filters change reaches the logits, over "
        f"the same of changes exchanged among the filters; below {IGNORED:g} it is ignored, if at "
        f"least {LABELS_KEPT:g} of the labels are kept. So it is, whatever is undone, where less "
        f"than {ARRIVED:g} of the change arrives at the layer. Nulls: "
        "random filters (fitted), exchanged ones (labels; of what is passed on, "
        "what about one in twenty of these exceeds).",
        words=(1,),
    )


def step_sheet(name: SiteName, steps: Mapping[str, LatentStep]) -> Sheet:
    """Whether known changes of images are steps of a generator's latents, for the terminal.

    Args:
        name: Of the site.
        steps: By the name of the transformation.
    """
    rows = [
        [key, *told(one.share), *told(one.compensation), *along(one)] for key, one in steps.items()
    ]
    return Sheet(
        f"Is it a step of the latents at {name.prose}?",
        ("change of images", "share", "null", "undone", "null", "length", "along"),
        rows,
        "Share: of the change of images, what T makes at the step of latents nearest to it. "
        "Undone: what T takes back of what the filters of that step change. Nulls: the null's "
        "T at its own nearest step.",
        words=(6,),
    )


def spectrum_sheet(name: SiteName, directions: Sequence[Mapping[str, Any]]) -> Sheet:
    """The spectrum of a site, for the terminal.

    Args:
        name: Of the site.
        directions: As `Spectrum.directions` tells them.
    """
    rows = [
        [
            *(str(number), mostly(one["kinds"]), brief(one["image_change"])),
            *(brief(one["share"]), brief(one["null"])),
            *told(MeasureRecord.model_validate(one["ceiling"])),
        ]
        for number, one in enumerate(directions, start=1)
    ]
    return Sheet(
        f"Image changes that filters of {name.prose} undo",
        ("direction", "mostly", "image", "share", "null", "at size", "null"),
        rows,
        "Share: of the change of response that a direction begins with, what filters undo on "
        "held-out images; null: filters fitted to what it does to other images. At size: "
        "compensation, where the direction changes images by as much as `image` says.",
        words=(1,),
    )


def along(one: LatentStep) -> tuple[str, str]:
    """Length and direction of a step."""
    length = one.step.norm()
    return f"{float(length):.1f}", combination_name(one.step / length) if length > 0 else "-"


def best_known(ceilings: Mapping[str, CeilingRecord]) -> str | None:
    """A sentence on the family that filters undo best, and that they undo worst; None: no ceilings.

    Args:
        ceilings: Of one site.
    """
    order = by_compensation(ceilings)
    if not order:
        return None
    known = {name: one.undone for name, one in ceilings.items()}
    best, worst = order[-1], order[0]
    said = f"Of known changes of images, filters can undo {best} most: {_sentence(known[best])}"
    return said + (f"; {worst} least: {_sentence(known[worst])}." if worst != best else ".")


def by_compensation(ceilings: Mapping[str, CeilingRecord]) -> list[str]:
    """Names of the changes of images, those first that filters undo worst.

    Args:
        ceilings: Of one site.
    """
    values = {name: one.undone.value for name, one in ceilings.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return sorted(known, key=known.__getitem__)


def told(one: MeasureRecord) -> tuple[str, str]:
    """Value with interval, which the terminal may put on a line of its own; and null."""
    low, high = one.ci95
    ends = "" if low is None else f"\n[{brief(low)}, {brief(high)}]"
    return brief(one.value) + ends, brief(one.null)


def _sentence(one: MeasureRecord) -> str:
    value, null = (part.replace("\n", " ") for part in told(one))
    return f"compensation {value} (random filters {null})"
