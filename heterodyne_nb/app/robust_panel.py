"""RobustPanel: fits against a shifted law of the data or a mis-set instrument, with what they cost and certify."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import ipywidgets as widgets

from heterodyne_nb import plots
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.number_field import number_text
from heterodyne_nb.app.panel import Panel, button, heading, row
from heterodyne_nb.app.robust_form import RobustForm
from heterodyne_nb.app.run_bar import RunBar
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.entries import FitEntry
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result import FitResult
from heterodyne_nb.text.html import page, table

__all__ = ["RobustPanel"]


class RobustPanel(Panel):
    """Robust fits of a session.

    Parameters
    ----------
    session : AnalysisSession, optional
        A new one by default.

    Attributes
    ----------
    form : RobustForm
        ``methods``, ``radii``, tolerances, scenarios, solver.
    run, follow, cancel : ipywidgets.Button
        A robust fit by every method ticked; the path of radii of the method looked at.
    method : ipywidgets.Dropdown
        The method looked at.
    certificates : ipywidgets.HTML
        Nominal and worst case of each method, and how well its certificate holds.
    worst, path, curves : LiveFigure

    Examples
    --------
    >>> import heterodyne_nb as hnb                                       # doctest: +SKIP
    >>> RobustPanel(hnb.AnalysisSession("run12.h5"))                      # doctest: +SKIP
    """

    def __init__(self, session: AnalysisSession | None = None) -> None:
        super().__init__(session)
        session = self.session
        self.form = RobustForm(session)
        self.run = button(
            "Run robust", "Fit by every method ticked, from the latest plain fit", 120, "primary"
        )
        self.bar = RunBar(session, start=self.run)
        self.cancel = self.bar.cancel
        self.method = widgets.Dropdown(
            options=list(self.form.methods), description="look at", layout={"width": "220px"}
        )
        self.method.style.description_width = "initial"
        self.follow = button("Path of radii", "What this method pays and gains from radius 0 up", 130)
        self.certificates = widgets.HTML(layout={"overflow": "auto"})
        self.worst, self.path, self.curves = LiveFigure(430), LiveFigure(480), LiveFigure(480)
        self._figures = (self.worst, self.curves, self.path)
        self._parts = [self.form, self.bar]
        self.widget = widgets.VBox(
            [
                self.form.widget,
                self.bar.widget,
                heading("nominal and worst case"),
                self.certificates,
                row(self.method, self.follow),
                self.message,
                *(figure.widget for figure in self._figures),
                self.page,
            ],
            layout={"width": "100%"},
        )
        self.on_press(self.run, self._run)
        self.on_press(self.follow, self._follow)
        self.watch(session, ["history", "shown"], self.draw)
        self.watch(session, "robust_path", self._draw_path)
        self.watch(session, ["status", "dataset"], self._enable)
        self.watch(self.method, "value", self.draw)
        self.watch(self.page, "theme", self._redraw)
        self._enable()
        self._redraw()

    def entry(self) -> FitEntry | None:
        """The robust fits looked at: those shown, or else the latest."""
        session = self.session
        if session.shown is not None and session.history[session.shown].kind == "robust":
            return session.history[session.shown]
        return next((one for one in reversed(session.history) if one.kind == "robust"), None)

    def draw(self) -> None:
        """Show certificates, the worst case of the method looked at, and its curves beside the plain fit's."""
        entry, theme = self.entry(), self.page.theme
        self.say("")
        if entry is None:
            self.certificates.value = (
                '<div style="opacity:0.75">A robust fit starts from the latest plain fit of the same settings; '
                "without one it makes that first.</div>"
            )
            self.worst.hide()
            self.curves.hide()
            return
        self.certificates.value = certificates_table(entry.results)
        result = entry.results.get(self.method.value)
        if result is None or result.robust is None:
            self.worst.hide()
        else:
            worst = plots.worst_case(result, theme=theme)
            self.worst.draw(worst, height=worst.layout.height)
        curves = plots.compare_results(self._compared(entry), theme=theme)
        self.curves.draw(curves, height=curves.layout.height)

    def _compared(self, entry: FitEntry) -> dict[str, FitResult]:
        nominal = next((one for one in self.session.history if one.name == entry.start), None)
        before = {nominal.name: nominal.result} if nominal is not None else {}
        return {**before, **entry.results}

    def _draw_path(self) -> None:
        path = self.session.robust_path
        if path is None or path.sizes.get("radius", 0) < 2:
            self.path.hide()
            return
        figure = plots.radius_path(path, theme=self.page.theme)
        self.path.draw(figure, height=figure.layout.height)

    def _redraw(self) -> None:
        self.draw()
        self._draw_path()

    def _run(self) -> None:
        methods = self.form.chosen()
        radius = {name: self.form.radius(name) for name in methods}
        self.session.run_robust(methods, radius, **self.form.arguments(methods))

    def _follow(self) -> None:
        if self.session.dataset is None:
            raise ConfigurationError("no run is open", hint="open one first")
        method = self.method.value
        self.session.run_radius_path(method, **self.form.arguments([method]))

    def _enable(self) -> None:
        self.follow.disabled = self.session.status != "idle" or self.session.dataset is None

    def close(self) -> None:
        """Also take the figures away."""
        for figure in self._figures:
            figure.close()
        super().close()


def certificates_table(results: Mapping[str, FitResult]) -> str:
    """Nominal and worst-case reduced chi-square of each method before and after, and the certificate, as HTML."""
    head = (
        "method",
        "radius",
        "χ² of the data",
        "(plain fit)",
        "χ² in the worst case",
        "(plain fit)",
        "certificate",
    )
    rows = []
    for name, result in results.items():
        robust = result.robust
        if robust is None:
            rows.append((name, *[""] * (len(head) - 1)))
            continue
        numbers = ("nominal", "nominal_before", "worst_case", "worst_case_before")
        shown = [number_text(robust[key], 5) if robust.get(key) is not None else "" for key in numbers]
        radius = f"{number_text(robust['radius'], 4)} ({robust['radius_rule']})"
        gap = f"holds to {robust['relative_gap']:.1g}" if robust.get("relative_gap") is not None else ""
        rows.append((name, radius, *shown, gap))
    words = "".join(
        f"<p>{escape(name)}: {escape(result.robust['words'])}</p>"
        for name, result in results.items()
        if result.robust
    )
    return page(table(head, rows) + words)
