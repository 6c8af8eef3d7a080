"""The figures of a study, as in the paper; the only importer of matplotlib."""

from filtergan.figures.curves import curves_figure, intervals_figure
from filtergan.figures.depth import depth_figure
from filtergan.figures.directions import directions_figure
from filtergan.figures.drawn_fields import fields_figure
from filtergan.figures.filter_sets import filters_figure, mds_figure
from filtergan.figures.grids import grid_figure, grids_figure
from filtergan.figures.ignored import ignored_figure
from filtergan.figures.shares import distances_figure, latents_figure, shares_figure
from filtergan.figures.strips import walk_figure, walk_frames
from filtergan.figures.style import Figure, at_width, html, png, save, short
from filtergan.figures.undone import ceilings_figure
from filtergan.figures.written import animated, inches, written

__all__ = [
    "Figure",
    "animated",
    "at_width",
    "ceilings_figure",
    "curves_figure",
    "depth_figure",
    "directions_figure",
    "distances_figure",
    "fields_figure",
    "filters_figure",
    "grid_figure",
    "grids_figure",
    "html",
    "ignored_figure",
    "inches",
    "intervals_figure",
    "latents_figure",
    "mds_figure",
    "png",
    "save",
    "shares_figure",
    "short",
    "walk_figure",
    "walk_frames",
    "written",
]
