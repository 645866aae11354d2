"""Spectrum of the heterodyne fringes, at one age or against age."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import Choice, one_bin

_MOST_ROWS = 400
_DECADES = 4.0
#: Frequencies are shown up to this many times the fastest fringe found.
_HEADROOM = 3.0
#: White noise reaches about ten times its median in a thousand frequencies; a fringe stands well above.
_CLEAR_PEAK = 20.0
#: With fewer fringes in the cut than this, the peak may be what is left of the decay.
_FEWEST_FRINGES = 2.0
_OPEN, _FILLED = "circle-open", "circle"


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


def _shown(one: xr.Dataset, highest: float | None) -> slice:
    """Frequencies from the first above zero up to the highest wanted."""
    frequency = one["frequency"].values
    if highest is None:
        fastest = np.nanmax(np.append(one["peak_frequency"].values, 0.0))
        highest = _HEADROOM * fastest if fastest > 0 else frequency[-1]
    return slice(1, max(int(np.searchsorted(frequency, highest, "right")), 3))


def _note(spectrum: xr.Dataset) -> str:
    nyquist = spectrum.attrs.get("nyquist")
    words = [f"peaks: open where not clear: under {_CLEAR_PEAK:g} × median, or under 2 fringes a cut"]
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
        clear = spectrum["peak_to_median"].values > _CLEAR_PEAK
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
