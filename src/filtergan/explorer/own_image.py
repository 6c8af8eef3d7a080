"""A visitor's own image on the live page: uploaded or drawn, on the ground of those of the run."""

from html import escape
from typing import Any

import gradio as gr
import numpy as np

from filtergan.errors import UserError
from filtergan.explorer import uploads
from filtergan.explorer.exploring import Explorer

SIDE = 280  # pixels of the paper's longer side
BRUSH = 17  # its radius, so that it is an eighth of that wide, as strokes of digits are
Taken = tuple[np.ndarray | None, str, gr.Checkbox, None]
"""The image, what is said of it, the mark, and nothing in the other part that could hold one."""


class OwnImage:
    """Its parts on the page, and what they do.

    Attributes:
        pixels: The image, a visitor's state; None while one of the run is shown.
        exchanged: The mark that dark and bright are exchanged.
        given: The parts that hold what it was made of, to be emptied.

    Args:
        explorer: The run.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        grey = explorer.bright is not None
        with gr.Tabs(elem_classes="fg-own"):
            with gr.Tab("Upload one"):
                self.upload = gr.File(
                    label="A picture of your own",
                    file_types=list(uploads.ENDINGS),
                    type="binary",
                    height=160,
                )
            with gr.Tab("Draw one", visible=grey):
                self.paper = self._paper()
        self.exchanged = gr.Checkbox(
            label="Dark and bright exchanged", visible=False, interactive=True
        )
        self.pixels = gr.State(None)
        self.given = [self.upload, self.paper]

    def _paper(self) -> gr.Sketchpad:
        _, height, width = self.explorer.shape
        scale = SIDE / max(height, width)
        return gr.Sketchpad(
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

    def take(self, content: bytes | None) -> Taken:
        """An uploaded image; on the ground that those of the run have."""
        ours = self.explorer
        try:
            image, told = uploads.read_upload(content or b"", ours.shape, ours.interpolation)
        except UserError as error:
            told = status(f"{error} The image of the run is shown instead.", bad=True)
            return None, told, _mark(), None
        grey = ours.bright is not None
        other = grey and uploads.on_bright(image) is not ours.bright
        own = self.exchange(image.numpy()) if other else image.numpy()
        return own, status(told), _mark(other, visible=grey), None

    def take_drawn(self, drawn: dict[str, Any] | None) -> Taken | list[Any]:
        """A drawn image: ink on the ground of the run's. An empty paper changes nothing."""
        composite = None if drawn is None else drawn["composite"]
        ink = None if composite is None else uploads.ink(composite)
        if ink is None or not ink.any():
            return [gr.skip()] * 4
        image = uploads.reduced(ink, self.explorer.shape)
        own = self.exchange(image) if self.explorer.bright else image
        return own, status("Your drawing."), _mark(visible=True), None

    def exchange(self, own: np.ndarray) -> np.ndarray:
        """Dark in the place of bright, and bright in the place of dark."""
        return 1 - own


def status(told: str, bad: bool = False) -> str:
    """A sentence that says what is shown, or what was wrong."""
    mark = " fg-bad" if bad else ""
    return f'<p class="fg-told{mark}" role="status">{escape(told)}</p>'


def _mark(on: bool = False, visible: bool = False) -> gr.Checkbox:
    return gr.Checkbox(on, visible=visible)
