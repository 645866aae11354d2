"""What can be looked at of a result: each view is a figure, a text, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.errors import HeterodyneError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult

__all__ = ["VIEWS", "View"]

#: Ages at which g2 is cut, as parts of the run.
_AGES = (0.15, 0.4, 0.65)


@dataclass(frozen=True)
class View:
    """One view of a result.

    Attributes
    ----------
    figures : list of plotly.graph_objects.Figure
    text : str
        HTML below the figures.
    """

    figures: tuple[go.Figure, ...] = ()
    text: str = ""


Draw = Callable[[AnalysisSession, FitResult, str], View]


def _curves(session: AnalysisSession, result: FitResult, theme: str) -> View:
    return View((plots.curves(result, theme=theme),), _flags(result))


def _g2(session: AnalysisSession, result: FitResult, theme: str) -> View:
    ds = _data(session)
    ages: list[float] | None = None
    if "c2" in ds and not ModelFactory.create_model(result.mode).one_time:
        t = ds["t"].values
        ages = [float(t[round(part * (t.size - 1))]) for part in _AGES]
    return View((plots.g2_cuts(ds, bin=session.bin, ages=ages, result=result, theme=theme),))


def _maps(session: AnalysisSession, result: FitResult, theme: str) -> View:
    figure = plots.comparison(_data(session), result, bin=session.bin, max_size=250, theme=theme)
    return View((figure,))


def _table(session: AnalysisSession, result: FitResult, theme: str) -> View:
    return View((), result._repr_html_())


def _identifiability(session: AnalysisSession, result: FitResult, theme: str) -> View:
    found = result.identifiability()
    return View((plots.identifiability(result, theme=theme),), found._repr_html_())


def _goodness(session: AnalysisSession, result: FitResult, theme: str) -> View:
    figures = [plots.chi2_by_angle(result, theme=theme)]
    if not ModelFactory.create_model(result.mode).one_time:
        figures.append(plots.chi2_by_tile(result, dataset=_data(session), bin=session.bin, theme=theme))
    return View(tuple(figures), _flags(result))


def _derived(session: AnalysisSession, result: FitResult, theme: str) -> View:
    return View((), result.derived()._repr_html_())


#: Views by the words on their buttons.
VIEWS: dict[str, Draw] = {
    "curves": _curves,
    "parameters": _table,
    "g₂ and model": _g2,
    "data and model": _maps,
    "identifiability": _identifiability,
    "goodness of fit": _goodness,
    "derived": _derived,
}


def _data(session: AnalysisSession) -> xr.Dataset:
    assert session.shown is not None
    return session.data_of(session.shown)


def _flags(result: FitResult) -> str:
    """What deserves suspicion, most serious first."""
    try:
        flags = result.flags
    except HeterodyneError as error:
        return escape(str(error))
    style = "border-left:4px solid {};padding:2px 10px;margin:3px 0;line-height:1.4"
    lines = [
        f'<div style="{style.format("#D55E00" if one.serious else "#8a8a8a")}">{escape(one.text)}</div>'
        for one in flags
    ]
    return "".join(lines) or '<div style="opacity:0.75">Nothing in this fit looks suspicious.</div>'
