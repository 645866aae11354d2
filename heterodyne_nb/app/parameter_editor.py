"""The parameter table: every parameter of the mode on a line of its own."""

from __future__ import annotations

import re
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets

from heterodyne_nb.app.number_field import NumberField, ValueSlider, number_text
from heterodyne_nb.app.panel import Panel, close_all
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.config import ParameterTable
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.text.numbers import value_with_error

__all__ = ["COLUMNS", "ParameterEditor", "ParameterRow"]

#: Heads of the columns and their widths.
COLUMNS = {
    "parameter": "118px",
    "": "minmax(120px, 1fr)",
    "value": "104px",
    "fitted": "minmax(96px, 150px)",
    "min": "92px",
    "max": "92px",
    "vary": "40px",
    "tied to": "124px",
    "prior mean ± sd": "128px",
    "unit": "48px",
}
_FREE = "–"


class ParameterRow(Panel):
    """The controls of one parameter.

    Attributes
    ----------
    slider : ValueSlider
    value, min, max : NumberField
        Published units.
    fitted : ipywidgets.HTML
        Value ± standard error of the fit shown.
    vary : ipywidgets.Checkbox
    tie : ipywidgets.Dropdown
    prior : ipywidgets.Text
        ``mean ± standard deviation``, or empty.
    cells : list of Widget
        In the order of :data:`COLUMNS`.
    """

    def __init__(self, session: AnalysisSession, name: str, description: str) -> None:
        super().__init__(session)
        self.name = name
        table = session.parameters
        unit = table.units[table.index(name)]
        same = [n for n, u in zip(table.names, table.units, strict=True) if u == unit and n != name]
        label = widgets.HTML(f'<span title="{escape(description)}">{escape(name)}</span>')
        self.slider = ValueSlider(tooltip=f"Move {name}", layout={"width": "auto"})
        self.value = NumberField(
            f"value of {name}", tooltip=f"Start value of {name}", layout={"width": "96px"}
        )
        self.fitted = widgets.HTML()
        self.min = NumberField(f"min of {name}", tooltip=f"Lower bound of {name}", layout={"width": "84px"})
        self.max = NumberField(f"max of {name}", tooltip=f"Upper bound of {name}", layout={"width": "84px"})
        self.vary = widgets.Checkbox(indent=False, tooltip=f"Fit {name}", layout={"width": "22px"})
        self.tie = widgets.Dropdown(
            options=[(_FREE, ""), *[(n, n) for n in same]],
            tooltip=f"Parameter that {name} always equals",
            layout={"width": "116px"},
        )
        self.prior = widgets.Text(
            continuous_update=False,
            placeholder="mean ± sd",
            tooltip=f"Gaussian prior of {name}; empty for none",
            layout={"width": "120px"},
        )
        shown_unit = widgets.HTML(f'<span style="opacity:0.75">{"" if unit == "1" else escape(unit)}</span>')
        fields = [self.slider, self.value, self.fitted, self.min, self.max, self.vary, self.tie, self.prior]
        self.cells = [label, *fields, shown_unit]
        self.widget = widgets.VBox([*self.cells, self.message, self.page])
        self._showing = False
        self.watch(self.slider, "value", self._slid)
        for field in (self.value, self.min, self.max):
            self.watch(field, "value", partial(self._typed, field))
        self.watch(self.vary, "value", lambda: self._choose(vary=self.vary.value))
        self.watch(self.tie, "value", lambda: self._choose(tie=self.tie.value or None))
        self.watch(self.prior, "value", self._prior_typed)

    def show(self, table: ParameterTable) -> None:
        """Bring the controls to what the table says; only what differs is sent to the page."""
        i = table.index(self.name)
        tied = table.tie[i] is not None
        value, low, high = (float(x[i]) for x in (table.values, table.lower, table.upper))
        self._showing = True
        try:
            self.value.put(value)
            self.min.put(low)
            self.max.put(high)
            self.slider.put(value, low, high)
            self.vary.value = bool(table.vary[i])
            self.tie.value = table.tie[i] or ""
            self.prior.value = prior_text(table.prior[i])
            for control in (self.slider, self.value, self.min, self.max, self.vary):
                control.disabled = tied
        finally:
            self._showing = False

    def _slid(self) -> None:
        if not self._showing and self.slider.moved:
            self.session.set_parameter(self.name, value=self.slider.read())

    def _typed(self, field: NumberField) -> None:
        if self._showing or not field.edited:
            return
        field.mark(True)
        which = {id(self.value): "value", id(self.min): "min", id(self.max): "max"}[id(field)]
        change: dict[str, Any] = {which: field.read()}
        self.session.set_parameter(self.name, **change)
        field.mark(False)
        self.show(self.session.parameters)

    def _choose(self, **changes: Any) -> None:
        if self._showing:
            return
        try:
            self.session.set_parameter(self.name, **changes)
        finally:
            self.show(self.session.parameters)

    def _prior_typed(self) -> None:
        if not self._showing:
            self.session.set_parameter(self.name, prior=read_prior(self.prior.value, self.name))
            self.show(self.session.parameters)


def prior_text(prior: tuple[float, float] | None) -> str:
    """``"100 ± 5"``, or nothing."""
    return "" if prior is None else f"{number_text(prior[0])} ± {number_text(prior[1])}"


def read_prior(text: str, name: str) -> tuple[float, float] | None:
    """Mean and standard deviation from ``100 ± 5``, ``100 +- 5`` or ``100, 5``; None from an empty text.

    Raises
    ------
    ConfigurationError
        It is neither.
    """
    if not text.strip():
        return None
    parts = re.split(r"±|\+/?-|,|;", text.replace("−", "-"))
    try:
        mean, width = (float(part) for part in parts)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is not a prior",
            where=f"prior of {name}",
            expected="mean ± standard deviation, e.g. 100 ± 5",
        ) from None
    return mean, width


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
        self.watch(session, ["shown", "history"], self._show_fitted)
        self._show()

    def _show(self) -> None:
        if self.session.parameters.mode != self._mode:
            self._rebuild()
        self.say("")
        for row in self.rows.values():
            row.show(self.session.parameters)

    def _show_fitted(self) -> None:
        """Say what the fit shown gave, where it is one of this mode."""
        result = self.session.result
        known = result.params if result is not None and result.mode == self._mode else {}
        for name, row in self.rows.items():
            one = known.get(name)
            row.fitted.value = "" if one is None else _fitted(one.value, one.error)

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
        self._show_fitted()

    def _drop_rows(self) -> None:
        for row in self.rows.values():
            row.close()
        self.rows = {}

    def close(self) -> None:
        """Also take the rows away."""
        self._drop_rows()
        super().close()


def _fitted(value: float, error: float) -> str:
    return f'<span style="white-space:nowrap">{escape(value_with_error(value, error))}</span>'


def _head(text: str) -> str:
    return f'<span style="font-size:12px;opacity:0.75">{escape(text)}</span>'
