"""Reduced chi-square against time while a fit runs, stage by stage."""

from __future__ import annotations

import time

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.panel import Panel
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.plots import canvas

__all__ = ["Chi2Trace", "trace_figure"]

_EVERY = 0.25
_MOST = 600


class Chi2Trace(Panel):
    """The course of the fit that runs, or ran last.

    Attributes
    ----------
    figure : LiveFigure
    """

    def __init__(self, session: AnalysisSession, height: int = 330) -> None:
        super().__init__(session)
        self.figure = LiveFigure(height)
        self.widget = widgets.VBox([self.figure.widget, self.message, self.page])
        self._drawn_at = 0.0
        self.watch(session, "progress", self._follow)
        self.watch(session, "status", self._ended)
        self.watch(self.page, "theme", self.draw)
        self.draw()

    def draw(self) -> None:
        """Draw the whole course."""
        self._drawn_at = time.monotonic()
        self.figure.draw(trace_figure(self.session.trace, self.page.theme))

    def _follow(self) -> None:
        if self.session.status != "idle" and time.monotonic() - self._drawn_at >= _EVERY:
            self.draw()

    def _ended(self) -> None:
        if self.session.status == "idle":
            self.draw()

    def close(self) -> None:
        """Also take the figure away."""
        self.figure.close()
        super().close()


def trace_figure(course: list[tuple[float, float, str]], theme: str = "light") -> go.Figure:
    """Reports of a fit, thinned for the page; the best so far is a line.

    Parameters
    ----------
    course : list of (seconds, reduced chi-square, stage)
    theme : {"light", "dark"}
    """
    seconds = np.array([one[0] for one in course])
    chi2 = np.array([one[1] for one in course])
    some = np.unique(np.linspace(0, seconds.size - 1, min(_MOST, seconds.size)).round().astype(int))
    best = np.minimum.accumulate(np.where(np.isfinite(chi2), chi2, np.inf))
    figure = go.Figure(layout={"template": canvas.template_name(theme)})
    figure.add_scatter(
        x=seconds[some],
        y=chi2[some],
        mode="markers",
        marker={"size": 5, "color": canvas.faint(theme), "opacity": 0.6},
        name="tried",
        text=[course[k][2].replace("_", " ") for k in some],
        hovertemplate="%{text}<br>%{x:.2f} s<br>χ²ᵣ = %{y:.6g}",
    )
    figure.add_scatter(
        x=seconds[some],
        y=best[some],
        mode="lines",
        line={"color": canvas.line_colour(0, theme), "width": 2, "shape": "hv"},
        name="best so far",
        hovertemplate="%{x:.2f} s<br>χ²ᵣ = %{y:.6g}",
    )
    finite = chi2[np.isfinite(chi2) & (chi2 > 0)]
    log = finite.size > 1 and finite.max() > 5 * finite.min()
    figure.update_xaxes(title_text="time (s)", rangemode="tozero")
    if not course:
        figure.update_xaxes(range=[0, 10])
        figure.update_yaxes(range=[0, 2])
        figure.add_annotation(
            text="χ² appears here while a fit runs", x=5, y=1, font={"color": canvas.faint(theme)}
        )
    figure.update_yaxes(title_text="reduced χ²", type="log" if log else "linear", tickformat="~g")
    figure.update_layout(
        margin={"l": 62, "r": 14, "t": 34, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )
    return figure
