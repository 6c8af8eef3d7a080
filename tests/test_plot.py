"""Every figure of a run by name: as the study plotted it, as a file, of both recipes' sites."""

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from commands import command, told
from configs import micro
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from matplotlib.text import Text
from PIL import Image, ImageSequence
from pypdf import PdfReader
from shown_help import assert_example_runs
from torch import Tensor

import filtergan as fg
from filtergan import figures, study
from filtergan.config.site_names import SiteName
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.plot.gallery import FIGURES, PAPERS
from filtergan.plot.shown_walks import FRAMES, frames
from filtergan.study.opened import OpenedRun

pytestmark = pytest.mark.slow

NATURAL, LATE, EARLY = "conv2@activation/natural", "conv2@activation", "conv1@activation"
ORDER = EARLY, NATURAL, LATE
CUT = 1.5  # pixels at 100 an inch: the padding of letters


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedRun]:
    """A small study of three sites, by both recipes, with its figures painted."""
    threads, folder = torch.get_num_threads(), tmp_path_factory.mktemp("plotted") / "run"
    config = micro(
        layer=("conv2/natural", "conv2", "conv1"),
        traversal={"images": 2, "extent": 2.0},
    )
    study.run(config, folder, until="measure")
    yield fg.open_run(folder)
    torch.set_num_threads(threads)


# ------------------------------------------------------------------------- the figures of the study


def test_figures_are_those_of_the_study_byte_for_byte(run: OpenedRun) -> None:
    plain = {key: run.record.figures[key] for key in ("ceilings", "depth")}
    assert run.record.cnn is not None
    plain["cnn_curves"] = run.record.cnn.figures["curves"]
    for name, path in plain.items():
        figure = getattr(fg.plot, name)(run)
        assert figures.png(figure) == (run.path / path).read_bytes(), name
    for site in run.sites:
        own = run.record.sites[site].figures
        plots = {"filters": "filters", "map": "map", "curves": "curves", "traversal": "traversals"}
        for key, name in plots.items():
            figure = getattr(fg.plot, name)(run, site)
            assert figures.png(figure) == (run.path / own[key]).read_bytes(), (site, name)
        for n, image in enumerate(run.traversals(site)["grid_index"].tolist()):
            figure = fg.plot.traversal(run, site, image=image)
            assert figures.png(figure) == (run.path / own[f"grid_{n}"]).read_bytes()


def test_the_paper_s_figures_are_of_its_own_recipe_late_and_early(run: OpenedRun) -> None:
    for name, plot, site in (
        ("fig2", fg.plot.filters, LATE),
        ("fig3", fg.plot.traversals, LATE),
        ("fig4", fg.plot.traversals, EARLY),
        ("fig5", fg.plot.map, LATE),
    ):
        figure = getattr(fg.plot, name)(run)
        assert figures.png(figure) == figures.png(plot(run, site))
        said = fg.plot.caption(run, name)
        assert said.startswith(f"Fig. {name[-1]}: ")
        assert f"{site.split('@')[0]} read at activation" in said
        assert f"After fig. {name[-1]} of Kilcher" in said


def test_what_is_measured_has_figures_and_captions(run: OpenedRun) -> None:
    for name in FIGURES:
        figure = getattr(fg.plot, name)(run, width="85mm")
        assert figure.get_figwidth() == pytest.approx(85 / 25.4)
        assert fg.plot.caption(run, name).endswith("Data: digits, seed 0.")
    assert set(FIGURES) | {"animate", "caption", "save"} == set(dir(fg.plot))


def test_fields_and_their_caption_are_of_the_first_site_that_has_some(
    run: OpenedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "sites", [*map(SiteName.parse, ORDER)])
    assert "conv2 read at activation (natural)" in fg.plot.caption(run, "fields")
    assert "conv1 read at activation." in fg.plot.caption(run, "curves")
    assert figures.png(fg.plot.fields(run)) == figures.png(fg.plot.fields(run, NATURAL))


def test_fields_are_those_that_make_the_images(run: OpenedRun) -> None:
    """A flow that takes pixels from the right draws arrows to the left, whatever their scale."""
    source, flow = torch.rand(1, 8, 8), torch.zeros(2, 2, 8, 8)
    flow[0, 0], flow[1, 1] = 2.0, -0.5
    figure = figures.fields_figure(source, torch.rand(2, 1, 8, 8), {"flow": flow}, [0, 3], 2.0, "")
    (arrows,) = [one for axes in figure.axes for one in axes.collections if isinstance(one, Quiver)]
    right, down = (np.asarray(part).reshape(2, -1) for part in (arrows.U, arrows.V))
    assert (right[0] < 0).all()
    assert not down[0].any()
    assert (down[1] > 0).all()
    assert down[1] == pytest.approx(-right[0] / 4)
    words = {one.get_text() for one in figure.findobj(Text)}
    assert {"flow\nlongest 2 px", "z0", "z3"} <= words
    with pytest.raises(fg.UserError, match="searched pixel by pixel, not made by fields"):
        fg.plot.fields(run, LATE)


METHODS = ("OpenedRun.gan", "OpenedRun.measures", "OpenedRun.traversals")


@pytest.mark.parametrize("shown", [*(f"plot.{name}" for name in fg.plot.__all__), *METHODS])
def test_the_example_of_its_help_runs(
    run: OpenedRun,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a folder where `filtergan study` has made runs/digits."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(run.path)
    monkeypatch.chdir(tmp_path)
    owner, name = shown.split(".")
    what = getattr(OpenedRun if owner == "OpenedRun" else fg.plot, name)
    assert_example_runs(what.__doc__, name, capsys)


def outside_of_view(figure: Figure) -> list[Text]:
    """Labels of ticks beyond the limits of their axis, which are not drawn."""
    found = []
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        away = [tick for tick in ticks if not low <= tick.get_loc() <= high]
        found += [label for tick in away for label in (tick.label1, tick.label2)]
    return found


@pytest.mark.parametrize("width", ["60mm", "85mm", "250mm"])
def test_nothing_is_cut_at_any_width(run: OpenedRun, width: str) -> None:
    """Titles, labels of axes and of ticks, legends and what is written below: of every figure."""
    for name in set(FIGURES) - set(PAPERS):  # which are others of them
        figure = getattr(fg.plot, name)(run, width=width)
        assert_whole(figure, name)


@pytest.mark.parametrize("points", [5, 7, 9])
@pytest.mark.parametrize("width", [60, 85, 100, 120])
def test_no_label_of_a_large_grid_is_cut(width: int, points: int) -> None:
    square, ones = torch.ones(points, points), torch.ones(points, points, dtype=torch.bool)
    images = torch.rand(points, points, 1, 28, 28)
    offsets = torch.linspace(-2, 2, points).tolist()
    with figures.at_width(width / 25.4):
        title = "conv4 read at bn5 (natural): undone .77 (null .08), test image 3"
        values = (square, square, 0.7 * square, square, ones)
        figure = figures.grid_figure(images[0, 0], images, *values, (6, 1), offsets, title)
    assert_whole(figure, f"grid of {points}")


def assert_whole(figure: Figure, name: str) -> None:
    """No text reaches beyond the page; those of axes that are not shown, and of no tick, aside."""
    figure.draw_without_rendering()
    whole, hidden = figure.bbox, outside_of_view(figure)
    for text in figure.findobj(Text):
        seen = text.get_visible() and (text.axes is None or text.axes.get_visible())
        if seen and text.get_text().strip() and not any(text is one for one in hidden):
            box = text.get_window_extent()
            assert box.x0 > whole.x0 - CUT, (name, text)
            assert box.x1 < whole.x1 + CUT, (name, text)
            assert box.y0 > whole.y0 - CUT, (name, text)
            assert box.y1 < whole.y1 + CUT, (name, text)


# ------------------------------------------------------------------------------------------- walks


def test_a_transformer_walks_any_image_along_any_latent(run: OpenedRun) -> None:
    """The oracle: T(x, 0, z') at each offset, one by one."""
    gan = run.gan(NATURAL)
    assert isinstance(gan, NaturalGAN)
    image = 7
    assert image not in run.traversals(NATURAL)["grid_index"].tolist()
    x = run.dataset.test.pixels(torch.tensor([image]))
    figure = fg.plot.walk(run, NATURAL, image=image, latents=(2,))
    above, below = canvases(figure)[:2]
    zero = torch.zeros(1, gan.latent)
    wanted = []
    for offset in (-2.0, 0.0, 2.0):
        z = zero.clone()
        z[0, 2] = offset
        wanted.append(gan.transform(x, zero, z)[0])
    assert torch.equal(wanted[1], x[0])
    assert_tiles(above, torch.stack(wanted).repeat(1, 3, 1, 1))
    assert_tiles(below, torch.stack(wanted) - x)
    assert f"test image {image}" in " ".join(t.get_text() for t in figure.findobj(Text))


def canvases(figure: figures.Figure) -> list[np.ndarray]:
    """The pictures in a figure, in their order."""
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    return [np.asarray(canvas, dtype=float) for canvas in shown]


def assert_tiles(canvas: np.ndarray, wanted: Tensor) -> None:
    """A canvas has these images [k, c, h, w] side by side, each pixel several pixels wide."""
    k, _, h, w = wanted.shape
    large = -(-56 // max(h, w))
    for place, image in enumerate(wanted):
        left = place * (w * large + 3)
        tile = canvas[large // 2 : h * large : large, left + large // 2 : left + w * large : large]
        np.testing.assert_allclose(tile.squeeze(), image.permute(1, 2, 0).squeeze(), atol=1e-6)
    assert canvas.shape[1] == k * (w * large + 3) - 3


def test_a_plane_that_the_run_does_not_show(run: OpenedRun) -> None:
    """Its middle row is the walk along its second latent; its centre the image itself."""
    figure = fg.plot.traversal(run, NATURAL, image=5, latents=(1, 0))
    grid, change, *_ = canvases(figure)
    walked = fg.plot.walk(run, NATURAL, image=5, latents=(0,))
    row, moved = canvases(walked)[:2]
    step = row.shape[0] + 3
    np.testing.assert_allclose(grid[step : step + row.shape[0]], row, atol=1e-6)
    np.testing.assert_allclose(change[step : step + row.shape[0]], moved, atol=1e-6)
    text = " ".join(t.get_text() for t in figure.findobj(Text))
    assert "offset of z1" in text
    assert "test image 5" in text


def test_what_was_searched_is_shown_along_the_latents_of_its_grid(run: OpenedRun) -> None:
    tensors = run.traversals(LATE)
    image, (i, j) = int(tensors["grid_index"][1]), tensors["grid_dims"][1].tolist()
    grid = tensors["grid_images"][1].unflatten(0, (3, 3))
    x = run.dataset.test.pixels(tensors["grid_index"])[1]
    figure = fg.plot.walk(run, LATE, image=image)
    rows = canvases(figure)
    for n, line in enumerate((grid[:, 1], grid[1])):
        assert_tiles(rows[2 * n], line.repeat(1, 3, 1, 1))
        assert_tiles(rows[2 * n + 1], line - x)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"z{i}", f"z{j}"]


def test_frames_are_in_the_order_of_the_latent(run: OpenedRun, tmp_path: Path) -> None:
    """Each frame's differences are the transformer's, at growing offsets, and back again."""
    painted = frames(run, NATURAL, image=3, latents=(1,), width="60mm")
    assert len(painted) == FRAMES
    dots = [_dot(frame) for frame in painted]
    assert all(a < b for a, b in itertools.pairwise(dots))
    for ending in ("gif", "webp"):
        path = tmp_path / f"walk.{ending}"
        fg.plot.animate(run, path, NATURAL, image=3, latents=(1,), width="60mm")
        with Image.open(path) as film:
            assert film.info["loop"] == 0
            shown = [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(film)]
        assert len(shown) == 2 * FRAMES - 2
        there = [_dot(frame) for frame in shown]
        assert there[:FRAMES] == pytest.approx(dots, abs=1)
        assert there[FRAMES:] == pytest.approx(dots[-2:0:-1], abs=1)
        if ending == "webp":
            np.testing.assert_array_equal(shown[:FRAMES], painted)
    searched = frames(run, LATE, width="60mm")
    assert len(searched) == 3  # points of a grid, and none between them


def _dot(frame: np.ndarray) -> float:
    """Where the slider's dot stands: columns of the style's blue in the lower part of a frame."""
    low = frame[int(0.7 * len(frame)) :].astype(int)
    blue = (np.abs(low - (0x2A, 0x86, 0xD8)).max(axis=-1) < 12).any(axis=0)
    return float(np.flatnonzero(blue).mean())


# ------------------------------------------------------------------------------------------- files


def test_a_pdf_has_the_width_asked_for_and_its_fonts(run: OpenedRun, tmp_path: Path) -> None:
    said = command("figure", run.path, "walk", "--width", "85mm", "--out", tmp_path / "w.pdf")
    reader = PdfReader(tmp_path / "w.pdf")
    (sheet,) = reader.pages
    assert float(sheet.mediabox.width) == pytest.approx(85 / 25.4 * 72, abs=0.01)
    fonts = [font.get_object() for font in sheet["/Resources"]["/Font"].values()]  # pyright: ignore[reportIndexIssue]
    assert fonts
    for font in fonts:
        assert font["/Subtype"] == "/Type0"
        (letters,) = font["/DescendantFonts"]
        assert "/FontFile2" in letters.get_object()["/FontDescriptor"].get_object()
    assert reader.metadata is not None
    assert str(reader.metadata.subject) in said
    assert said.startswith(f"The figure: {tmp_path / 'w.pdf'}\n")
    asked = ("figure", run.path, "labels", "-o", tmp_path / "l.png", "--json", "-q")
    told_of = {"figure": str(tmp_path / "l.png"), "caption": fg.plot.caption(run, "labels")}
    assert json.loads(command(*asked)) == told_of
    assert "conv2 read at activation" in sheet.extract_text()
    before = (tmp_path / "w.pdf").read_bytes()
    command("figure", run.path, "walk", "--width", "85mm", "--out", tmp_path / "w.pdf")
    assert (tmp_path / "w.pdf").read_bytes() == before


def test_an_svg_needs_no_font_and_a_png_is_fine(run: OpenedRun, tmp_path: Path) -> None:
    figure = fg.plot.labels(run, width="3.5in")
    fg.plot.save(figure, tmp_path / "l.svg", caption="What is seen.")
    root = ElementTree.parse(tmp_path / "l.svg").getroot()
    assert root.attrib["width"] == "252pt"
    assert not root.findall(".//{http://www.w3.org/2000/svg}text")
    assert "What is seen." in (tmp_path / "l.svg").read_text()
    fg.plot.save(figure, tmp_path / "l.png", caption="What is seen.")
    with Image.open(tmp_path / "l.png") as image:
        assert image.width == 2100
        assert image.info["Description"] == "What is seen."


@pytest.mark.parametrize(("width", "inches"), [("85mm", 85 / 25.4), (" 8.5 CM", 8.5 / 2.54)])
def test_widths_in_units(width: str, inches: float) -> None:
    assert figures.inches(width) == pytest.approx(inches)
    assert figures.inches("252pt") == figures.inches("3.5in") == 3.5


# ---------------------------------------------------------------------------------------- mistakes


def test_mistakes_are_told_in_sentences(
    run: OpenedRun,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run.traversals(LATE)["grid_index"].tolist()
    down, across = run.traversals(LATE)["grid_dims"][0].tolist()
    other = next(k for k in range(3) if k not in (down, across))
    listed = ", ".join(FIGURES)
    for asked, sentence in (
        ((), f"Name a figure: {listed}."),
        (("grid",), f"There is no figure 'grid'; the figures are {listed}."),
        (
            ("walk", "--site", "conv9@activation"),
            f"has no site 'conv9@activation'; it has {NATURAL}",
        ),
        (("walk", "--width", "85"), "The width '85' cannot be read; give a number and its unit"),
        (("walk", "--width", "5mm"), "A figure cannot be 5mm wide; give a width from 58mm to"),
        (("walk", "--image", "40"), "There is no test image 40; their numbers are 0 to 39."),
        (("walk", "--latents", "9"), f"There is no latent 9 at {NATURAL}; their numbers are 0 to"),
        (("traversal", "--latents", "1"), "A plane takes two different latents, as in 0 and 1."),
        (
            ("walk", "--site", LATE, "--image", "39"),
            f"for the test images {', '.join(map(str, shown))} alone; name one of these.",
        ),
        (
            ("walk", "--site", LATE, "--latents", str(other)),
            f"was searched over latents {down} and {across} alone; name these.",
        ),
        (("map", "--format", "gif"), "Only a walk can move; map is written as pdf, svg, png."),
        (("walk", "--format", "gif", "--latents", "0", "1"), "along one latent; name one."),
        (
            ("walk", "--site", LATE, "--format", "gif", "--latents", "9"),
            f"No grid of {LATE} goes along z9",
        ),
        (("map", "--image", "1"), "The figure map takes no --image."),
        (("map", "--out", "map.jpg"), "map.jpg ends in none of .pdf, .svg, .png"),
        (("map", "--out", "map.pdf", "--format", "svg"), "map.pdf does not end in .svg"),
    ):
        assert sentence in told(capsys, "figure", run.path, *asked)
    assert list(tmp_path.iterdir()) == []
    assert "holds no study" in told(capsys, "figure", tmp_path, "walk")


def test_what_is_not_done_yet_is_said(begun: Path) -> None:
    """A study with generators, whose images are not walked yet."""
    site = "conv2@activation"
    assert fg.plot.filters(begun).axes
    for plot, sentence in (
        (fg.plot.walk, f"has not finished traverse at '{site}' yet; continue it with --resume"),
        (fg.plot.kinds, f"has not finished measure at '{site}' yet"),
        (fg.plot.depth, "takes 3 sites or more; the run in .* has 2"),
        (fg.plot.fig3, "has not finished traverse"),
    ):
        with pytest.raises(fg.UserError, match=sentence):
            plot(begun)


def test_a_figure_can_be_shown_as_any_other(run: OpenedRun) -> None:
    content = io.BytesIO()
    fg.plot.traversal(str(run.path)).savefig(content, format="png", dpi=50)
    with Image.open(content) as image:
        assert image.width == 360
