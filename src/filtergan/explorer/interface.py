"""The layout of the live page and what its parts do."""

import random
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr
import numpy as np
import torch
from fastapi import FastAPI
from gradio.themes import Default
from torch import Tensor

from filtergan.explorer import keeping, panels, rasters, room, uploads
from filtergan.explorer.exploring import REACH, TEST, TRAINING, Explorer
from filtergan.explorer.grid_tab import GridTab
from filtergan.explorer.own_image import OwnImage, VisitorsPage, mistakes_told, status
from filtergan.explorer.searching import Searches
from filtergan.images.shown import one_of_each_class

THUMBNAILS = 20
FRAMES = 17  # of an animation, from one end of a latent to the other
FORGOTTEN = 3600  # seconds after which files of visitors are removed
LIVE: dict[str, Any] = {
    "trigger_mode": "always_last",
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Of events that follow a hand: what came in between is left out."""


def mount(
    app: FastAPI, explorer: Explorer, folder: Path, auth: Callable[[str, str], bool] | None
) -> VisitorsPage:
    """Put the page of a run into an application.

    Args:
        app: The application.
        explorer: The run.
        folder: Where files that visitors keep are written.
        auth: Whether a name and a password may come in; None: everybody.
    """
    page = _Page(explorer, folder).build()
    gr.mount_gradio_app(
        app,
        page,
        "/",
        auth=auth,
        auth_message="Any name, and the password of whoever runs this page.",
        theme=Default(  # the machine's own fonts: nothing is fetched
            font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
        ),
        css=(files("filtergan.explorer") / "explorer.css").read_text(),
        max_file_size=uploads.MOST_BYTES,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
    )
    return page


class _Page:
    """The parts of the page, and what happens when they are used.

    The state of a visitor is in the parts themselves, so any number of them may come.
    """

    def __init__(self, explorer: Explorer, folder: Path) -> None:
        self.explorer, self.folder = explorer, folder
        self.searches = Searches(explorer)
        self.first = one_of_each_class(explorer.test, THUMBNAILS).tolist()
        self.most = max(explorer.latent(site) for site in explorer.sites)

    def build(self) -> VisitorsPage:
        """The page."""
        with VisitorsPage(
            self.folder,
            title=f"filtergan: {self.explorer.path.name}",
            analytics_enabled=False,
            delete_cache=(FORGOTTEN, FORGOTTEN),
            fill_width=True,
        ) as page:
            gr.Markdown(
                f"# What {escape(self.explorer.path.name)} ignores\nMove a latent: other filters "
                "take the place of the real ones, and the image is changed so that they see in it "
                "what the filters of the middle saw in the image itself."
            )
            self.site = gr.Dropdown(
                list(map(str, self.explorer.sites)), value=str(self.explorer.sites[0]), label="Site"
            )
            self.heading = gr.HTML()
            with gr.Row():
                with gr.Column(scale=2, min_width=280):
                    self._pictures()
                with gr.Column(scale=5, min_width=320):
                    self._latents()
                    self.view = gr.HTML()
                    self.opinions = gr.HTML()
            self.image = [self.split, self.number, self.own.pixels]
            self.everything = [self.site, *self.image, *self.latents]
            with gr.Tabs():
                with gr.Tab("Filters"):
                    self.filters = gr.HTML()
                with gr.Tab("Grid"):
                    self.grid = GridTab(self.latents)
                with gr.Tab("Search"):
                    self._search()
                with gr.Tab("Keep"):
                    self._keep()
            self._follow()
            page.load(self.choose_site, [self.site], self.of_site, api_visibility="private").then(
                self.show, self.everything, self.shown, **LIVE
            )
        page.queue(default_concurrency_limit=2, max_size=64)
        return page

    # ------------------------------------------------------------------------------- the parts

    def _pictures(self) -> None:
        explorer = self.explorer
        shown = [
            rasters.magnified(rasters.of_image(explorer.image(i)), 96)[..., :3] for i in self.first
        ]
        self.gallery = gr.Gallery(
            shown,
            label="Images",
            show_label=False,
            columns=5,
            height="auto",
            allow_preview=False,
            object_fit="contain",
            format="png",
            interactive=False,
            buttons=[],
            elem_classes="fg-thumbnails",
        )
        with gr.Row():
            self.split = gr.Radio(
                [TEST, TRAINING], value=TEST, label="Images of the run", min_width=120
            )
            self.number = gr.Number(
                self.first[0], precision=0, minimum=0, min_width=120, **self._range(TEST)
            )
            self.another = gr.Button("Another", min_width=90)
        self.own = OwnImage(explorer)
        self.note = gr.HTML(self._named(TEST, self.first[0]), elem_id="fg-note")

    def _range(self, split: str) -> dict[str, Any]:
        last = len(self.explorer.split(split)) - 1
        return {"label": f"Any {split} image, 0 to {last}", "maximum": last}

    def _latents(self) -> None:
        with gr.Row():
            self.latents = [
                gr.Slider(-REACH, REACH, 0, step=0.05, label=f"z{i}", min_width=180)
                for i in range(self.most)
            ]
        self.reset = gr.Button("Back to the middle", size="sm")
        with gr.Accordion("What each latent does", open=False):
            self.said = gr.HTML()

    def _search(self) -> None:
        gr.Markdown(
            "T is one rule for all images. A search finds the fields that suit this image alone, "
            "beginning with those of T: what it gains is what the rule misses."
        )
        with gr.Row():
            self.start = gr.Button("Search", variant="primary")
            self.stop = gr.Button("Cancel")
        self.found = gr.HTML(elem_id="fg-found", min_height=80)

    def _keep(self) -> None:
        gr.Markdown("The pictures above as PNG, a walk along one latent as GIF, all arrays as npz.")
        with gr.Row():
            self.along = gr.Dropdown([0], value=0, label="Latent of the walk", min_width=120)
            self.make = gr.Button("Make the files")
        self.kept = gr.File(label="Files", file_count="multiple", interactive=False)

    def _follow(self) -> None:
        """Say what follows what."""
        private: dict[str, Any] = {"api_visibility": "private"}
        self.shown = [self.view, self.opinions, self.filters]
        grid, own = self.grid, self.own
        self.of_site = [self.heading, *self.latents, grid.down, grid.across, self.along, self.said]
        seen = (self.show, self.everything, self.shown)
        self.site.change(self.choose_site, [self.site], self.of_site, **private).then(*seen, **LIVE)
        gr.on([z.change for z in self.latents], *seen, **LIVE)
        self.reset.click(lambda: dict.fromkeys(self.latents, 0), None, self.latents, **private)
        taken = [own.pixels, self.note, own.exchanged]
        emptied = [self.note, own.pixels, own.exchanged, own.upload]
        theirs = (self.choose, [self.split, self.number], emptied)
        picked = self.gallery.select(self.pick, None, [self.split, self.number], **private)
        picked.then(*theirs, **private).then(*seen, **LIVE)  # it may have been the number before
        self.another.click(self.any_image, self.split, self.number, **private)
        other = self.split.input(self.choose_split, [self.split], self.number, **private)
        other.then(*theirs, **private).then(*seen, **LIVE)
        self.number.change(*theirs, **private).then(*seen, **LIVE)
        own.upload.upload(own.take, [own.upload], taken, **private).then(*seen, **LIVE)
        own.upload.clear(*theirs, **private).then(*seen, **LIVE)
        drawing = [own.paper, own.upload, own.exchanged]
        drawn = own.paper.change(own.take_drawn, drawing, [*taken, own.upload], **LIVE)
        drawn.then(*seen, **LIVE)
        exchange = own.exchanged.input(own.exchange, [own.pixels], own.pixels, **private)
        exchange.then(*seen, **LIVE)
        points = (self.show_points, [*self.everything, grid.down, grid.across], grid.cells)
        grid.show.click(*points, **private)
        grid.cells.click(grid.go, None, self.latents, **LIVE)
        others = [one.change for one in (self.site, *self.image)]
        gr.on(others, None, None, grid.cells, js="() => ''", **LIVE)  # it was of another image
        self.start.click(
            self.begin,
            queue=False,
            trigger_mode="multiple",  # right after one was cancelled, too
            **private,
        ).then(
            self.search,
            self.everything,
            self.found,
            concurrency_limit=None,  # they wait for each other below, where they can be cancelled
            **private,
        )
        self.stop.click(self.cancel, None, None, queue=False, **private)
        self.make.click(self.keep, [*self.everything, self.along], self.kept, **private)

    # -------------------------------------------------------------------------- what they do

    @mistakes_told
    def choose_site(self, site: str) -> list[Any]:
        """The heading, latents and choices of a site."""
        explorer, record = self.explorer, self.explorer.record(site)
        count = explorer.latent(site)
        moves = explorer.has_transformer(site)
        sliders = [gr.Slider(value=0, visible=i < count) for i in range(self.most)]
        which = [gr.Dropdown(list(range(count)), value=min(k, count - 1)) for k in (0, 1, 0)]
        said = panels.latents(record) if moves else ""
        return [panels.heading(site, record, moves), *sliders, *which, said]

    @mistakes_told
    def show(
        self, site: str, split: str, number: int, own: np.ndarray | None, *z: float
    ) -> list[str]:
        """Pictures, opinions and filters."""
        latent = self._latent(site, z)
        filters = panels.filters(*self.explorer.filters(site, latent))
        if not self.explorer.has_transformer(site):
            found = self.explorer.traversals(site)
            grids = "" if found is None else panels.traversals(found)
            return [f'<div class="fg-grids">{grids}</div>', "", filters]
        look = self.explorer.look(site, self._image(split, number, own), latent)
        opinions = panels.opinions(look, self.explorer.classes, self.explorer.judges is not None)
        return [panels.panels(panels.panels_of(look)) + panels.numbers(look), opinions, filters]

    @mistakes_told
    def show_points(
        self, site: str, split: str, number: int, own: np.ndarray | None, *rest: float
    ) -> str:
        """The grid over two latents, the last two arguments."""
        *z, down, across = rest
        dims = (int(down), int(across))
        image = self._image(split, number, own)
        found = self.explorer.grid(site, image, self._latent(site, z), dims)
        return panels.grid(found, self.explorer.classes)

    @mistakes_told
    def search(
        self,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        *values: Any,
    ) -> str:
        """What a search finds, beside what T makes of the image.

        Args:
            request: Tells who wants it.
            progress: Shows how far it is.
            *values: As `show` takes them; gradio puts its own before them.
        """
        site, split, number, own, *z = values
        latent, image = self._latent(site, z), self._image(split, number, own)
        first = self.explorer.look(site, image, latent)

        def show(done: int, of: int) -> None:
            progress((done, of), desc="searching", unit="evaluations")

        found = self.searches.run(str(request.session_hash), site, image, latent, show)
        if found is None:
            return status("The search was cancelled.")
        ours = [one for one in panels.panels_of(found, "by the search") if one.title != "image"]
        moved = panels.Panel("by T", "one rule for all images", rasters.of_image(first.moved))
        told = (
            f"Profile residual {found.before:.3f}: {first.after:.3f} is left by T, "
            f"{found.after:.3f} by the search."
        )
        judged = self.explorer.judges is not None
        opinions = panels.opinions(found, self.explorer.classes, judged)
        return status(told) + panels.panels([moved, *ours]) + opinions

    def begin(self, request: gr.Request) -> None:
        """Note that the visitor wants a search."""
        self.searches.begin(str(request.session_hash))

    def cancel(self, request: gr.Request) -> None:
        """End the visitor's search, which then says so itself."""
        self.searches.cancel(str(request.session_hash))

    @mistakes_told
    def keep(
        self, site: str, split: str, number: int, own: np.ndarray | None, *rest: float
    ) -> list[str]:
        """PNG, GIF and npz of what is seen."""
        room.check(self.folder)
        *z, along = rest
        latent, image = self._latent(site, z), self._image(split, number, own)
        look = self.explorer.look(site, image, latent)
        targets = latent.repeat(FRAMES, 1)
        targets[:, int(along)] = torch.linspace(-REACH, REACH, FRAMES)
        contents = {
            "image.png": keeping.picture(panels.panels_of(look)),
            f"walk_z{int(along)}.gif": keeping.animation(self.explorer.walk(site, image, targets)),
            "arrays.npz": keeping.numbers(look, *self.explorer.filters(site, latent)),
        }
        folder = Path(mkdtemp(dir=self.folder))
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return [str(folder / name) for name in contents]

    def pick(self, event: gr.SelectData) -> tuple[str, gr.Number]:
        """The split and the number of a thumbnail."""
        return TEST, gr.Number(self.first[event.index], **self._range(TEST))

    @mistakes_told
    def choose_split(self, split: str) -> gr.Number:
        """Numbers of the split's images."""
        return gr.Number(self.first[0] if split == TEST else 0, **self._range(split))

    def any_image(self, split: str) -> int:
        """The number of some image."""
        return random.randrange(len(self.explorer.split(split)))

    def choose(self, split: str, number: int | None) -> list[Any]:
        """An image of the run in the place of the visitor's own."""
        return [self._named(split, number or 0), *self.own.emptied()]

    def _named(self, split: str, number: int) -> str:
        images = self.explorer.split(split)
        label = self.explorer.classes[int(images.labels[number])]
        return status(f"{split.capitalize()} image {number}, of class {label}.")

    def _image(self, split: str, number: int | None, own: np.ndarray | None) -> Tensor:
        return self.explorer.image(number or 0, split) if own is None else torch.from_numpy(own)

    def _latent(self, site: str, z: Sequence[float]) -> Tensor:
        return torch.tensor(z[: self.explorer.latent(site)], dtype=torch.float32)
