"""A visitor's own image on the live page: uploaded or drawn, on the ground of those of the run."""

from collections.abc import Callable, Iterator
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from filtergan.errors import UserError
from filtergan.explorer import uploads
from filtergan.explorer.exploring import Explorer

SIDE = 280  # pixels of the paper's longer side
BRUSH = 17  # its radius, so that it is an eighth of that wide, as strokes of digits are
Taken = tuple[np.ndarray | None, str, gr.Checkbox]
"""The image, what is said of it, and the mark."""


def mistakes_told(handle: Callable[..., Any]) -> Callable[..., Any]:
    """A visitor's mistakes become a word on the page."""

    @wraps(handle)
    def heard(*args: Any, **kwargs: Any) -> Any:
        try:
            return handle(*args, **kwargs)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return heard


class VisitorsPage(gr.Blocks):
    """A page that reads no files but those in its folder, which visitors uploaded.

    Gradio itself would take the name of any file on this machine, or on another, for an upload.

    Args:
        folder: Where uploads are written.
        **options: As `gr.Blocks` has them.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder.resolve()

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """What a visitor sent, read; refused where it names another file."""
        for name in _names(inputs):
            if not Path(name).resolve().is_relative_to(self._folder):
                raise gr.Error("That is no upload.", print_exception=False)
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)

    def awaited(self, visitor: str) -> bool:
        """Whether a visitor still waits for an answer."""
        return bool(self._queue.pending_event_ids_session.get(visitor))


def _names(sent: Any) -> Iterator[str]:
    """Of all files in what was sent."""
    if isinstance(sent, dict):
        if isinstance(sent.get("path"), str):
            yield sent["path"]
        sent = list(sent.values())
    if isinstance(sent, list):
        for one in sent:
            yield from _names(one)


class OwnImage:
    """Its parts on the page, and what they do.

    Attributes:
        pixels: The image, a visitor's state; None while one of the run is shown.
        exchanged: The mark that dark and bright are exchanged.
        upload: What takes a file.
        paper: What is drawn on.

    Args:
        explorer: The run.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        with gr.Tabs():
            with gr.Tab("Upload one"):
                self.upload = gr.File(
                    label="A picture of your own",
                    file_types=list(uploads.ENDINGS),
                    type="binary",
                    height=160,
                )
            with gr.Tab("Draw one", visible=explorer.bright is not None):
                self.paper = self._paper()
        self.exchanged = gr.Checkbox(
            label="Dark and bright exchanged", visible=False, interactive=True
        )
        self.pixels = gr.State(None)

    def emptied(self) -> tuple[None, gr.Checkbox, None]:
        """Image, mark and file where an image of the run is shown. A drawing stays on its paper."""
        return None, _mark(), None

    def _paper(self) -> gr.Sketchpad:
        _, height, width = self.explorer.shape
        scale = SIDE / max(height, width)
        paper = gr.Sketchpad(
            type="numpy",
            image_mode="RGBA",
            canvas_size=(round(width * scale), round(height * scale)),
            fixed_canvas=True,
            brush=gr.Brush(default_size=BRUSH, colors=["#000000"], color_mode="fixed"),
            eraser=gr.Eraser(default_size=BRUSH),
            transforms=(),
            layers=False,
            buttons=[],
            format="png",
            label="Paper",
            placeholder="Choose the brush, then draw.",
            show_label=False,
            height=SIDE + 120,
            elem_id="fg-paper",
        )
        decode = paper.convert_and_format_image

        @mistakes_told
        def bounded(file: Any, *more: Any, **others: Any) -> Any:
            """Gradio decodes whatever is sent: what is larger than the paper is refused before."""
            if file is not None:
                content = file if isinstance(file, bytes) else Path(file.path).read_bytes()
                uploads.opened(content, SIDE**2)
            return decode(file, *more, **others)

        paper.convert_and_format_image = bounded
        return paper

    def take(self, content: bytes | None) -> Taken:
        """An uploaded image; on the ground that those of the run have."""
        ours = self.explorer
        try:
            image, told = uploads.read_upload(content or b"", ours.shape, ours.interpolation)
        except UserError as error:
            told = status(f"{error} The image of the run is shown instead.", bad=True)
            return None, told, _mark()
        grey = ours.bright is not None
        other = grey and uploads.on_bright(image) is not ours.bright
        own = self.exchange(image.numpy()) if other else image.numpy()
        return own, status(told), _mark(other, visible=grey)

    def take_drawn(
        self, drawn: dict[str, Any] | None, uploaded: bytes | None, exchanged: bool
    ) -> tuple[np.ndarray | None, str, gr.Checkbox, None]:
        """A drawn image, ink on the ground of the run's; and no file any more.

        Args:
            drawn: The paper.
            uploaded: The file that was shown; None: none, so the drawing goes on, or is the first.
            exchanged: Whether dark and bright are exchanged, which stays as it is while it goes on.
        """
        paper = None if drawn is None else drawn["composite"]
        covered = None if paper is None else uploads.ink(paper)
        if covered is None or not covered.any():
            told = "Nothing is drawn; the image of the run is shown."
            return None, status(told), _mark(), None
        image, other = uploads.reduced(covered, self.explorer.shape), exchanged and uploaded is None
        own = self.exchange(image) if bool(self.explorer.bright) is not other else image
        return own, status("Your drawing."), _mark(other, visible=True), None

    def exchange(self, own: np.ndarray) -> np.ndarray:
        """Dark in the place of bright, and bright in the place of dark."""
        return 1 - own


def status(told: str, bad: bool = False) -> str:
    """A sentence that says what is shown, or what was wrong."""
    mark = " fg-bad" if bad else ""
    return f'<p class="fg-told{mark}" role="status">{escape(told)}</p>'


def _mark(on: bool = False, visible: bool = False) -> gr.Checkbox:
    return gr.Checkbox(on, visible=visible)
