"""The fitted model along a cut of the two-time map, with its band."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from heterodyne_nb.plots.select import Bin, one_bin
from heterodyne_nb.result.fitted_model import fitted_model
from heterodyne_nb.uncertainty.delta import NORMAL_95, propagate

#: Most pairs of times that a model is averaged over at each lag.
_MOST_PAIRS = 60


class ModelCut(NamedTuple):
    """Model of g2 along one cut; lower and upper are NaN where no band is known."""

    tau: np.ndarray
    g2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Window(NamedTuple):
    """Ages that a cut averages over, and how it runs: across the diagonal or along a row."""

    age: float | None
    width: float
    cut: str


def model_cut(result: Any, chosen: Bin, window: Window, tau: np.ndarray, times: np.ndarray) -> ModelCut:
    """Evaluate the fitted g2 of one bin at lags `tau` (s), averaged over the window as the data are.

    Parameters
    ----------
    result : FitResult
        One-time or two-time.
    chosen : Bin
        Bin of the data; the result's nearest bin gives contrast and offset.
    window : Window
        Age None averages over all ages.
    tau : array, shape (n,)
        Lags in s.
    times : array, shape (N,)
        Frame times in s, which the window must not leave.
    """
    model = fitted_model(result.dataset)
    here = one_bin(result.dataset, q=chosen.q, phi=chosen.phi)
    contrast, offset = (float(result.dataset[name].isel(here.place)) for name in ("contrast", "offset"))
    if model.one_time:
        normalised = _one_time(model, here, tau)
    else:
        normalised = _two_time(model, result, here, window, tau, times)

    def g2(parameters: np.ndarray) -> np.ndarray:
        return offset + contrast * normalised(parameters)

    values = np.array([result.values[name] for name in model.parameter_names])
    middle = g2(values)
    half = _half_width(result, g2, values, middle)
    return ModelCut(tau, middle, middle - half, middle + half)


def _half_width(
    result: Any, g2: Callable[[np.ndarray], np.ndarray], values: np.ndarray, middle: np.ndarray
) -> np.ndarray:
    """Half of the 95 % band from the covariance of the parameters, NaN without one."""
    if "covariance" not in result.dataset:
        return np.full_like(middle, np.nan)
    covariance = np.asarray(result.dataset["covariance"].values, dtype=float)
    return NORMAL_95 * propagate(g2, values, covariance)


def _one_time(model: Any, here: Bin, tau: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda parameters: np.asarray(model.correlation(parameters, tau, q=here.q, phi=here.phi))


def _two_time(
    model: Any, result: Any, here: Bin, window: Window, tau: np.ndarray, times: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    first, second = pairs_in_window(window, tau, times)
    inside = np.isfinite(first)
    t1, t2 = np.where(inside, first, times[0]), np.where(inside, second, times[0])

    def averaged(parameters: np.ndarray) -> np.ndarray:
        values = np.asarray(model.correlation(parameters, t1, t2, q=here.q, phi=here.phi, gap=result.gap))
        count = inside.sum(axis=0)
        total = np.where(inside, values, 0.0).sum(axis=0)
        return np.divide(total, count, out=np.full(tau.size, np.nan), where=count > 0)

    return averaged


def pairs_in_window(window: Window, tau: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time pairs (t1, t2) that a cut averages, shape (pairs, lags); NaN where a pair leaves the run.

    Along a row t1 is the age; across the diagonal the age is (t1 + t2) / 2. As in
    :func:`heterodyne_nb.data.prepare.g2_cuts`, t1 runs over the frames whose pair has an age from
    age - width/2 (in) to age + width/2 (out); of many frames some, evenly spread, stand for all.
    """
    lag = np.asarray(tau, dtype=float)
    step = float(np.median(np.diff(times)))
    if window.age is None:
        first = np.repeat(_some(times)[:, None], lag.size, axis=1)
    else:
        frames = max(1, round(window.width / step))
        lowest = window.age - frames * step / 2 - (lag / 2 if window.cut == "diagonal" else 0.0)
        start = times[0] + step * np.ceil((lowest - times[0]) / step - 1e-6)
        first = start + step * _some(np.arange(frames))[:, None]
    second = first + lag
    slack = 1e-6 * step
    outside = (first < times[0] - slack) | (second > times[-1] + slack)
    return np.where(outside, np.nan, first), np.where(outside, np.nan, second)


def _some(values: np.ndarray) -> np.ndarray:
    if values.size <= _MOST_PAIRS:
        return values
    return values[np.unique(np.linspace(0, values.size - 1, _MOST_PAIRS).round().astype(int))]
