"""FitPanel: choose a model, set its parameters by hand or by guess, fit, watch, cancel, compare, go back."""

from __future__ import annotations

import ipywidgets as widgets

from heterodyne_nb import plots
from heterodyne_nb.app.bin_picker import BinPicker
from heterodyne_nb.app.curve_strip import CurveStrip
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.overlay import Chi2Trace, Overlay
from heterodyne_nb.app.panel import Panel, button, heading, row
from heterodyne_nb.app.parameter_editor import ParameterEditor
from heterodyne_nb.app.run_bar import RunBar
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.settings_form import SettingsForm
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import FitResult

__all__ = ["FitPanel", "HistoryList"]


class HistoryList(Panel):
    """A list of the fits made, newest first.

    Attributes
    ----------
    entries : ipywidgets.SelectMultiple
        Values are places in ``session.history``.
    show, revert, compare, delete : ipywidgets.Button
    note : ipywidgets.Text
        Of the one entry chosen; Enter keeps it.
    figure : LiveFigure
        Curves of the fits compared.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.entries = widgets.SelectMultiple(rows=5, layout={"width": "auto"})
        self.show = button("Show", "Show this fit in every panel", 80)
        self.revert = button("Revert to it", "Its settings, and its values as start values", 110)
        self.compare = button(
            "Compare", "Draw the curves of all fits chosen (Ctrl or Shift to choose several)", 100
        )
        self.delete = button("Delete", "Take this fit out of the list; Undo brings it back", 80)
        self.note = widgets.Text(
            placeholder="note on the fit chosen", continuous_update=False, layout={"flex": "0 1 300px"}
        )
        self.figure = LiveFigure(460)
        self.figure.hide()
        self.widget = widgets.VBox(
            [
                self.entries,
                row(self.show, self.revert, self.compare, self.delete, self.note),
                self.message,
                self.figure.widget,
                self.page,
            ]
        )
        self._compared: tuple[int, ...] = ()
        self._seen = len(self.session.history)
        self.on_press(self.show, lambda: session.show(self._one()))
        self.on_press(self.revert, lambda: session.revert(self._one()))
        self.on_press(self.compare, self._compare)
        self.on_press(self.delete, lambda: session.delete(self._one()))
        self.watch(self.note, "value", self._written)
        self.watch(self.entries, "value", self._show_note)
        self.watch(session, ["history", "shown", "deleted", "notes"], self._show)
        self.watch(self.page, "theme", self._redraw)
        self._show()

    def _show(self) -> None:
        session = self.session
        options = []
        for k in session.kept[::-1]:
            entry = session.history[k]
            mark = "● " if k == session.shown else "   "
            options.append((mark + entry.line(session.notes.get(entry.name, "")), k))
        if list(self.entries.options) != options:
            chosen = self.entries.value
            self.entries.options = options
            kept = tuple(k for k in chosen if k in session.kept)
            if len(session.history) > self._seen:  # Delete and the note are about the fit that was just made
                kept = (len(session.history) - 1,)
            self._seen = len(session.history)
            self.entries.value = kept or (() if session.shown is None else (session.shown,))
        for control in (self.show, self.revert, self.compare, self.delete, self.note):
            control.disabled = not options
        self._show_note()

    def _show_note(self) -> None:
        chosen = self.entries.value
        names = [self.session.history[k].name for k in chosen]
        self.note.value = self.session.notes.get(names[0], "") if len(names) == 1 else ""

    def _written(self) -> None:
        chosen, text = self.entries.value, self.note.value.strip()
        if len(chosen) == 1 and text != self.session.notes.get(self.session.history[chosen[0]].name, ""):
            self.session.annotate(chosen[0], text)

    def _one(self) -> int:
        if len(self.entries.value) != 1:
            raise ConfigurationError(
                f"{len(self.entries.value)} fits are chosen", where="history", expected="one fit"
            )
        return int(self.entries.value[0])

    def _compare(self) -> None:
        self._compared = tuple(sorted(self.entries.value))
        self._redraw()

    def _redraw(self) -> None:
        if self._compared:
            self.figure.draw(plots.compare_results(self._results(), theme=self.page.theme))

    def _results(self) -> dict[str, FitResult]:
        """Results by a name of their own; every method of a robust set."""
        found: dict[str, FitResult] = {}
        for k in self._compared:
            entry = self.session.history[k]
            for method, result in entry.results.items():
                found[entry.name if len(entry.results) == 1 else f"{entry.name}: {method}"] = result
        if len(found) < 2:
            raise ConfigurationError(
                "one fit alone cannot be compared", where="history", expected="two or more"
            )
        return found

    def close(self) -> None:
        """Also take the figure away."""
        self.figure.close()
        super().close()


_HALF = {"flex": "1 1 420px", "min_width": "320px", "overflow": "hidden"}
_TABLE = {"flex": "2 1 860px", "min_width": "320px", "overflow": "hidden"}


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
    bins : BinPicker
    rows : dict of str to ParameterRow
        ``rows["v0"].slider``, ``.value``, ``.min``, ``.max``, ``.vary``, ``.tie``, ``.prior``.
    entries, show, revert, compare, delete, note : Widget
        The history.
    overlay, trace, curves : Panel
        g2 with the model, the course of chi-square, and a small picture of each curve in time.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> FitPanel(hnb.AnalysisSession("run12.h5"))                         # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        session = self.session
        self.settings, self.bar = SettingsForm(session), RunBar(session)
        self.parameters, self.history = ParameterEditor(session), HistoryList(session)
        self.overlay, self.trace = Overlay(session), Chi2Trace(session)
        self.bins, self.curves = BinPicker(session), CurveStrip(session)
        self._parts = [
            self.settings,
            self.bar,
            self.parameters,
            self.curves,
            self.history,
            self.overlay,
            self.trace,
            self.bins,
        ]
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
        for name in ("entries", "show", "revert", "compare", "delete", "note"):
            setattr(self, name, getattr(self.history, name))
        columns = (
            (_HALF, self.overlay.heading, self.overlay.widget),
            (_HALF, heading("course of the fit"), self.trace.widget),
            (_TABLE, heading("parameters"), self.curves.widget, self.parameters.widget),
        )
        boxes = [widgets.VBox(column, layout=layout) for layout, *column in columns]
        self.widget = widgets.VBox(
            [
                self.settings.widget,
                self.bar.widget,
                self.bins.widget,
                widgets.HBox(boxes, layout={"flex_flow": "row wrap", "width": "100%"}),
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
