"""The parameter table: every parameter of the mode on a line of its own."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from heterodyne_nb.app.panel import Panel, close_all
from heterodyne_nb.app.parameter_row import COLUMNS, ParameterRow
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.models import ModelFactory

__all__ = ["ParameterEditor"]


class ParameterEditor(Panel):
    """Start values, bounds, roles, ties and priors of a session.

    Attributes
    ----------
    rows : dict of str to ParameterRow
        By published name; made anew when the mode changes.
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.rows: dict[str, ParameterRow] = {}
        self._mode = ""
        self._grid = widgets.GridBox(
            layout={
                "grid_template_columns": " ".join(COLUMNS.values()),
                "grid_gap": "0 2px",
                "align_items": "center",
                "overflow": "auto",
                "width": "100%",
            }
        )
        self.widget = widgets.VBox([self._grid, self.message, self.page])
        self.watch(session, "parameters", self._show)
        self._show()

    def _show(self) -> None:
        if self.session.parameters.mode != self._mode:
            self._rebuild()
        self.say("")
        for row in self.rows.values():
            row.show(self.session.parameters)

    def _rebuild(self) -> None:
        table = self.session.parameters
        model = ModelFactory.create_model(table.mode)
        old, self._mode = self._grid.children, table.mode
        self._drop_rows()
        told = {spec.name: spec.description for spec in model.parameters}
        self.rows = {name: ParameterRow(self.session, name, told[name]) for name in table.names}
        for row in self.rows.values():
            row.say = self.say  # type: ignore[method-assign]
        heads = [widgets.HTML(_head(text)) for text in COLUMNS]
        cells = [cell for row in self.rows.values() for cell in row.cells]
        self._grid.children = (*heads, *cells)
        for one in old[: len(COLUMNS)]:
            close_all(one)

    def _drop_rows(self) -> None:
        for row in self.rows.values():
            row.close()
        self.rows = {}

    def close(self) -> None:
        """Also take the rows away."""
        self._drop_rows()
        super().close()


def _head(text: str) -> str:
    return f'<span style="font-size:12px;opacity:0.75">{escape(text)}</span>'
