"""The grid on the live page: an image over two latents, which its cells set."""

from collections.abc import Sequence
from importlib.resources import files

import gradio as gr


class GridTab:
    """Its parts on the page, and what a cell does.

    Attributes:
        down: The latent downwards.
        across: The latent across.
        show: The button that shows the grid.
        cells: The grid.

    Args:
        latents: The sliders.
    """

    def __init__(self, latents: Sequence[gr.Slider]) -> None:
        self._latents = latents
        with gr.Row():
            self.down = gr.Dropdown([0], value=0, label="Latent downwards", min_width=120)
            self.across = gr.Dropdown([1], value=1, label="Latent across", min_width=120)
            self.show = gr.Button("Show the grid")
        script = files("filtergan.explorer") / "grid.js"
        self.cells = gr.HTML(js_on_load=script.read_text())

    def go(self, event: gr.EventData) -> dict[gr.Slider, float]:
        """Both sliders at the point of a cell."""
        return {self._latents[int(i)]: float(at) for i, at in event.point.items()}
