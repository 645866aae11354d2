"""G2Panel: g2 of every bin with its fit, the parameters against q, and a table of them; what opens for a file of g2 alone."""

from __future__ import annotations

import base64
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from heterodyne_nb import plots
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.number_field import NumberField
from heterodyne_nb.app.panel import Panel, button, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.models.one_time_scopes import GROUPINGS, LAWS
from heterodyne_nb.models.parameters import LEVELS
from heterodyne_nb.result import FitResult
from heterodyne_nb.text.numbers import value_with_error

__all__ = ["G2Panel"]

_HEADS = ("parameter", "over the bins", "fixed", "value", "min", "max", "unit")
_WIDTHS = "minmax(90px, 130px) 124px 44px 100px 100px 100px 50px"
_SCOPES = {"each": "each bin", "q": "each q", "phi": "each φ", "shared": "shared"} | {
    name: f"law: {name}" for name in LAWS
}
_VIEWS = ("g₂ and fit", "against q")
_DRAG = {"zoom": "zoom", "leave out": "select"}


class ParameterLine:
    """Controls of one parameter, of contrast or offset, or of a number of a law.

    Attributes
    ----------
    scope : ipywidgets.Dropdown
    fixed : ipywidgets.Checkbox
    value, min, max : NumberField
        Empty: nothing is asked.
    """

    def __init__(self, panel: G2Panel, name: str, unit: str) -> None:
        self.session, self.name, self._showing = panel.session, name, False
        offered = (
            [] if name in self.session.parameters.laws else list(GROUPINGS if name in LEVELS else _SCOPES)
        )
        self.scope = widgets.Dropdown(
            options=[(_SCOPES[one], one) for one in offered] or [("", "")],
            tooltip=f"How {name} differs over the bins", disabled=not offered, layout={"width": "120px"},
        )  # fmt: skip
        self.fixed = widgets.Checkbox(
            indent=False, tooltip=f"Hold {name} at its value", layout={"width": "22px"}
        )
        self.value, self.min, self.max = (
            NumberField(f"{which} of {name}", optional=True, tooltip=f"{which} of {name}; empty: not stated")
            for which in ("value", "min", "max")
        )
        label = widgets.HTML(f"<span>{escape(name)}</span>")
        shown = widgets.HTML(f'<span style="opacity:0.75">{"" if unit == "1" else escape(unit)}</span>')
        self.cells = [label, self.scope, self.fixed, self.value, self.min, self.max, shown]
        panel.watch(self.scope, "value", lambda: self._change(scope=self.scope.value))
        panel.watch(self.fixed, "value", self._fix)
        for which in ("value", "min", "max"):
            panel.watch(getattr(self, which), "value", partial(self._typed, which))

    def show(self, entry: dict[str, Any], followed: bool) -> None:
        """Bring the controls to what is asked; a parameter that follows a law has none of its own."""
        self._showing = True
        try:
            usual = "each" if self.name in LEVELS else "shared"
            if not self.scope.disabled:
                self.scope.value = entry.get("scope", usual)
            self.fixed.value = entry.get("vary") is False
            for which in ("value", "min", "max"):
                field = getattr(self, which)
                field.put(entry.get(which))
                field.disabled = followed
            self.fixed.disabled = followed
        finally:
            self._showing = False

    def _change(self, **changes: Any) -> None:
        if not self._showing:
            self.session.set_parameter(self.name, **changes)

    def _fix(self) -> None:
        held = self.fixed.value
        self._change(vary=False if held else None, **({"value": self.value.read()} if held else {}))

    def _typed(self, which: str) -> None:
        field = getattr(self, which)
        if not self._showing and field.edited:
            number = field.read()
            held = {"vary": False} if which == "value" and self.name in LEVELS and number is not None else {}
            self._change(**{which: number, **held})  # contrast and offset need no start: a value holds them


class G2Panel(Panel):
    """One-time fits by mouse: choose a model, say what bins share, fit, look, leave points out, take the numbers away.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    mode : ipywidgets.Dropdown
        One-time modes.
    fit, all_points : ipywidgets.Button
    drag : ipywidgets.ToggleButtons
        What dragging in the figure does: zoom, or leave the points inside out of the fit.
    view : ipywidgets.ToggleButtons
    lines : dict of str to ParameterLine
    figure : LiveFigure
    table : ipywidgets.HTML
        Values of every bin, with a link to a CSV file and one that copies them.

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> hnb.widgets.G2Panel(hnb.AnalysisSession("multitau.hdf"))          # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        session = self.session
        modes = [name for name in ModelFactory.names() if ModelFactory.create_model(name).one_time]
        self.mode = widgets.Dropdown(
            options=[(name.replace("_", " "), name) for name in modes], value="kww", description="model"
        )
        self.mode.style.description_width = "initial"
        self.fit = button("Fit g₂", "Fit every bin chosen", 96, "primary", "play")
        self.all_points = button("Use all points", "Take points that were left out again", 190)
        self.view, self.drag = (
            widgets.ToggleButtons(options=options, style={"button_width": "auto"})
            for options in (_VIEWS, list(_DRAG))
        )
        self.told = widgets.HTML(layout={"flex": "1 1 200px"})
        self.lines: dict[str, ParameterLine] = {}
        self._grid = widgets.GridBox(
            layout={
                "grid_template_columns": _WIDTHS,
                "grid_gap": "0 4px",
                "align_items": "center",
                "overflow": "auto",
            }
        )
        self.figure = LiveFigure(420, "Open a file with g₂.")
        self.table = widgets.HTML(layout={"width": "100%", "overflow": "auto"})
        self.widget = widgets.VBox(
            [
                row(self.mode, self.fit, self.told),
                self._grid,
                self.message,
                row(self.view, self.drag, self.all_points),
                self.figure.widget,
                self.table,
                self.page,
            ],
            layout={"width": "100%"},
        )
        self.on_press(self.fit, self._fit)
        self.on_press(self.all_points, lambda: session.exclude_points(None))
        self.watch(self.mode, "value", self._choose_mode)
        self.watch(session, ["parameters", "settings"], self._show)
        self.watch(session, ["dataset", "shown", "history"], self.draw)
        self.watch(session, ["status", "error"], self._tell)
        for control in (self.view, self.drag):
            self.watch(control, "value", self.draw)
        self.watch(self.page, "theme", self.draw)
        self.watch(self.figure.widget, "selected", self._leave_out)
        self._show()
        self.draw()

    @property
    def one_time(self) -> bool:
        """Whether the session's mode is one of g2."""
        return ModelFactory.create_model(self.session.settings.mode).one_time

    def _choose_mode(self) -> None:
        """Take the mode, its parameters in each bin by itself where nothing is said of them."""
        session, mode = self.session, self.mode.value
        if mode == session.settings.mode:
            return
        session.change_settings(mode=mode)
        for name in session.parameters.names:
            if (
                name not in session.parameters.scopes
                and not session.parameters.tie[session.parameters.index(name)]
            ):
                session.set_parameter(name, scope="each")

    def _fit(self) -> None:
        self._choose_mode()
        self.session.run()

    def _show(self) -> None:
        """Show what is asked of the parameters; a mode of two-time data leaves the choice of a model here open."""
        if not self.one_time:
            self._rebuild(())
            return
        self.mode.value = self.session.settings.mode
        table = self.session.parameters
        names = []
        for name in table.names:
            names += [name, *(law for law in table.laws if law.rpartition(".")[0] == name)]
        names += [name for name in LEVELS if name not in names]
        if tuple(self.lines) != tuple(names):
            self._rebuild(names)
        asked = self.session.asked()
        for name, line in self.lines.items():
            line.show(asked.get(name, {}), table.scopes.get(name) in LAWS)

    def _rebuild(self, names: Any) -> None:
        for line in self.lines.values():
            for control in (line.scope, line.fixed, line.value, line.min, line.max):
                self._unwatch(control)
        old, table = self._grid.children, self.session.parameters
        units = dict(zip(table.names, table.units, strict=True))
        self.lines = {name: ParameterLine(self, name, units.get(name, "1")) for name in names}
        style = "font-size:12px;opacity:0.75"
        heads = [widgets.HTML(f'<span style="{style}">{text}</span>') for text in _HEADS] if names else []
        self._grid.children = (*heads, *(cell for line in self.lines.values() for cell in line.cells))
        for cell in old:
            cell.close()

    def _result(self) -> FitResult | None:
        """The result shown, where it is one of g2 of the run that is open."""
        session = self.session
        entry = session.history[session.shown] if session.shown is not None else None
        if entry is None or entry.source != session.source:
            return None
        return entry.result if ModelFactory.create_model(entry.result.mode).one_time else None

    def draw(self) -> None:
        """Draw g2 with the fit shown, or its parameters against q, and the table."""
        ds, result, theme = self.session.dataset, self._result(), self.page.theme
        out = len(self.session.excluded)
        self.all_points.disabled = not out
        self.all_points.description = f"Use all points ({out} out)" if out else "Use all points"
        self.view.disabled = result is None
        if ds is None or "g2" not in ds or "age" in ds["g2"].dims:
            self.figure.clear()
            self.table.value = ""
            return
        against = self.view.value == _VIEWS[1] and result is not None
        figure = (
            plots.one_time_parameters(result, theme=theme)
            if against
            else plots.g2_grid(ds, result, theme=theme)
        )
        if not against:
            figure.update_layout(dragmode=_DRAG[self.drag.value], selectionrevision=out)
        self.figure.draw(figure, of=(self.session.source, self.view.value), height=figure.layout.height)
        self.table.value = "" if result is None else _table(result)

    def _leave_out(self) -> None:
        points = [tuple(one) for one in self.figure.widget.selected]
        if points and self.drag.value == "leave out":
            self.session.exclude_points(points)

    def _tell(self) -> None:
        session = self.session
        self.fit.disabled = session.status != "idle"
        self.told.value = escape("" if session.status == "idle" else f"running: {session.activity} …")
        if session.status == "idle" and session.error is not None:
            self.say(str(session.error))

    def close(self) -> None:
        """Also take the figure away."""
        self.figure.close()
        super().close()


def _table(result: FitResult) -> str:
    """Values with errors of every bin, the same as CSV to download, and with tabs to copy."""
    bins = plots.one_time_table(result)
    names = [str(name) for name in bins.data_vars if f"{name}_error" in bins]
    plain = bins[[each for name in names for each in (name, f"{name}_error")] + ["trusted"]].to_dataframe()
    units = {name: str(bins[name].attrs.get("units", "1")) for name in names}
    heads = [
        "q (1/Å)",
        "φ (°)",
        *(name if units[name] == "1" else f"{name} ({units[name]})" for name in names),
        "",
    ]
    lines = []
    for k in range(bins.sizes["bin"]):
        cells = [f"{float(bins['q'][k]):.5g}", f"{float(bins['phi'][k]):.4g}"]
        for name in names:
            value, error = float(bins[name][k]), float(bins[f"{name}_error"][k])
            cells.append(value_with_error(value, error) if np.isfinite(error) else f"{value:.6g}")
        cells.append("" if bool(bins["trusted"][k]) else "no decay in the window")
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    csv = base64.b64encode(plain.to_csv(index=False).encode()).decode()
    copy = escape(plain.to_csv(index=False, sep="\t"), quote=True)
    links = (
        f'<a download="g2_parameters.csv" href="data:text/csv;base64,{csv}">CSV</a> · '
        f'<a href="#" data-text="{copy}" onclick="navigator.clipboard.writeText(this.dataset.text);'
        "this.textContent='copied';return false\">copy</a>"
    )
    style = "border-collapse:collapse;text-align:right;line-height:1.6"
    return f'<div>{links}</div><table class="hn-g2" cellpadding="6" style="{style}"><tr>{head}</tr>{"".join(lines)}</table>'
