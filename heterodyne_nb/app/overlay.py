"""While fitting: g2 of the bin shown with the model at a few ages, and the course of chi-square."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from heterodyne_nb import plots
from heterodyne_nb.app.cut_panel import clear_age
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.panel import Panel, heading, heading_html, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.selection import places
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.bin_model import Window, model_cut
from heterodyne_nb.plots.select import one_bin
from heterodyne_nb.result import FitResult

__all__ = ["Chi2Trace", "Overlay", "trace_figure"]

_KINDS = (("along rows: age = t₁", "row"), ("across the diagonal: age = (t₁ + t₂)/2", "diagonal"))
#: Ages at first, as parts of the run, and the width of the window around each.
_AGES, _WIDTH = (0.15, 0.4, 0.65), 0.05
#: Least time between two pictures of a running fit, in seconds.
_EVERY = 0.2


class Overlay(Panel):
    """Points of g2 at three ages and the model through them; a slider of a parameter moves the lines at once.

    Attributes
    ----------
    heading : ipywidgets.HTML
        Says which bin is drawn.
    kind : ipywidgets.Dropdown
        ``"row"`` or ``"diagonal"``.
    figure : LiveFigure
    """

    def __init__(self, session: AnalysisSession, height: int = 330) -> None:
        super().__init__(session)
        self.kind = widgets.Dropdown(options=_KINDS, description="cut", layout={"width": "330px"})
        self.kind.style.description_width = "30px"
        self.log_lag = widgets.Checkbox(
            value=True, description="log τ", indent=False, layout={"width": "70px"}
        )
        self.figure = LiveFigure(height, "Open a run to see g₂ and the model.")
        self.heading = heading("g₂ and model")
        self._cuts: list[tuple[int, Window, np.ndarray]] = []
        self._ages: tuple[Any, list[float]] = (None, [])
        self._moved_at = 0.0
        self.widget = widgets.VBox(
            [row(self.kind, self.log_lag), self.figure.widget, self.message, self.page]
        )
        self.watch(session, ["dataset", "bin"], self.draw)
        self.watch(self.kind, "value", self.draw)
        self.watch(self.log_lag, "value", self.draw)
        self.watch(self.page, "theme", self.draw)
        self.watch(session, "settings", self._settings_changed)
        self.watch(session, "parameters", self.move)
        self.watch(session, "progress", self._follow)
        self.watch(session, "status", self._ended)
        self._model = (session.settings.mode, session.settings.gap)
        self.draw()

    def draw(self) -> None:
        """Cut the data anew and draw points and lines."""
        ds = self.session.dataset
        if ds is None:
            self.figure.clear()
            return
        self.say("")
        with self.said():
            self._draw(self.session.preview())
            return
        self._draw(None)  # the model cannot be had, the points can

    def _draw(self, model: FitResult | None) -> None:
        ds, bin = self.session.dataset, self.session.bin
        assert ds is not None
        figure = plots.g2_cuts(
            ds,
            bin=bin,
            result=model,
            **self._windows(),
            cut=self.kind.value,
            log_lag=self.log_lag.value,
            theme=self.page.theme,
        )
        figure.update_layout(
            title=None,
            margin={"l": 62, "r": 14, "t": 34, "b": 48},
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        )
        self._cuts = self._lines(figure) if model is not None else []
        self.figure.draw(figure, of=self.session.source)
        q, phi = (float(axis[bin]) for axis in places(ds))
        which = f"q = {q:.4g} Å⁻¹, φ = {phi:.4g}°".replace("-", "−")
        self.heading.value = heading_html(f"g₂ and model of {which}")

    def _windows(self) -> dict[str, Any]:
        ds = self.session.dataset
        assert ds is not None
        if "c2" not in ds or ModelFactory.create_model(self.session.settings.mode).one_time:
            return {"ages": None}
        t, dt = ds["t"].values, float(ds.attrs["dt"])
        span = float(t[-1] - t[0])
        width = max(dt, round(_WIDTH * span / dt) * dt)
        if self._ages[0] is not ds:
            found = (clear_age(ds, self.session.bin, part, width) for part in _AGES)
            self._ages = (ds, list(dict.fromkeys(found)))
        return {"ages": self._ages[1], "width": width}

    def _lines(self, figure: go.Figure) -> list[tuple[int, Window, np.ndarray]]:
        """Which traces are lines of the model, over what window and lags."""
        found = [k for k, trace in enumerate(figure.data) if trace.name == "model"]
        asked = self._windows()
        ages: list[float | None] = list(asked["ages"]) if asked["ages"] else [None]
        width = float(asked.get("width", 0.0))
        windows = [Window(age, width, self.kind.value) for age in ages]
        return [(k, w, np.asarray(figure.data[k].x, float)) for k, w in zip(found, windows, strict=False)]

    def move(self, parameters: Mapping[str, float] | None = None) -> None:
        """Move the lines to the parameters' present values, or to the given ones."""
        ds = self.session.dataset
        figure = self.figure.figure
        if ds is None or figure is None or self.session.settings.mode != self._model[0]:
            return
        if not self._cuts:
            self.draw()
            return
        result = self.session.preview(parameters)
        times = np.asarray(ds["t" if "t" in ds.coords else "tau"].values, float)
        chosen = one_bin(ds, bin=self.session.bin)
        lines = {k: model_cut(result, chosen, window, tau, times).g2 for k, window, tau in self._cuts}
        for k, values in lines.items():
            figure.data[k].y = values
        self._moved_at = time.monotonic()
        self.figure.draw(figure, of=self.session.source)

    def _follow(self) -> None:
        event = self.session.progress
        if (
            self.session.status == "idle"
            or event is None
            or not event.parameters
            or not self.figure.displayed
        ):
            return
        if time.monotonic() - self._moved_at >= _EVERY and set(event.parameters) <= set(
            self.session.parameters.names
        ):
            self.move(event.parameters)

    def _ended(self) -> None:
        if self.session.status == "idle":
            self.move()

    def _settings_changed(self) -> None:
        settings = self.session.settings
        before, self._model = self._model, (settings.mode, settings.gap)
        if before != self._model:
            self.draw()

    def close(self) -> None:
        """Also take the figure away."""
        self.figure.close()
        super().close()


_TRACE_EVERY = 0.25
_MOST = 600


class Chi2Trace(Panel):
    """The course of the fit that runs, or ran last.

    Attributes
    ----------
    figure : LiveFigure
    """

    def __init__(self, session: AnalysisSession, height: int = 330) -> None:
        super().__init__(session)
        self.figure = LiveFigure(height, "χ² appears here while a fit runs.")
        self.widget = widgets.VBox([self.figure.widget, self.message, self.page])
        self._drawn_at = 0.0
        self.watch(session, "progress", self._follow)
        self.watch(session, "status", self._ended)
        self.watch(self.page, "theme", self.draw)
        self.draw()

    def draw(self) -> None:
        """Draw the whole course."""
        self._drawn_at = time.monotonic()
        course = self.session.trace
        if course:  # else that of the last fit stays
            self.figure.draw(trace_figure(course, self.page.theme))

    def _follow(self) -> None:
        if self.session.status != "idle" and time.monotonic() - self._drawn_at >= _TRACE_EVERY:
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
    figure.update_yaxes(title_text="reduced χ²", type="log" if log else "linear", tickformat="~g")
    figure.update_layout(
        margin={"l": 62, "r": 14, "t": 34, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )
    return figure
