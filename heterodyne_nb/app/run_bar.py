"""Guess, run, cancel, undo, and what is going on."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from heterodyne_nb.app.panel import Panel, button, error_box, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.entries import any_free
from heterodyne_nb.app.undo_bar import UndoBar

__all__ = ["RunBar"]


_RUN = "Fit all chosen bins, every pixel"
_EVALUATE = "Every parameter is fixed: nothing is fitted, the model is compared with the data as it is"


class RunBar(Panel):
    """Buttons that start and end work of a session, its progress, warnings and errors.

    Parameters
    ----------
    session : AnalysisSession
    start : ipywidgets.Button, optional
        A button to put in the place of `guess` and `run`, whose action its owner sets.

    Attributes
    ----------
    guess, run, cancel, undo, redo : ipywidgets.Button
    bar : ipywidgets.FloatProgress
    status : ipywidgets.HTML
    """

    def __init__(self, session: AnalysisSession, *, start: widgets.Button | None = None) -> None:
        super().__init__(session)
        self.guess = button("Guess", "Start values from fringes and decays of the data", 80)
        self.run = start or button("Run", _RUN, 80, "primary")
        self.cancel = button("Cancel", "End the fit; its best point so far is kept", 80, "warning")
        back = self.add(UndoBar(session))
        self.undo, self.redo = back.undo, back.redo
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "160px", "height": "14px"})
        self.status = widgets.HTML(layout={"flex": "1 1 240px", "min_width": "0"})
        self.failure = widgets.HTML(layout={"display": "none"})
        line = row(self.guess, self.run, self.cancel, back.widget, self.bar, self.status)
        self.widget = widgets.VBox([line, self.failure, self.message, self.page])
        self.on_press(self.guess, session.guess)
        if start is None:
            self.on_press(self.run, session.run)
        else:
            self.guess.layout.display = "none"
        self.on_press(self.cancel, session.cancel)
        self.watch(session, ["status", "progress", "dataset", "parameters"], self._show)
        self.watch(session, ["error", "warnings"], self._show_failure)
        self._show()
        self._show_failure()

    def _show(self) -> None:
        session = self.session
        idle, event = session.status == "idle", session.progress
        self.guess.disabled = self.run.disabled = not idle or session.dataset is None
        if self.guess.layout.display != "none":  # of an ordinary fit
            free = any_free(session.parameters)
            self.run.description = "Run" if free else "Evaluate"
            self.run.tooltip = _RUN if free else _EVALUATE
        self.cancel.disabled = session.status != "running"
        known = event is not None and event.fraction is not None
        self.bar.layout.visibility = "hidden" if idle else "visible"
        self.bar.value = float(event.fraction) if known and event is not None and event.fraction else 0.0
        self.status.value = f'<span style="line-height:1.3">{escape(self._words())}</span>'

    def _words(self) -> str:
        session, event = self.session, self.session.progress
        if session.status == "idle":
            return self._last()
        if session.status == "cancelling":
            return "ending at the next pass over the data …"
        if event is None:
            return f"{session.activity} …"
        chi2 = "" if event.chi2 is None else f" · reduced χ² {event.chi2:.6g}"
        seconds = session.trace[-1][0] if session.trace else 0.0
        stage = event.stage.replace("_", " ")
        told = "" if event.chi2 is not None or not event.message else f" · {event.message}"
        return f"{stage}{chi2}{told} · {seconds:.1f} s"

    def _last(self) -> str:
        session = self.session
        if session.dataset is None:
            return "No run is open."
        if not session.history or session.shown is None:
            return ""
        entry = session.history[session.shown]
        return f"shown: {entry.label} · {entry.seconds:.1f} s"

    def _show_failure(self) -> None:
        """An error of the work, and warnings; errors of single fields are said beside these."""
        session = self.session
        failed = session.error is not None and session.error is session.work_error
        told = [error_box(str(session.error))] if failed else []
        told += [_note(text) for text in session.warnings] if not failed else []
        self.failure.value = "".join(told)
        self.failure.layout.display = "" if told else "none"


def _note(text: str) -> str:
    style = (
        "white-space:pre-wrap;line-height:1.35;padding:2px 10px;margin:2px 0;border-left:4px solid #E69F00"
    )
    return f'<div style="{style}">{escape(text)}</div>'
