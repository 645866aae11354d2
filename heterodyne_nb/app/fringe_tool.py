"""Velocity and direction of the flow read off the fringes, for the start values."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.app.latest import Background
from heterodyne_nb.app.live_figure import LiveFigure
from heterodyne_nb.app.panel import Panel, button, heading, row
from heterodyne_nb.app.session import AnalysisSession
from heterodyne_nb.app.session.selection import places
from heterodyne_nb.data.prepare import fringe_velocity
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.fitting.fringe_reading import FlowReading, read_flow
from heterodyne_nb.plots import canvas

__all__ = ["FringeTool"]

#: Relative distance from the power law beyond which a point is drawn open.
_FAR = 0.2
_HINT = "Read fringes: cuts of this q at a dozen ages are transformed; their peaks give v(t) and φ₀."


class FringeTool(Panel):
    """Reads the fringes of the ring of the bin shown.

    Attributes
    ----------
    read : ipywidgets.Button
    direction : ipywidgets.Text
        φ0 in degrees where it is known; empty: from the angles.
    use : ipywidgets.Button
        Makes the reading the start values of the session.
    reading : FlowReading or None
    words : ipywidgets.HTML
    figure : LiveFigure
    """

    def __init__(self, session: AnalysisSession) -> None:
        super().__init__(session)
        self.background = Background(self._failed)
        self.reading: FlowReading | None = None
        self.read = button("Read fringes", _HINT, 120, "primary")
        self.direction = widgets.Text(
            placeholder="from the angles",
            description="φ₀ (°)",
            tooltip="Direction of the flow, if you know it",
            layout={"width": "180px"},
            style={"description_width": "44px"},
        )
        self.use = button("Use as start values", "Set v0, beta, v_offset and phi0 of the next fit", 160)
        self.use.disabled = True
        self.words = widgets.HTML()
        self.figure = LiveFigure(240, _HINT)
        self.widget = widgets.VBox(
            [
                heading("Fringes"),
                row(self.read, self.direction, self.use),
                self.words,
                self.message,
                self.figure.widget,
                self.page,
            ]
        )
        self.on_press(self.read, self.start)
        self.on_press(self.use, self._use)
        self.watch(session, "dataset", self._forget)
        self.watch(self.page, "theme", self._draw)

    def start(self) -> None:
        """Read the fringes in the background."""
        ds = self.session.dataset
        if ds is None or "c2" not in ds:
            raise ConfigurationError("no run with two-time maps is open", where="Read fringes")
        q, phi0 = float(places(ds)[0][self.session.bin]), self._direction()

        def found(reading: FlowReading) -> None:
            self._free()
            if self.session.dataset is ds:
                self._show(reading)

        self.background.start("fringes", lambda: read_flow(ds, q=q, phi0=phi0), found)
        self.read.disabled, self.read.description = True, "Reading…"

    def _direction(self) -> float | None:
        text = self.direction.value.strip().replace("−", "-").rstrip("°")
        try:
            return float(text) if text else None
        except ValueError:
            raise ConfigurationError(
                f"{text!r} is no angle", where="φ₀", expected="degrees, or nothing"
            ) from None

    def _free(self) -> None:
        self.read.disabled, self.read.description = False, "Read fringes"

    def _failed(self, error: BaseException) -> None:
        self._free()
        self.say(str(error))

    def _forget(self) -> None:
        self.reading, self.use.disabled, self.words.value = None, True, ""
        self.figure.clear()

    def _show(self, reading: FlowReading) -> None:
        self.reading = reading
        possible = {"v0", "beta", "phi0"} <= set(self.session.parameters.names)
        self.use.disabled = not possible
        t = self.session._need_data()["t"].values
        middle = float((t[0] + t[-1]) / 2)
        more = "" if possible else f" The mode {self.session.settings.mode} has no flow to start."
        self.words.value = f'<div style="line-height:1.6">{_in_words(reading, middle)}{escape(more)}</div>'
        self._draw()

    def _use(self) -> None:
        if self.reading is None:
            raise ConfigurationError("no fringes have been read", where="start values")
        self.session.set_parameters(self.reading.start_values)

    def _draw(self) -> None:
        if self.reading is not None:
            self.figure.draw(velocity_figure(self.reading, self.page.theme))

    def close(self) -> None:
        """Also let a running reading go."""
        self.background.close()
        self.figure.close()
        super().close()


def _in_words(reading: FlowReading, t: float) -> str:
    """The reading as HTML: the power law, its value in the middle of the run, and how far to trust it."""
    words = (
        f"v = {reading.v0:.4g} t<sup>{reading.beta:.2g}</sup> Å/s, {reading.velocity(t):.4g} Å/s at {t:.4g} s · "
        f"φ₀ = {reading.phi0:.4g}° · {int(reading.clear.sum())} of {reading.clear.size} peaks are clear, "
        f"{100 * reading.scatter:.2g} % off (median)"
    )
    return words.replace("-", "−")


def velocity_figure(reading: FlowReading, theme: str = "light") -> go.Figure:
    """v against age from the clear peaks of each angle, and the power law through them."""
    figure = canvas.panels("", theme=theme, height=240)
    v = fringe_velocity(reading.spectrum, reading.phi0).where(reading.clear)
    ages = reading.spectrum["age"].values
    line = reading.velocity(ages)
    bins = v.stack(place=[dim for dim in v.dims if dim != "age"]).transpose("place", "age")
    for k in range(bins.sizes["place"]):
        phi = float(bins["phi"].values[k])
        figure.add_trace(
            go.Scatter(
                x=ages,
                y=bins.values[k],
                mode="markers",
                marker={
                    "size": 6,
                    "color": canvas.line_colour(0, theme),
                    "symbol": _symbols(bins.values[k], line),
                },
                name=f"φ = {phi:.4g}°",
                hovertemplate=f"φ = {phi:.4g}°<br>%{{x:.4g}} s<br>%{{y:.4g}} Å/s<extra></extra>",
            )
        )
    t = np.linspace(ages[0], ages[-1], 100)
    style = {"color": canvas.line_colour(1, theme), "width": 2}
    figure.add_trace(go.Scatter(x=t, y=reading.velocity(t), mode="lines", line=style, name="power law"))
    top = 1.6 * float(np.max(line))
    figure.update_xaxes(title_text="age (s)")
    figure.update_yaxes(title_text="v (Å/s)", range=[0, top])
    figure.update_layout(title=None, showlegend=False, margin={"l": 62, "r": 14, "t": 10, "b": 48})
    return figure


def _symbols(v: np.ndarray, line: Any) -> list[str]:
    """Open where a peak is so far off the line that it can be no fringe of this flow."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(v / line - 1) > _FAR, "circle-open", "circle").tolist()
