"""Heterodyne fringes: the spectrum of a cut of c2 along the lag, and the velocity its peak means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from heterodyne_nb.data.cuts import g2_cuts
from heterodyne_nb.data.door import over_runs
from heterodyne_nb.errors import ConfigurationError

__all__ = ["fringe_spectrum", "fringe_velocity"]

DETRENDS = ("decay", "linear", "constant", "none")
WINDOWS = ("half_hann", "hann", "blackman", "boxcar")
#: A peak this many times the median power is a fringe: white noise reaches about ten times it in a thousand frequencies.
CLEAR_PEAK = 20.0
_PADDING = 8
_FEWEST_LAGS = 8
_LOWEST_FRINGES = 1.5
_RIGHT_ANGLE = 0.01


@over_runs
def fringe_spectrum(
    ds: xr.Dataset,
    *,
    age: Any = None,
    width: float | None = None,
    cut: str = "row",
    detrend: str = "decay",
    window: str = "half_hann",
) -> xr.Dataset:
    """Return the power spectrum of g2(τ) at given ages, its peak being the fringe frequency.

    Parameters
    ----------
    ds : xarray.Dataset
        With two-time maps, or cuts made by :func:`heterodyne_nb.data.prepare.g2_cuts`.
    age, width, cut : optional
        As for :func:`heterodyne_nb.data.prepare.g2_cuts`; not used with ready cuts.
    detrend : {"decay", "linear", "constant", "none"}
        What is subtracted first: the best a + b·exp(−τ/τ0), a straight line, the mean, or nothing.
    window : {"half_hann", "hann", "blackman", "boxcar"}
        Weight of the lags. ``"half_hann"`` falls from 1 at the first lag to 0 at the last: fringes decay.

    Returns
    -------
    xarray.Dataset
        ``power(…, age, frequency)``: squared amplitude of an undamped fringe, frequency in Hz up to Nyquist;
        ``peak_frequency(…, age)`` (above 1.5 fringes a cut; parabola through the logarithm of the highest
        three points), ``peak_power``, ``peak_to_median``, which is large for a real fringe, and ``span``, the
        length of the cut in s: a peak of fewer than two fringes a span may be the decay's. NaN where a cut
        has fewer than 8 lags or half of them are missing; single missing lags are interpolated.
        Attribute ``nyquist`` in Hz: 1/(2 dt), and 1/(4 dt) for one anti-diagonal alone, whose lag steps by
        2 dt. A fringe faster than that is aliased.

    Raises
    ------
    ConfigurationError
        An unknown detrend or window, or whatever the cut refuses.
    """
    for name, value, known in (("detrend", detrend, DETRENDS), ("window", window, WINDOWS)):
        if value not in known:
            raise ConfigurationError(f"no {name} {value!r}", where=name, expected=f"one of {list(known)}")
    cuts = ds if "age" in ds.dims else g2_cuts(ds, age=age, width=width, cut=cut)
    every = 2 if cuts.attrs.get("cut") == "diagonal" and cuts.attrs.get("width") == 0 else 1
    step = every * float(cuts.attrs["dt"])
    g2 = cuts["g2"].transpose(..., "tau")
    size = _PADDING * int(2 ** np.ceil(np.log2(max(g2.sizes["tau"] // every, 2))))
    frequency = np.fft.rfftfreq(size, step)
    spectra = [
        _spectrum(curve, every, step, size, detrend, window) for curve in g2.values.reshape(-1, g2.shape[-1])
    ]
    return _result(
        cuts, g2, frequency, spectra, {"nyquist": 0.5 / step, "detrend": detrend, "window": window}
    )


class _Spectrum(NamedTuple):
    """Power against frequency, the frequency (Hz), power and prominence of its peak, and the span (s)."""

    power: np.ndarray
    peak: tuple[float, float, float]
    span: float


def _spectrum(g2: np.ndarray, every: int, step: float, size: int, detrend: str, window: str) -> _Spectrum:
    values = _even(g2, every)
    nothing = _Spectrum(np.full(size // 2 + 1, np.nan), (np.nan, np.nan, np.nan), np.nan)
    if values.size < _FEWEST_LAGS:
        return nothing
    tau = step * np.arange(1, values.size + 1)
    weights = _weights(window, values.size)
    signal = weights * (values - _trend(tau, values, detrend))
    power = (2 * np.abs(np.fft.rfft(signal, size)) / weights.sum()) ** 2
    span = values.size * step
    return _Spectrum(power, _peak(power, 1 / (size * step), _LOWEST_FRINGES / span), span)


def _even(g2: np.ndarray, every: int) -> np.ndarray:
    """Return the evenly spaced lags that are measured, gaps interpolated; nothing if half is missing."""
    known = np.flatnonzero(np.isfinite(g2))
    if not known.size:
        return np.empty(0)
    values = g2[known[0] : known[-1] + 1 : every]
    good = np.isfinite(values)
    if good.mean() <= 0.5:
        return np.empty(0)
    at = np.arange(values.size)
    return np.interp(at, at[good], values[good])


def _weights(window: str, n: int) -> np.ndarray:
    if window == "half_hann":
        return np.cos(np.pi / 2 * np.arange(n) / n) ** 2
    if window == "boxcar":
        return np.ones(n)
    return np.hanning(n) if window == "hann" else np.blackman(n)


def _trend(tau: np.ndarray, values: np.ndarray, detrend: str) -> np.ndarray:
    if detrend == "none":
        return np.zeros(len(tau))
    if detrend == "constant":
        return np.full(len(tau), values.mean())
    if detrend == "linear":
        return np.polynomial.Polynomial.fit(tau, values, 1)(tau)
    return _decay(tau, values)


def _decay(tau: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the best a + b exp(−τ/τ0): linear in a and b, over a grid of τ0 from one lag to four cuts."""
    best, smallest = np.full(len(tau), values.mean()), np.inf
    for tau0 in np.geomspace(tau[0], 4 * tau[-1], 40):
        design = np.stack([np.ones(len(tau)), np.exp(-tau / tau0)], axis=1)
        trial = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        misfit = float(np.sum((values - trial) ** 2))
        if misfit < smallest:
            best, smallest = trial, misfit
    return best


def _peak(power: np.ndarray, spacing: float, lowest: float) -> tuple[float, float, float]:
    first = int(np.ceil(lowest / spacing))
    if first >= len(power) - 1:
        return np.nan, np.nan, np.nan
    top = first + int(np.argmax(power[first:]))
    background = float(np.median(power[first:]))
    prominence = float(power[top] / background) if background > 0 else np.nan
    if not first < top < len(power) - 1 or not (power[top - 1 : top + 2] > 0).all():
        return top * spacing, float(power[top]), prominence
    left, middle, right = np.log(power[top - 1 : top + 2])
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return (top + shift) * spacing, float(power[top]), prominence


def _result(
    cuts: xr.Dataset, g2: xr.DataArray, frequency: np.ndarray, spectra: list[_Spectrum], attrs: dict[str, Any]
) -> xr.Dataset:
    dims, shape = g2.dims[:-1], g2.shape[:-1]
    peaks = np.array([one.peak for one in spectra]).reshape(*shape, 3)
    power = np.stack([one.power for one in spectra]).reshape(*shape, -1)
    span = np.array([one.span for one in spectra]).reshape(shape)
    return xr.Dataset(
        {
            "power": ((*dims, "frequency"), power, {"units": "1", "long_name": "squared fringe amplitude"}),
            "peak_frequency": (dims, peaks[..., 0], {"units": "Hz", "long_name": "fringe frequency"}),
            "peak_power": (dims, peaks[..., 1], {"units": "1", "long_name": "power at the peak"}),
            "peak_to_median": (dims, peaks[..., 2], {"units": "1", "long_name": "peak above median power"}),
            "span": (dims, span, {"units": "s", "long_name": "length of the cut"}),
        },
        coords={
            **{n: cuts[n] for n in ("q", "phi", "age") if n in cuts.coords},
            "frequency": ("frequency", frequency, {"units": "Hz", "long_name": "frequency"}),
        },
        attrs={**cuts.attrs, **attrs},
    )


def fringe_velocity(spectrum: xr.Dataset, phi0: float) -> xr.DataArray:
    """Turn fringe frequencies into a velocity, ``v = 2π f / (q |cos(φ0 − φ)|)``.

    Parameters
    ----------
    spectrum : xarray.Dataset
        As returned by :func:`fringe_spectrum`.
    phi0 : float
        Direction of the flow, degrees.

    Returns
    -------
    xarray.DataArray
        ``v(…, age)`` in Å/s; NaN where ``|cos(φ0 − φ)|`` < 0.01, which no flow along φ0 can move.

    Raises
    ------
    ConfigurationError
        The dataset holds no ``peak_frequency``.
    """
    if "peak_frequency" not in spectrum:
        raise ConfigurationError(
            "this dataset holds no peak_frequency", where="spectrum", expected="what fringe_spectrum returns"
        )
    phi = spectrum["phi"]
    along = phi.copy(data=np.abs(np.cos(np.deg2rad(phi0 - phi.values))))
    v = 2 * np.pi * spectrum["peak_frequency"] / (spectrum["q"] * along.where(along >= _RIGHT_ANGLE))
    v = v.transpose(*spectrum["peak_frequency"].dims)
    return v.rename("v").assign_attrs(units="Å/s", long_name="velocity from fringes", phi0=float(phi0))
