"""Figures: each a pure function of a Dataset or a FitResult that returns a plotly Figure."""

from __future__ import annotations

from typing import Any

from heterodyne_nb import old_paths
from heterodyne_nb.plots.batch import curves_against, parameters_against
from heterodyne_nb.plots.canvas import template_name
from heterodyne_nb.plots.comparison import comparison
from heterodyne_nb.plots.curves import compare_bands, compare_results, curves, referee
from heterodyne_nb.plots.cuts import g2_cuts
from heterodyne_nb.plots.export import FigureExportError, keep_stills, save_html, save_png
from heterodyne_nb.plots.fringes import dispersion, fringe_spectrum, velocity_polar
from heterodyne_nb.plots.maps import MapView, c2, map_view, reduce_map
from heterodyne_nb.plots.one_time import g2_grid, one_time_parameters, one_time_table
from heterodyne_nb.plots.paper import for_paper
from heterodyne_nb.plots.quality import chi2_by_angle, chi2_by_tile, convergence, correlation, intensity
from heterodyne_nb.plots.report import report
from heterodyne_nb.plots.robust import radius_path, worst_case, worst_case_maps
from heterodyne_nb.plots.statistics import (
    goodness_of_fit,
    identifiability,
    jackknife,
    model_comparison,
    profile,
)
from heterodyne_nb.plots.zoom import ZoomError, zoom_c2, zoom_comparison

__all__ = [
    "FigureExportError",
    "MapView",
    "ZoomError",
    "c2",
    "chi2_by_angle",
    "chi2_by_tile",
    "compare_bands",
    "compare_results",
    "comparison",
    "convergence",
    "correlation",
    "curves",
    "curves_against",
    "dispersion",
    "for_paper",
    "fringe_spectrum",
    "g2_cuts",
    "g2_grid",
    "goodness_of_fit",
    "identifiability",
    "intensity",
    "jackknife",
    "keep_stills",
    "map_view",
    "model_comparison",
    "one_time_parameters",
    "one_time_table",
    "parameters_against",
    "profile",
    "radius_path",
    "reduce_map",
    "referee",
    "report",
    "save_html",
    "save_png",
    "template_name",
    "velocity_polar",
    "worst_case",
    "worst_case_maps",
    "zoom_c2",
    "zoom_comparison",
]


def __getattr__(name: str) -> Any:
    return old_paths.renamed("plots", name)
