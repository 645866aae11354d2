"""FitPanel: choose a model, set its parameters by hand or by guess, fit, watch, cancel, compare, go back."""

from __future__ import annotations

import ipywidgets as widgets

from heterodyne_nb.app.chi2_trace import Chi2Trace
from heterodyne_nb.app.history_list import HistoryList
from heterodyne_nb.app.overlay import Overlay
from heterodyne_nb.app.panel import Panel, heading
from heterodyne_nb.app.parameter_editor import ParameterEditor
from heterodyne_nb.app.run_bar import RunBar
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.settings_form import SettingsForm

__all__ = ["FitPanel"]

_HALF = {"flex": "1 1 420px", "min_width": "320px", "overflow": "hidden"}


class FitPanel(Panel):
    """A fit by mouse.

    Sliders and fields of the parameters move the model over the data at once, also while a fit runs. After a
    fit its values are the start values of the next one, unless they were changed meanwhile.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    mode, method, loss, loss_scale, contrast, multistart, time_limit, seed, gap : Widget
        Settings of the next fit.
    guess, run, cancel, undo, redo : ipywidgets.Button
    rows : dict of str to ParameterRow
        ``rows["v0"].slider``, ``.value``, ``.min``, ``.max``, ``.vary``, ``.tie``, ``.prior``.
    entries, show, revert, compare : Widget
        The history.
    overlay, trace : Panel
        g2 with the model, and the course of chi-square.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> FitPanel(hnb.AnalysisSession("run12.h5"))                         # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(AnalysisSession() if session is None else session)
        session = self.session
        self.settings, self.bar = SettingsForm(session), RunBar(session)
        self.parameters, self.history = ParameterEditor(session), HistoryList(session)
        self.overlay, self.trace = Overlay(session), Chi2Trace(session)
        self._parts = [self.settings, self.bar, self.parameters, self.history, self.overlay, self.trace]
        for name in (
            "mode",
            "method",
            "loss",
            "loss_scale",
            "contrast",
            "multistart",
            "time_limit",
            "seed",
            "gap",
        ):
            setattr(self, name, getattr(self.settings, name))
        for name in ("guess", "run", "cancel", "undo", "redo"):
            setattr(self, name, getattr(self.bar, name))
        for name in ("entries", "show", "revert", "compare"):
            setattr(self, name, getattr(self.history, name))
        left = widgets.VBox([heading("g₂ and model"), self.overlay.widget], layout=_HALF)
        right = widgets.VBox([heading("course of the fit"), self.trace.widget], layout=_HALF)
        self.widget = widgets.VBox(
            [
                self.settings.widget,
                self.bar.widget,
                widgets.HBox([left, right], layout={"flex_flow": "row wrap", "width": "100%"}),
                heading("parameters"),
                self.parameters.widget,
                heading("history"),
                self.history.widget,
                self.message,
                self.page,
            ],
            layout={"width": "100%"},
        )

    @property
    def rows(self) -> dict:
        """The parameters' controls by name."""
        return self.parameters.rows
