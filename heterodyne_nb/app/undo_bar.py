"""Undo and redo, and a list of the steps to go to any of them."""

from __future__ import annotations

import ipywidgets as widgets

from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.session import AnalysisSession

__all__ = ["UndoBar"]


class UndoBar(Panel):
    """Buttons for undo and redo; the app's has a list of the steps too.

    Attributes
    ----------
    undo, redo : ipywidgets.Button
    steps : ipywidgets.Dropdown
        Actions, the newest first, those undone included; value: how many steps lie between now and after that action,
        negative for undo.
    """

    def __init__(self, session: AnalysisSession, *, words: bool = True) -> None:
        super().__init__(session)
        self.undo, self.redo = (
            button(word if words else "", "", 84 if words else 38, icon=icon)
            for word, icon in (("Undo", "undo"), ("Redo", "repeat"))
        )
        self.steps = widgets.Dropdown(
            tooltip="What was done, the newest first: choose a step to go back, or on, to it",
            layout={"width": "170px", "display": "none" if words else ""},
        )
        self._showing = False
        self.widget = row(self.undo, self.redo, self.steps, self.message, self.page, width="auto")
        self.on_press(self.undo, session.undo)
        self.on_press(self.redo, session.redo)
        self.watch(self.steps, "value", self._go)
        self.watch(session, "steps", self._show)
        self._show()

    def _show(self) -> None:
        session = self.session
        past, future = session.steps
        for one, word, name in (
            (self.undo, "undo", session.undo_name),
            (self.redo, "redo", session.redo_name),
        ):
            one.disabled = not name
            one.tooltip = f"{word}: {name}" if name else f"nothing to {word}"
        names = ["the start", *past, *(f"({name})" for name in future)]
        self._showing = True
        try:
            self.steps.options = [(name, k - len(past)) for k, name in enumerate(names)][::-1]
            self.steps.value = 0
            self.steps.disabled = len(names) == 1
        finally:
            self._showing = False

    def _go(self) -> None:
        if not self._showing and self.steps.value:
            count = self.steps.value
            self.session.undo(-count) if count < 0 else self.session.redo(count)
