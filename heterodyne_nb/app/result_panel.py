"""ResultPanel: a result from every side, and its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb import plots
from heterodyne_nb.app.export_bar import ExportBar
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.errors import ConfigurationError, HeterodyneError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result import FitResult

__all__ = ["VIEWS", "ResultPanel", "View", "flags_html"]

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
    return View((plots.curves(result, theme=theme),), flags_html(result))


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
    return View(tuple(figures), flags_html(result))


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


def flags_html(result: FitResult) -> str:
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


_HEIGHT = 520


class ResultPanel(Panel):
    """The result that the session shows.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    entry : ipywidgets.Dropdown
        Which fit of the history; value: its place.
    method : ipywidgets.Dropdown
        Which result of a robust set.
    view : ipywidgets.ToggleButtons
        One of ``VIEWS``.
    figures : list of LiveFigure
    text : ipywidgets.HTML
    export : ExportBar
        Its ``format``, ``path``, ``write`` and ``told``.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> ResultPanel(hnb.AnalysisSession.load("my_analysis"))              # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        session = self.session
        self.entry = widgets.Dropdown(description="fit", layout={"flex": "1 1 420px", "width": "auto"})
        self.entry.style.description_width = "initial"
        self.method = widgets.Dropdown(description="method", layout={"width": "220px"})
        self.method.style.description_width = "initial"
        self.view = widgets.ToggleButtons(options=list(VIEWS), style={"button_width": "auto"})
        self.figures = [LiveFigure(_HEIGHT) for _ in range(2)]
        self.text = widgets.HTML(layout={"width": "100%", "overflow": "auto"})
        self.export = ExportBar(session, self.result)
        self._parts = [self.export]
        self._showing = False
        self._drawn: tuple = ()
        self.widget = widgets.VBox(
            [
                row(self.entry, self.method),
                self.view,
                self.message,
                *(figure.widget for figure in self.figures),
                self.text,
                self.export.widget,
                self.page,
            ],
            layout={"width": "100%"},
        )
        self.watch(session, ["history", "shown", "deleted"], self._show)
        self.watch(session, ["bin", "dataset"], self.draw)
        self.watch(self.entry, "value", self._chosen)
        self.watch(self.method, "value", self.draw)
        self.watch(self.view, "value", self.draw)
        self.watch(self.page, "theme", self.draw)
        self._show()

    def result(self) -> FitResult:
        """The result looked at.

        Raises
        ------
        ConfigurationError
            There is none yet.
        """
        session = self.session
        if session.shown is None:
            raise ConfigurationError("there is no result yet", hint="run a fit first")
        entry = session.history[session.shown]
        return entry.results.get(self.method.value, entry.result)

    def draw(self) -> None:
        """Draw the chosen view, unless that is what is drawn."""
        session = self.session
        if self._showing:
            return
        if session.shown is None:
            self._put(View((), '<div style="opacity:0.75;padding:12px">No fit has been made yet.</div>'))
            self._drawn = ()
            return
        asked = (self.result(), self.view.value, self.page.theme, session.bin, session.dataset)
        if len(asked) == len(self._drawn) and all(a is b for a, b in zip(asked, self._drawn, strict=True)):
            return
        self._drawn = asked
        self.say("")
        try:
            self._put(VIEWS[self.view.value](session, self.result(), self.page.theme))
        except Exception:
            self._put(View())
            raise

    def _put(self, view: View) -> None:
        for place in self.figures[len(view.figures) :]:
            place.hide()
        for place, figure in zip(self.figures, view.figures, strict=False):
            place.draw(figure, of=self.view.value, height=figure.layout.height)
        self.text.value = view.text

    def _show(self) -> None:
        """Offer the fits there are, newest first, and the methods of the one shown."""
        session = self.session
        self._showing = True
        try:
            options = [(session.history[k].label, k) for k in session.kept[::-1]]
            if list(self.entry.options) != options:
                self.entry.options = options
            self.entry.value = session.shown
            methods = list(session.history[session.shown].results) if session.shown is not None else []
            if list(self.method.options) != methods:
                self.method.options = methods
                self.method.index = 0 if methods else None
            self.method.layout.display = "" if len(methods) > 1 else "none"
            self.entry.disabled = self.export.write.disabled = session.shown is None
            self.entry.tooltip = escape(session.source)
        finally:
            self._showing = False
        self.draw()

    def _chosen(self) -> None:
        if not self._showing and self.entry.value is not None:
            self.session.show(self.entry.value)

    def close(self) -> None:
        """Also take the figures away."""
        for figure in self.figures:
            figure.close()
        super().close()


def panel_of(result: FitResult, dataset: xr.Dataset | None = None) -> ResultPanel:
    """A panel, on a session of its own, that shows one result; see :meth:`FitResult.show`."""
    return ResultPanel(AnalysisSession.of_result(result, dataset))
