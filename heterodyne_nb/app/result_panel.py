"""ResultPanel: a result from every side, and its files."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets
import xarray as xr

from heterodyne_nb.app.export_bar import ExportBar
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.panel import Panel, row
from heterodyne_nb.app.result_views import VIEWS, View
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import FitResult

__all__ = ["ResultPanel"]

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
        super().__init__(AnalysisSession() if session is None else session)
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
        self.watch(session, ["history", "shown"], self._show)
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
            options = [(entry.label, k) for k, entry in enumerate(session.history)][::-1]
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
