"""Figures: each a pure function of a Dataset or a FitResult that returns a plotly Figure."""

from __future__ import annotations

from typing import Any

from heterodyne_nb import old_paths
from heterodyne_nb.plots.batch import parameters_against
from heterodyne_nb.plots.batch_curves import curves_against
from heterodyne_nb.plots.canvas import template_name
from heterodyne_nb.plots.compare import compare_bands, compare_results
from heterodyne_nb.plots.comparison import comparison
from heterodyne_nb.plots.criticised import criticism
from heterodyne_nb.plots.curves import curves
from heterodyne_nb.plots.cuts import g2_cuts
from heterodyne_nb.plots.dispersion import dispersion
from heterodyne_nb.plots.export import FigureExportError, keep_stills, save_html, save_png
from heterodyne_nb.plots.fringes import fringe_spectrum
from heterodyne_nb.plots.identified import identifiability
from heterodyne_nb.plots.influence import influence
from heterodyne_nb.plots.intensity import intensity
from heterodyne_nb.plots.maps import MapView, c2, map_view, reduce_map
from heterodyne_nb.plots.models_compared import model_comparison
from heterodyne_nb.plots.paper import for_paper
from heterodyne_nb.plots.profiled import profile
from heterodyne_nb.plots.quality import chi2_by_angle, convergence, correlation
from heterodyne_nb.plots.report import report
from heterodyne_nb.plots.robust import radius_path, worst_case, worst_case_maps
from heterodyne_nb.plots.tiles import chi2_by_tile
from heterodyne_nb.plots.velocity import velocity_polar
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
    "criticism",
    "curves",
    "curves_against",
    "dispersion",
    "for_paper",
    "fringe_spectrum",
    "g2_cuts",
    "identifiability",
    "influence",
    "intensity",
    "keep_stills",
    "map_view",
    "model_comparison",
    "parameters_against",
    "profile",
    "radius_path",
    "reduce_map",
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
    if f"{__name__}.{name}" in old_paths.MODULES:
        return old_paths.moved_module(f"plots.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
