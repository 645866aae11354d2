"""Masked frames, drawn so that nobody takes them for data, and uncertainty bands."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.plots import canvas

_HATCH = {"light": ("rgba(120, 126, 138, 0.55)", "#FFFFFF"), "dark": ("rgba(120, 128, 140, 0.55)", "#14181D")}


def masked_runs(used: np.ndarray, times: np.ndarray) -> list[tuple[float, float]]:
    """Time spans (s) of the runs of frames that are not used, each frame reaching half a step either way.

    Parameters
    ----------
    used : bool array, shape (n,)
        True where a frame is used.
    times : array, shape (n,)
        Frame times in s, increasing.
    """
    step = float(np.median(np.diff(times))) if times.size > 1 else 1.0
    edges = np.diff(np.concatenate([[0], (~used).astype(int), [0]]))
    firsts, lasts = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return [(times[i] - step / 2, times[j] + step / 2) for i, j in zip(firsts, lasts, strict=True)]


def map_bands(
    used: np.ndarray, times: np.ndarray, *, theme: str, show_legend: bool = True
) -> go.Scatter | None:
    """One trace that hatches the rows and columns of masked frames on a map; None when all are used."""
    runs = masked_runs(used, times)
    if not runs:
        return None
    step = float(np.median(np.diff(times))) if times.size > 1 else 1.0
    low, high = times[0] - step / 2, times[-1] + step / 2
    x: list[float | None] = []
    y: list[float | None] = []
    for first, last in runs:
        for left, right, bottom, top in ((first, last, low, high), (low, high, first, last)):
            x += [left, right, right, left, left, None]
            y += [bottom, bottom, top, top, bottom, None]
    return go.Scatter(x=x[:-1], y=y[:-1], showlegend=show_legend, **_hatched(theme))


def trace_bands(
    used: np.ndarray, times: np.ndarray, limits: tuple[float, float], *, theme: str
) -> go.Scatter | None:
    """One trace that hatches the masked frames between two heights of a plot against time."""
    runs = masked_runs(used, times)
    if not runs:
        return None
    bottom, top = limits
    x: list[float | None] = []
    y: list[float | None] = []
    for first, last in runs:
        x += [first, last, last, first, first, None]
        y += [bottom, bottom, top, top, bottom, None]
    return go.Scatter(x=x[:-1], y=y[:-1], **_hatched(theme))


def _hatched(theme: str) -> dict:
    background, stripes = _HATCH[canvas.check_theme(theme)]
    return {
        "name": "masked frames",
        "legendgroup": "masked frames",
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillpattern": {"shape": "/", "bgcolor": background, "fgcolor": stripes, "size": 6, "solidity": 0.25},
        "hoverinfo": "skip",
    }
