"""Figures: drawn without warnings for every shape, marked where they should be, written whole."""

import io
import itertools

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances

from filtergan import figures
from filtergan.figures import depth, style
from filtergan.images import palette
from filtergan.runs.record import MeasureRecord


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count):
    return (
        torch.tensor(
            load_digits(return_X_y=True)[0][:count].reshape(-1, 1, 8, 8), dtype=torch.float32
        )
        / 16
    )


def traversal(source, size=5):
    """A made-up grid: brightness down, a shift across."""
    middle = size // 2
    grid = torch.stack(
        [
            torch.stack(
                [torch.roll(source, b - middle, -1) * (0.5 + 0.25 * a) for b in range(size)]
            )
            for a in range(size)
        ]
    )
    change = (grid - source).flatten(2).norm(dim=2) / source.norm()
    after = change / 2
    change[middle, middle] = after[middle, middle] = 0
    share = torch.where(change == 0, torch.nan, 1 - after / change)
    kept = torch.ones(size, size, dtype=torch.bool)
    kept[0, 1] = False
    return grid, change, after, share, change, kept


def texts(figure):
    return " ".join(t.get_text() for t in figure.findobj(Text))


def frames(figure):
    found = [p.get_edgecolor() for p in figure.findobj(Rectangle) if not p.get_fill()]
    return sum(c[:3] == to_rgb(palette.RED) for c in found), sum(
        c[:3] == to_rgb(palette.BLUE) for c in found
    )


def opened(figure):
    return Image.open(io.BytesIO(figures.png(figure)))


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (3, 1, 7, 5), (1, 12, 1, 1)])
@pytest.mark.parametrize("draws", [1, 9])
def test_filters_figure(shape, draws):
    real = torch.randn(shape, generator=seeded())
    figure = figures.filters_figure(real, real + torch.randn(draws, *shape, generator=seeded(1)))
    assert "real" in texts(figure)
    assert f"draw {min(draws, 6)}" in texts(figure)
    assert opened(figure).width == style.WIDTH * style.DPI


def test_filters_of_zeros_can_be_drawn():
    assert opened(figures.filters_figure(torch.zeros(2, 2, 3, 3), torch.zeros(2, 2, 2, 3, 3)))


@pytest.mark.parametrize("size", [3, 7, 11])
def test_grid_figure_marks_the_centre_and_changed_labels(size):
    source = images(1)[0]
    offsets = np.linspace(-3, 3, size).tolist()
    figure = figures.grid_figure(
        source,
        *traversal(source, size),
        (3, 5),
        offsets,
        "Traversal at conv4",
        compensation_null=0.27,
    )
    assert frames(figure) == (1, 1)
    text = texts(figure)
    assert "offset of z3" in text
    assert "offset of z5" in text
    assert "(null .27)" in text
    assert f"{size**2 - 2} of {size**2 - 1}" in text  # the centre is no evidence
    opened(figure)


def test_failures_stand_above_the_images_and_not_across_them():
    source = images(1)[0]
    values, offsets = traversal(source), [-2.0, -1.0, 0.0, 1.0, 2.0]
    failures = ("not repeatable", "off the manifold")
    grid, before, after, share, change, kept = (value[None] for value in values)
    numbers = before, after, share, change, kept
    for figure in (
        figures.grid_figure(source, *values, (0, 1), offsets, "x", failures=failures),
        figures.grids_figure(grid, *numbers, [(0, 1)], offsets, "x", failures=failures),
    ):
        figure.draw_without_rendering()
        said = [t for t in figure.findobj(Text) if "off the manifold" in t.get_text()]
        assert [text.get_text() for text in said] == ["but not repeatable; off the manifold"]
        assert to_rgb(said[0].get_color()) == to_rgb(palette.RED)
        tops = [axes.get_window_extent().y1 for axes in figure.axes if axes.images]
        assert said[0].get_window_extent().y0 > max(tops)


def test_a_changed_label_at_the_centre_is_not_hidden():
    source = images(1)[0]
    values = traversal(source)
    values[-1][2, 2] = False
    figure = figures.grid_figure(source, *values, (0, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], "x")
    assert frames(figure) == (2, 0)


def test_colour_images_are_drawn_in_colour():
    source = torch.zeros(3, 6, 4)
    source[0] = 1
    values = traversal(source)
    figure = figures.grid_figure(source, *values, (0, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], "red")
    pixels = np.asarray(opened(figure))[..., :3].reshape(-1, 3)
    assert (pixels == (255, 0, 0)).all(axis=1).any()


@pytest.mark.parametrize("count", [1, 5, 8])
def test_grids_figure(count):
    parts = zip(*map(traversal, images(count)), strict=True)
    grids, before, after, share, change, kept = (torch.stack(part) for part in parts)
    figure = figures.grids_figure(
        grids,
        before,
        after,
        share,
        change,
        kept,
        [(0, 1)] * count,
        [-3.0, -1.5, 0.0, 1.5, 3.0],
        "Traversals",
        compensation_null=0.27,
    )
    assert frames(figure) == (count, count)
    assert texts(figure).count("labels 23/24") == count
    assert "null of compensation .27" in texts(figure)
    opened(figure)


def test_map_keeps_distances_that_a_plane_can_keep():
    """Filters that lie on a plane in weight space are mapped with their exact distances."""
    plane = torch.linalg.qr(torch.randn(20, 2, generator=seeded()))[0]
    centres = 5 * torch.randn(3, 1, 2, generator=seeded(1))
    places = torch.cat([centres, centres + torch.randn(3, 6, 2, generator=seeded(2))], dim=1)
    filters = places @ plane.T
    figure = figures.mds_figure(filters[:, 0], filters[:, 1:], [3, 17, 40], seed=0)
    assert "stress 0.00" in texts(figure)
    numbers = {t.get_text(): t.xy for t in figure.findobj(Annotation)}
    assert list(numbers) == ["3", "17", "40"]  # of the filters, not of the stars
    axes = figure.axes[0]
    assert axes.get_xlabel() == axes.get_ylabel() == ""  # neither means anything by itself
    assert "distance between two points" in texts(figure)
    drawn = [np.asarray(c.get_offsets()) for c in figure.axes[0].collections]
    clouds, stars = np.stack(drawn[:3]), np.stack(drawn[3:])
    np.testing.assert_array_equal(np.stack(list(numbers.values())), stars[:, 0])
    mapped = np.concatenate([stars, clouds], axis=1).reshape(-1, 2)
    expected = pairwise_distances(filters.reshape(-1, 20).numpy())
    assert np.allclose(pairwise_distances(mapped), expected, atol=0.05)


def event(step, stage="train-gan conv4", **values):
    return {"stage": stage, "step": step, "seconds": step / 9, "samples": 64 * step, **values}


def test_curves_have_one_axis_per_unit_and_skip_what_is_no_curve():
    events = [
        event(s, discriminator=1.3, generator=0.7, information=1 / s, score_real=0.1, accuracy=None)
        for s in range(1, 9)
    ] + [event(5, accuracy=0.9), event(1, stage="train-cnn", loss=2.0)]
    figure = figures.curves_figure(events, "train-gan conv4")
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["loss", "error of Q (chance: 1)", "discriminator's score", "accuracy"]
    loss, accuracy = figure.axes[0], figure.axes[3]
    assert [line.get_label() for line in loss.lines] == ["discriminator", "generator"]
    assert np.asarray(accuracy.lines[0].get_xydata()).tolist() == [[5, 0.9]]
    opened(figure)


def test_curves_of_the_joint_training_show_what_is_undone():
    names = ("labels", "compensation", "before", "after", "change", "reading")
    events = [event(step, **dict.fromkeys(names, 0.1)) for step in (1, 2)]
    figure = figures.curves_figure(events, "train-gan conv4")
    shown = {a.get_title(): len(a.lines) for a in figure.axes if a.get_visible()}
    assert shown == {
        "change of labels, nats": 1,
        "log compensation": 1,
        "change of response": 2,
        "change of image, norms": 1,
        "error of reader (chance: 1)": 2,  # and chance
    }


def test_curves_of_nothing():
    assert "nothing was logged" in texts(figures.curves_figure([], "train-cnn"))


def test_intervals_figure_leaves_out_what_is_missing():
    rows = [
        ("ours", MeasureRecord(value=0.98, ci95=(0.97, 0.99)), False),
        ("control", MeasureRecord(value=0.97), True),
        ("missing", MeasureRecord(), True),
    ]
    figure = figures.intervals_figure(rows, "accuracy")
    assert "0.9800" in texts(figure)
    assert "missing" not in texts(figure)
    opened(figure)


def share(value, low=None, high=None):
    return MeasureRecord(value=value, ci95=(low, high))


def test_shares_have_one_panel_per_family_and_leave_out_what_is_missing():
    panels = {
        "affine": {"ours": share(0.3, 0.2, 0.4), "null": share(0.1), "noise": share(None)},
        "width": {"ours": share(0.6, 0.5, 0.7), "noise": share(0.0, 0.0, 0.0)},
    }
    figure = figures.shares_figure(panels, "ours", controls=("null",))
    assert len(figure.axes) == 2
    dots = [[line for line in axes.lines if line.get_marker() == "o"] for axes in figure.axes]
    assert [len(found) for found in dots] == [2, 2]
    assert "not to be believed" not in texts(figure)
    figure = figures.shares_figure(panels, "ours", failures=("off the manifold", "not repeatable"))
    assert "ours not to be believed: off the manifold; not repeatable" in texts(figure)
    (label,) = [t for t in figure.axes[0].get_yticklabels() if t.get_text() == "ours"]
    assert to_rgb(label.get_color()) == to_rgb(palette.RED)
    opened(figure)


def test_distances_are_in_order_and_the_line_to_reach_is_in_sight():
    curve = [(4.0, share(0.97, 0.96, 0.98)), (1.0, share(1.0, 1.0, 1.0)), (2.5, share(None))]
    figure = figures.distances_figure({"network": curve}, "labels kept", 0.95)
    (axes,) = figure.axes
    drawn = next(line for line in axes.lines if line.get_label() == "network")
    assert np.asarray(drawn.get_xdata()).tolist() == [1.0, 4.0]
    assert axes.get_ylim()[0] < 0.95
    assert axes.get_ylim()[1] > 1
    assert "to reach: .95" in texts(figure)
    opened(figures.distances_figure({"network": curve}, "kept", 0.95, ("not repeatable",)))


def cut_dots(figure):
    """Dots of which a part lies outside of their axes, or of the figure, and so is not shown."""
    figure.canvas.draw()
    cut = 0
    for axes in figure.axes:
        for line in (line for line in axes.lines if line.get_marker() == "o"):
            reach = line.get_markersize() / 2 * figure.dpi / 72
            place = axes.transData.transform(np.asarray(line.get_xydata(), dtype=float))
            box = axes.get_window_extent() if line.get_clip_on() else figure.bbox
            cut += int(((place - reach < box.min) | (place + reach > box.max)).any())
    return cut


def test_no_dot_is_cut_at_the_ends_of_its_axis():
    ends = {name: share(value, value, value) for name, value in (("a", 0.0), ("b", 1.0))}
    panels = {f"family {i}": ends for i in range(8)}
    assert cut_dots(figures.shares_figure(panels, "a", controls=("b",))) == 0
    curves = {name: [(1.0, entry), (6.0, entry)] for name, entry in ends.items()}
    assert cut_dots(figures.distances_figure(curves, "labels kept", 0.95)) == 0
    only = {"all kept": curves["b"]}
    assert cut_dots(figures.distances_figure(only, "labels kept", 0.95)) == 0
    rows = [(name, entry, False) for name, entry in ends.items()]
    assert cut_dots(figures.intervals_figure(rows, "accuracy")) == 0
    sites = {f"{name}@activation": {"labels_kept": entry} for name, entry in ends.items()}
    assert cut_dots(figures.depth_figure(sites, converged=list(sites), believed=list(sites))) == 0


def test_latents_colour_only_shifts_that_are_sure():
    shifts = {
        "thickness": [(0.8, 0.5, 1.1), (-0.1, -0.3, 0.1)],
        "slant": [(None, None, None), (-0.6, -0.7, -0.5)],
    }
    shares = {"affine": [0.2, None], "warp": [0.7, 0.9]}
    figure = figures.latents_figure(["z0", "z1"], shifts, shares, ("off the manifold",))
    heat = figure.axes[0].images[0].get_array()
    assert heat is not None
    np.testing.assert_array_equal(np.isnan(np.asarray(heat, dtype=float)), [[0, 1], [1, 0]])
    for text in ("+0.8", f"{style.MINUS}0.6", "0.90", "not to be believed: off the manifold"):
        assert text in texts(figure)
    opened(figure)
    assert len(figures.latents_figure(["z0", "z1"], {}, shares).axes) == 2


def test_figures_do_not_depend_on_the_users_style_and_leave_it_alone():
    plain = figures.png(figures.curves_figure([event(1, loss=1.0), event(2, loss=2.0)], "x"))
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        styled = figures.png(figures.curves_figure([event(1, loss=1.0), event(2, loss=2.0)], "x"))
        assert matplotlib.rcParams["font.size"] == 30
    assert plain == styled


def test_save_writes_a_whole_png(tmp_path):
    path = tmp_path / "figures" / "curves.png"
    figures.save(figures.curves_figure([event(1, loss=1.0)], "train-gan conv4"), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
    assert [p.name for p in path.parent.iterdir()] == ["curves.png"]


def found(value, null=0.1):
    return MeasureRecord(value=value, ci95=(value - 0.02, value + 0.02), null=null)


@pytest.mark.parametrize("count", [3, 20])
def test_depth_figure_marks_what_is_not_to_be_believed(count):
    names = [f"net.stages.{i // 5}.blocks.{i % 5}.conv@activation" for i in range(count)]
    sites = {
        name: {"filter_spread": found(0.1 + i / 50), "compensation": found(0.2)}
        for i, name in enumerate(names)
    }
    figure = figures.depth_figure(sites, converged=names[1:], believed=names[:-1])

    def hollow(title):
        axes = next(a for a in figure.axes if a.get_title() == title)
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert np.concatenate([dot.get_xdata() for dot in dots]).tolist() == list(range(count))
        return [i for i, dot in enumerate(dots) if dot.get_markerfacecolor() == "white"]

    assert hollow("spread of the filters / ‖W‖") == [0]
    assert hollow("compensation") == [0, count - 1]
    assert texts(figure).count("not measured") == 7
    assert "all read at activation" in texts(figure)
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert labels == [f"{i // 5}.blocks.{i % 5}" for i in range(count)] or count == 3
    assert opened(figure).width == style.WIDTH * style.DPI
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[-1].get_xticklabels()]
    if count == 20:
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_depth_figure_names_readings_that_differ():
    sites = ("net.a.conv@activation", "net.a.conv@net.b.bn", "net.b.conv@activation")
    figure = figures.depth_figure({site: {} for site in sites}, converged=(), believed=())
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert labels == ["a@activation", "a@net.b.bn", "b@activation"]
    assert not any("all read at" in text for text in texts(figure))


def test_names_are_shortened_and_stay_apart():
    def short(*names):
        return depth.abbreviated(names)

    assert short("conv1", "conv2") == ["conv1", "conv2"]
    assert short("a.b.0.conv", "a.b.1.conv") == ["0", "1"]
    assert short("a.b", "a.b.c") == ["b", "b.c"]
    assert short("a.b.c", "b.c") == ["a.b", "b"]
    long = short("x" * 30, "y" * 30)
    assert all(len(name) <= depth.LONGEST for name in long)
    alike = short("x" * 15 + "1" + "x" * 15, "x" * 15 + "2" + "x" * 15)
    assert len(set(alike)) == 2
