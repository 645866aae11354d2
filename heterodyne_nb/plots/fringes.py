"""Fringes of the heterodyne signal: their spectrum, their frequency by angle, and the velocity they mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.data.fringes import CLEAR_PEAK
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import Choice, all_bins, need, one_bin
from heterodyne_nb.result.record import model_of

_MOST_ROWS = 400
_DECADES = 4.0
#: Frequencies are shown up to this many times the fastest fringe found.
_HEADROOM = 3.0
#: With fewer fringes in the cut than this, the peak may be what is left of the decay.
_FEWEST_FRINGES = 2.0
_OPEN, _FILLED = "circle-open", "circle"
_ANGLES = np.linspace(-180.0, 180.0, 361)


class Fringe(NamedTuple):
    """Fringe of one bin: q (1/Å), φ (degrees), frequency and its error (Hz), and whether it is clear."""

    q: float
    phi: float
    frequency: float
    error: float
    clear: bool

    def along(self, phi0: float) -> float:
        """q |cos(phi0 - phi)|, 1/Å."""
        return float(self.q * abs(np.cos(np.deg2rad(phi0 - self.phi))))


class Flow(NamedTuple):
    """Velocity (Å/s) at a time (s), and its direction (degrees)."""

    t: float
    v: float
    phi0: float


def fringe_spectrum(
    spectrum: xr.Dataset,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    max_frequency: float | None = None,
    theme: str = "light",
) -> go.Figure:
    """Power of the fringes of one bin: a map against age, or a curve where there is one age.

    Parameters
    ----------
    spectrum : xarray.Dataset
        As :func:`heterodyne_nb.data.prepare.fringe_spectrum` returns it.
    q, phi, bin : optional
        Which bin, as in :func:`c2`; it may be left out when there is only one.
    max_frequency : float, optional
        Highest frequency shown, Hz. Default: three times the fastest peak, at most Nyquist.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no spectrum, there is no such bin, or nothing in it could be transformed.
    """
    if "power" not in spectrum or "peak_frequency" not in spectrum:
        raise ConfigurationError(
            "this dataset holds no spectrum",
            where="spectrum",
            expected="what heterodyne_nb.prepare.fringe_spectrum(ds, age=…, width=…) returns",
        )
    chosen = one_bin(spectrum, q=q, phi=phi, bin=bin)
    one = spectrum.isel(chosen.place)
    one = one.isel(age=np.flatnonzero(np.isfinite(one["power"].values).any(axis=-1)))
    if not one.sizes["age"]:
        raise ConfigurationError(f"the bin {chosen.label} has no spectrum", where="spectrum")
    one = one.isel(frequency=_shown(one, max_frequency))
    figure = canvas.panels(f"Fringe spectrum, {chosen.label}", _note(spectrum), theme=theme, height=460)
    return _curve(figure, one, theme) if one.sizes["age"] == 1 else _map(figure, one, theme)


@formerly("result", "frequencies")
def velocity_polar(
    frequencies: xr.Dataset | None = None,
    result: Any = None,
    *,
    t: float | None = None,
    theme: str = "light",
) -> go.Figure:
    """Fringe frequency by angle, and ``v |cos(phi0 - phi)|`` which all q must share.

    A fringe of frequency f (Hz) at wave vector q means a velocity component 2 pi f / q along the bin.

    Parameters
    ----------
    frequencies : xarray.Dataset, optional
        ``frequency`` in Hz, and ``frequency_err`` where known, for each (q, phi) bin: the points. Or what
        :func:`heterodyne_nb.data.prepare.fringe_spectrum` returns: its peaks at the age nearest to `t`.
    result : FitResult, optional
        Its curve ``v`` and parameter ``phi0`` give the lines, for the q of its bins.
    t : float, optional
        Time in s at which v is taken. Default: the age of the points, or the middle of the run.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If neither is given, or the result has no velocity.
    """
    if result is None and frequencies is None:
        raise ConfigurationError(
            "nothing to draw", where="velocity_polar", expected="a result or frequencies"
        )
    points, age = ([], None) if frequencies is None else fringes_of(frequencies, t)
    flow = None if result is None else flow_of(result, age if t is None else t)
    rings = sorted({point.q for point in points} or {b.q for b in all_bins(result.dataset)})
    note = _about_points(frequencies, age) if frequencies is not None else ""
    if flow is not None:
        when = "" if np.isnan(flow.t) else f" at t = {flow.t:.4g} s"
        lines = f"lines: v = {flow.v:.4g} Å/s{when}, φ₀ = {flow.phi0:.4g}°".replace("-", "−")
        note = " · ".join(filter(None, [lines, note]))
    figure = _polar_panels(note, 90.0 if flow is None else flow.phi0 + 90.0, theme)
    for q, colour in zip(rings, canvas.ordered_colours(len(rings), theme), strict=True):
        label = f"q = {q:.4g} Å⁻¹"
        if flow is not None:
            figure.add_trace(_line(q / (2 * np.pi) * _component(flow), label, colour, "Hz"), row=1, col=1)
        mine = [point for point in points if point.q == q]
        if mine:
            _add_polar_points(figure, mine, label, colour, with_legend=flow is None)
    if flow is not None:
        line = _line(_component(flow), "v |cos(φ₀ − φ)|", canvas.ink(theme), "Å/s")
        figure.add_trace(line, row=1, col=2)
    return figure


def dispersion(
    frequencies: xr.Dataset,
    result: Any = None,
    *,
    phi0: float | None = None,
    t: float | None = None,
    theme: str = "light",
) -> go.Figure:
    """Fringe rate 2πf of every bin against ``q |cos(phi0 - phi)|``: a flow puts all bins on one line, v its slope.

    Parameters
    ----------
    frequencies : xarray.Dataset
        What :func:`heterodyne_nb.data.prepare.fringe_spectrum` returns, or ``frequency`` in Hz for each bin.
    result : FitResult, optional
        Gives the direction, and its velocity as a line.
    phi0 : float, optional
        Direction in degrees, instead of the result's.
    t : float, optional
        Time in s; of a spectrum the nearest age is taken. Default: its middle age. A cut along a row sees the
        fringes of its age and of later times, one across the diagonal those around its age.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If neither a result nor a direction is given, or no bin has a fringe.
    """
    if result is None and phi0 is None:
        raise ConfigurationError(
            "the direction of the flow is not known", where="phi0", expected="result or phi0"
        )
    points, age = fringes_of(frequencies, t)
    if not points:
        raise ConfigurationError("no bin has a fringe frequency", where="frequencies")
    flow = None if result is None else flow_of(result, age if t is None else t)
    direction = float(phi0) if phi0 is not None else flow.phi0  # type: ignore[union-attr]
    words = [f"φ₀ = {direction:.4g}°".replace("-", "−"), "open: not clear"]
    if age is not None:
        later = " and later" if frequencies.attrs.get("cut") == "row" else ""
        words.insert(0, f"fringes at age {age:.4g} s{later}")
    figure = canvas.panels("Fringe rate against q |cos(φ₀ − φ)|", " · ".join(words), theme=theme, height=460)
    _add_points(figure, points, direction, theme)
    end = 1.05 * max(point.along(direction) for point in points)
    speed = slope(points, direction)
    lines = [("measured, clear fringes", speed, "dash", canvas.faint(theme))] if np.isfinite(speed) else []
    if flow is not None:
        lines.append((f"fit, t = {flow.t:.4g} s", flow.v, "solid", canvas.ink(theme)))
    for name, v, dash, colour in lines:
        figure.add_trace(
            go.Scatter(
                x=[0.0, end], y=[0.0, end * v], mode="lines", hoverinfo="skip",
                name=f"{name}: v = {v:.4g} Å/s", line={"color": colour, "dash": dash, "width": 1.5},
            )
        )  # fmt: skip
    figure.update_xaxes(title_text="q |cos(φ₀ − φ)| (Å⁻¹)", rangemode="tozero")
    figure.update_yaxes(title_text="2πf (rad/s)", rangemode="tozero")
    return canvas.legend_below(figure)


def _shown(one: xr.Dataset, highest: float | None) -> slice:
    """Frequencies from the first above zero up to the highest wanted."""
    frequency = one["frequency"].values
    if highest is None:
        fastest = np.nanmax(np.append(one["peak_frequency"].values, 0.0))
        highest = _HEADROOM * fastest if fastest > 0 else frequency[-1]
    return slice(1, max(int(np.searchsorted(frequency, highest, "right")), 3))


def _note(spectrum: xr.Dataset) -> str:
    nyquist = spectrum.attrs.get("nyquist")
    words = [f"peaks: open where not clear: under {CLEAR_PEAK:g} × median, or under 2 fringes a cut"]
    if nyquist is not None:
        words.append(f"Nyquist {nyquist:.4g} Hz")
    return " · ".join(words)


def _curve(figure: go.Figure, one: xr.Dataset, theme: str) -> go.Figure:
    frequency, power = one["frequency"].values, one["power"].values[0]
    hover = "%{x:.4g} Hz<br>power %{y:.4g}<extra></extra>"
    line = {"color": canvas.line_colour(0, theme), "width": 1.6}
    figure.add_trace(go.Scatter(x=frequency, y=power, mode="lines", line=line, hovertemplate=hover))
    figure.add_trace(_peaks(one["peak_frequency"].values, one["peak_power"].values, one, theme))
    figure.update_xaxes(title_text="frequency (Hz)")
    figure.update_yaxes(title_text="power (squared amplitude of g₂)", rangemode="tozero")
    figure.update_layout(showlegend=False)
    return figure


def _map(figure: go.Figure, one: xr.Dataset, theme: str) -> go.Figure:
    frequency, power = coarse(one["frequency"].values, one["power"].transpose("frequency", "age").values)
    level = np.log10(np.where(power > 0, power, np.nan))
    top = float(np.nanmax(level))
    figure.add_trace(
        go.Heatmap(
            x=one["age"].values,
            y=frequency,
            z=level.astype(np.float32),
            colorscale=canvas.MAP_SCALE,
            zmin=max(top - _DECADES, float(np.nanmin(level))),
            zmax=top,
            colorbar={"title": {"text": "log₁₀ power"}},
            hovertemplate="age %{x:.4g} s<br>%{y:.4g} Hz<br>log₁₀ power %{z:.3f}<extra></extra>",
        )
    )
    figure.add_trace(_peaks(one["age"].values, one["peak_frequency"].values, one, theme))
    ages = one["age"].values
    half = np.median(np.diff(ages)) / 2
    figure.update_xaxes(title_text="age (s)", showgrid=False, range=[ages[0] - half, ages[-1] + half])
    figure.update_yaxes(title_text="frequency (Hz)", showgrid=False, range=[0, frequency[-1]])
    figure.update_layout(showlegend=False)
    return figure


def coarse(frequency: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a spectrum (frequency, age) for the screen, by the maximum of neighbours: no peak is lost."""
    step = -(-frequency.size // _MOST_ROWS)
    starts = np.arange(0, frequency.size, step)
    sizes = np.diff(np.append(starts, frequency.size))
    return np.add.reduceat(frequency, starts) / sizes, np.fmax.reduceat(power, starts, axis=0)


def clear_peaks(spectrum: xr.Dataset) -> np.ndarray:
    """True where a peak stands out of the noise and its cut holds two fringes or more."""
    with np.errstate(invalid="ignore"):
        clear = spectrum["peak_to_median"].values > CLEAR_PEAK
        if "span" in spectrum:
            clear &= (spectrum["peak_frequency"] * spectrum["span"]).values >= _FEWEST_FRINGES
    return clear


def _peaks(x: np.ndarray, y: np.ndarray, one: xr.Dataset, theme: str) -> go.Scatter:
    clear = clear_peaks(one)
    colour = canvas.line_colour(1, theme)
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name="peak",
        marker={
            "symbol": np.where(clear, _FILLED, _OPEN),
            "size": 9,
            "color": colour,
            "line": {"color": canvas.paper(theme) if one.sizes["age"] > 1 else colour, "width": 1},
        },
        customdata=np.stack([one["peak_frequency"].values, one["peak_to_median"].values], axis=-1),
        hovertemplate="peak %{customdata[0]:.4g} Hz, %{customdata[1]:.3g} × median<extra></extra>",
    )


def fringes_of(frequencies: xr.Dataset, t: float | None = None) -> tuple[list[Fringe], float | None]:
    """Fringes of all bins that have one, and their age in s where there are ages.

    ``frequencies``: ``frequency`` for each bin, or a spectrum, of which the age nearest to `t` is taken. ``t``:
    Default: the middle of the ages.
    """
    measured = _measured(frequencies, t)
    found = []
    for one in all_bins(measured):
        here = measured.isel(one.place)
        value = float(here["frequency"])
        if np.isfinite(value):
            error = float(here["frequency_err"]) if "frequency_err" in here else float("nan")
            clear = bool(here["clear"]) if "clear" in here else True
            found.append(Fringe(one.q, one.phi, abs(value), error, clear))
    return found, float(measured["age"]) if "age" in measured.coords else None


def flow_of(result: Any, t: float | None) -> Flow:
    """Velocity and direction of a result, in the middle of the run unless a time is given."""
    curve = flow_curve(result)
    if curve is None:
        raise ConfigurationError(f"a {result.mode} result has no velocity", where="result")
    values = result.dataset["parameters"].values
    direction = float(values[curve.direction])
    if curve.name not in result.curve_names:
        return Flow(float("nan"), curve.at(values, 1.0), direction)
    times = np.asarray(result.dataset["t"].values, dtype=float)
    when = float((times[0] + times[-1]) / 2) if t is None else float(t)
    speed = float(np.interp(when, times, np.asarray(result.dataset[curve.name].values, dtype=float)))
    return Flow(when, speed, direction)


def flow_curve(result: Any) -> Any:
    """The velocity of a result whose model has one, with its direction; None for other models."""
    flows = model_of(result.dataset).of_role("velocity")
    return flows[0] if len(flows) == 1 and flows[0].direction is not None else None


def _measured(frequencies: xr.Dataset, t: float | None) -> xr.Dataset:
    """``frequency`` (and ``frequency_err``) of each bin; of a spectrum the peaks at the age nearest to t."""
    if "peak_frequency" not in frequencies:
        need(frequencies, "frequency", "a polar view")
        return frequencies
    peaks = frequencies[["peak_frequency"]].rename(peak_frequency="frequency")
    peaks["clear"] = frequencies["peak_frequency"].copy(data=clear_peaks(frequencies))
    if "age" not in peaks.dims:
        return peaks
    ages = np.asarray(peaks["age"].values, dtype=float)
    when = (ages.min() + ages.max()) / 2 if t is None else t
    return peaks.isel(age=int(np.argmin(np.abs(ages - when))))


def _component(flow: Flow) -> np.ndarray:
    return np.abs(flow.v * np.cos(np.deg2rad(flow.phi0 - _ANGLES)))


def _about_points(frequencies: xr.Dataset, age: float | None) -> str:
    marked = "clear" in frequencies or "peak_frequency" in frequencies
    return (
        "points: measured fringes"
        + ("" if age is None else f" at age {age:.4g} s")
        + (", open: not clear" if marked else "")
    )


def _polar_panels(note: str, quiet: float, theme: str) -> go.Figure:
    figure = canvas.panels(
        "Fringes by angle",
        note,
        theme=theme,
        height=520,
        rows=1,
        cols=2,
        specs=[[{"type": "polar"}, {"type": "polar"}]],
        subplot_titles=["fringe frequency (Hz)", "2πf / q  and  v |cos(φ₀ − φ)|  (Å/s)"],
        horizontal_spacing=0.12,
    )
    canvas.legend_below(figure, 40)
    figure.update_layout(margin={"t": figure.layout.margin.t + 25, "b": 70})
    figure.update_annotations(yshift=22)
    figure.update_polars(angularaxis={"dtick": 45, "ticksuffix": "°"}, radialaxis={"rangemode": "tozero"})
    figure.layout.polar.radialaxis.ticksuffix = " Hz"
    figure.layout.polar2.radialaxis.ticksuffix = " Å/s"
    for polar in (figure.layout.polar, figure.layout.polar2):
        polar.radialaxis.showticksuffix = "last"
        # where the fringes vanish, text is free
        polar.radialaxis.update(nticks=4, angle=quiet, tickangle=quiet)
    return figure


def _line(r: np.ndarray, label: str, colour: str, unit: str) -> go.Scatterpolar:
    return go.Scatterpolar(
        theta=_ANGLES,
        r=r,
        mode="lines",
        name=label,
        legendgroup=label,
        line={"color": colour, "width": 1.8},
        hovertemplate=f"φ = %{{theta:.4g}}<br>%{{r:.4g}} {unit}",
    )


def _add_polar_points(
    figure: go.Figure, mine: list[Fringe], label: str, colour: str, *, with_legend: bool
) -> None:
    """Points of one ring in both panels, errors in the hover text."""
    phi, frequency, error = (np.array(part) for part in list(zip(*mine, strict=True))[1:4])
    symbols = [_FILLED if point.clear else _OPEN for point in mine]
    for column, scale, unit in ((1, 1.0, "Hz"), (2, 2 * np.pi / mine[0].q, "Å/s")):
        figure.add_trace(
            go.Scatterpolar(
                theta=phi,
                r=scale * frequency,
                mode="markers",
                name=label,
                legendgroup=label,
                showlegend=with_legend and column == 1,
                marker={
                    "color": colour,
                    "size": 8,
                    "symbol": symbols,
                    "line": {"width": 1.5, "color": colour},
                },
                customdata=scale * error,
                hovertemplate=f"φ = %{{theta:.4g}}<br>(%{{r:.4g}} ± %{{customdata:.2g}}) {unit}",
            ),
            row=1,
            col=column,
        )


def slope(points: list[Fringe], phi0: float) -> float:
    """Velocity (Å/s) that the clear fringes share: least squares through zero; NaN where none is clear."""
    x = np.array([point.along(phi0) for point in points if point.clear])
    y = np.array([2 * np.pi * point.frequency for point in points if point.clear])
    return float(x @ y / (x @ x)) if x.size and np.any(x > 0) else float("nan")


def _add_points(figure: go.Figure, points: list[Fringe], phi0: float, theme: str) -> None:
    """Points of every ring."""
    rings = sorted({point.q for point in points})
    for q, colour in zip(rings, canvas.ordered_colours(len(rings), theme), strict=True):
        named = False
        for clear in (True, False):
            mine = [point for point in points if point.q == q and point.clear == clear]
            if mine:
                figure.add_trace(_markers(mine, phi0, f"q = {q:.4g} Å⁻¹", colour, show=not named))
                named = True


def _markers(points: list[Fringe], phi0: float, name: str, colour: str, *, show: bool) -> go.Scatter:
    errors = 2 * np.pi * np.array([point.error for point in points])
    symbol = _FILLED if points[0].clear else _OPEN
    return go.Scatter(
        x=[point.along(phi0) for point in points],
        y=[2 * np.pi * point.frequency for point in points],
        error_y={"array": errors, "thickness": 1.2, "width": 3} if np.isfinite(errors).any() else None,
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=show,
        marker={"color": colour, "size": 9, "symbol": symbol, "line": {"width": 1.5, "color": colour}},
        customdata=[point.phi for point in points],
        hovertemplate="φ = %{customdata:.4g}°<br>2πf = %{y:.4g} rad/s",
    )
