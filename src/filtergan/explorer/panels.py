"""What is seen, as parts of a page: pictures with their words, opinions, grids, filters."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from filtergan.explorer import rasters
from filtergan.explorer.looks import Grid, Look, Opinion
from filtergan.explorer.rasters import Picture
from filtergan.images.palette import SIGNS
from filtergan.measures.doubts import doubts, latent_shape
from filtergan.runs.record import SiteRecord
from filtergan.study.site_traversals import Traversals

FULL = 1.0  # of a field: a clear but moderate change


@dataclass(frozen=True)
class Panel:
    """A picture and what it shows.

    Attributes:
        title: In a word or two.
        told: How to read it.
        picture: RGBA.
    """

    title: str
    told: str
    picture: Picture


def panels_of(look: Look, mover: str = "moved") -> list[Panel]:
    """The image, what it becomes, the difference, the fields, and the residual.

    Args:
        look: What is seen.
        mover: Title of what it becomes.
    """
    moved = rasters.of_image(look.moved)
    change, limit = rasters.of_change(look.image, look.moved)
    found = [
        Panel("image", "as it is", rasters.of_image(look.image)),
        Panel(mover, "seen by the filters of z as the image by those of 0", moved),
        Panel("difference", f"orange: added, blue: taken away; up to {limit:.2g}", change),
    ]
    for kind, field in look.fields.items():
        if kind == "flow":
            most = float(field.norm(dim=0).max())
            told = f"where pixels went; up to {most:.2g} pixels"
            found.append(Panel("flow", told, rasters.of_flow(field)))
        else:
            values = field.mean(0)
            limit = max(FULL, float(values.abs().max()))
            above, below = SIGNS[kind]
            told = f"orange: {above}, blue: {below}; up to {limit:.2g}"
            found.append(Panel(kind, told, rasters.of_signed(values, limit)))
    if look.maps is not None:
        limit = float(look.maps[0].max())
        for title, told, values in zip(
            ("residual before", "residual after"),
            ("where the filters see another image", "what is left of it"),
            look.maps,
            strict=True,
        ):
            found.append(Panel(title, told, rasters.of_signed(values, limit)))
    return found


def panels(found: Sequence[Panel]) -> str:
    """Pictures side by side, each with its words."""
    figures = [
        f'<figure><img src="{rasters.address(one.picture)}" alt="{escape(one.title)}: '
        f'{escape(one.told)}"><figcaption><b>{escape(one.title)}</b><br><span>{escape(one.told)}</span>'
        "</figcaption></figure>"
        for one in found
    ]
    return f'<div class="fg-panels">{"".join(figures)}</div>'


def numbers(look: Look) -> str:
    """Residuals and the change of the image, in a sentence."""
    if look.before < 1e-9:
        return '<p class="fg-told">Nothing is changed yet: move a latent.</p>'
    return (
        f'<p class="fg-told">Profile residual <b>{look.before:.3f} → {look.after:.3f}</b>, '
        f"{look.compensation:.2f} of it undone; the image changed by {look.image_change:.2f} of "
        "its norm.</p>"
    )


def opinions(look: Look, classes: Sequence[str], judged: bool) -> str:
    """What network and judges say before and after, as a table."""

    def said(sure: Float[Tensor, " classes"]) -> str:
        best = int(sure.argmax())
        return f"{escape(classes[best])} <small>{float(sure[best]):.2f}</small>"

    def row(one: Opinion) -> str:
        mark = "" if one.kept else ' class="fg-changed"'
        word = "" if one.kept else " (changed)"
        return (
            f"<tr{mark}><th scope=row>{one.who}</th><td>{said(one.before)}</td>"
            f"<td>{said(one.after)}{word}</td></tr>"
        )

    rows = "".join(map(row, look.opinions))
    none = (
        ""
        if judged
        else '<p class="fg-told">The judges are not kept on this machine; <code>filtergan '
        "train-judges RUN</code> trains them.</p>"
    )
    return (
        "<table class=fg-opinions><thead><tr><th scope=col>label by</th><th scope=col>image</th>"
        f"<th scope=col>moved</th></tr></thead><tbody>{rows}</tbody></table>{none}"
    )


def filters(real: Float[Tensor, "o i *k"], drawn: Float[Tensor, "o i *k"]) -> str:
    """Real filters, those of the draw, and the difference, by one scale."""
    limit = float(torch.stack([real, drawn]).abs().max())
    shown = min(rasters.FILTERS, real.shape[0]), min(rasters.FILTERS, real.shape[1])
    told = f"{shown[0]} of {real.shape[0]} filters, {shown[1]} of {real.shape[1]} channels"
    change = float((drawn - real).norm() / real.norm())
    return panels(
        [
            Panel("real filters", told, rasters.of_filters(real, limit)),
            Panel("filters of the draw", told, rasters.of_filters(drawn, limit)),
            Panel(
                "difference",
                f"{change:.2f} of the norm of the real ones",
                rasters.of_filters(drawn - real, limit),
            ),
        ]
    )


def grid(found: Grid, classes: Sequence[str]) -> str:
    """A grid of images; framed where the network's label is another.

    Each is a button that has its point, and the one in the middle is reached by Tab.
    """
    cells: list[str] = []
    middle = len(found.offsets) // 2
    for row, down in enumerate(found.offsets):
        for column, across in enumerate(found.offsets):
            label = found.labels[row][column]
            undone = float(found.compensation[row, column])
            told = f"z{found.dims[0]} {down:+.1f}, z{found.dims[1]} {across:+.1f}: "
            told += f"label {classes[label]}"
            if not np.isnan(undone):
                told += f", {undone:.2f} undone"
            image = _cell(found.images[row, column], told, label != found.label)
            point = json.dumps(dict(zip(found.dims, (down, across), strict=True)))
            order = 0 if row == column == middle else -1
            cells.append(
                f'<button type="button" tabindex="{order}" data-point="{escape(point)}">{image}'
                "</button>"
            )
    told = (
        f"z{found.dims[0]} downwards and z{found.dims[1]} across, from {found.offsets[0]:+g} to "
        f"{found.offsets[-1]:+g}; dashed red: the network's label changed. A click, or Enter, sets "
        "both latents to a point; arrow keys lead from one to the next."
    )
    return _cells(cells, len(found.offsets), told)


def traversals(found: Traversals, most: int = 4) -> str:
    """The grids that a study found, the first few of them."""
    parts: list[str] = []
    images, dims, offsets = found["grid_images"], found["grid_dims"], found["grid_offsets"]
    for one in range(min(most, len(images))):
        i, j = dims[one].tolist()
        cells = [
            _cell(image, f"z{i} {down:+.1f}, z{j} {across:+.1f}", not kept)
            for image, kept, (down, across) in zip(
                images[one],
                found["grid_labels_kept"][one].tolist(),
                itertools.product(offsets.tolist(), repeat=2),
                strict=True,
            )
        ]
        told = f"image {int(found['grid_index'][one])}: z{i} downwards and z{j} across"
        parts.append(_cells(cells, len(offsets), told))
    return "".join(parts)


def _cell(image: Float[Tensor, "c h w"], told: str, changed: bool) -> str:
    mark = ' class="fg-changed"' if changed else ""
    source = rasters.address(rasters.of_image(image))
    return f'<img{mark} src="{source}" alt="{escape(told)}" title="{escape(told)}">'


def _cells(cells: Sequence[str], columns: int, told: str) -> str:
    return (
        f'<figure class="fg-grid"><div style="grid-template-columns:repeat({columns},1fr)">'
        f"{''.join(cells)}</div><figcaption>{escape(told)}</figcaption></figure>"
    )


def heading(site: str, record: SiteRecord, moves: bool) -> str:
    """What the study says of a site, before anybody believes a picture."""
    lines = []
    against = doubts(record)
    if not record.gates:
        lines.append("The study has not tested this site's traversals.")
    elif against:
        lines.append(f"Do not take it for an invariance: {'; '.join(against)}.")
    else:
        lines.append("It fails none of the study's gates.")
    if not moves:
        lines.append(
            "This site has no transformer, so an image for other filters is searched pixel by "
            "pixel, which takes a while: shown are the grids that the study found, and the filters "
            "of any draw."
        )
    told = " ".join(escape(line) for line in lines)
    return f'<p class="fg-told"><b>{escape(site)}</b>: {told}</p>'


def latents(record: SiteRecord) -> str:
    """What each latent does, in the study's words."""
    names = [one for one in record.latents if re.fullmatch(r"z\d+", one.name)]
    rows = [f"<li>{escape(f'{one.name}: {latent_shape(one, record)}')}</li>" for one in names]
    return f'<ul class="fg-latents">{"".join(rows)}</ul>' if rows else ""
