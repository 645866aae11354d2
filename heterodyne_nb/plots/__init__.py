"""Figures: each a pure function of a Dataset or a FitResult that returns a plotly Figure."""

from heterodyne_nb.plots.comparison import comparison
from heterodyne_nb.plots.curves import compare_results, curves
from heterodyne_nb.plots.maps import c2
from heterodyne_nb.plots.quality import chi2_by_angle, convergence, correlation
from heterodyne_nb.plots.reduce import reduce_map

__all__ = [
    "c2",
    "chi2_by_angle",
    "compare_results",
    "comparison",
    "convergence",
    "correlation",
    "curves",
    "reduce_map",
]
