"""The fitted model in one bin: at pairs of times, as block means that never make the whole map, and along a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import SeparableModel
from heterodyne_nb.plots.maps import blank, reduce_strips
from heterodyne_nb.plots.select import Bin, frame_step, one_bin
from heterodyne_nb.result.record import model_of
from heterodyne_nb.uncertainty.bands import NORMAL_95, propagate

#: Pixels of a model computed at once.
_COMPUTED_PIXELS = 1_000_000
#: Most pairs of times that a model is averaged over at each lag.
_MOST_PAIRS = 60


@dataclass(frozen=True)
class BinModel:
    """c2 = offset + contrast · M of one bin of a fit."""

    model: Any  #: Model of :class:`heterodyne_nb.models.ModelFactory`
    values: np.ndarray  #: (p,): Published parameters.
    #: q, phi: 1/Å and degrees.
    q: float
    phi: float
    contrast: float
    offset: float
    gap: float | None  #: Å.

    @classmethod
    def of(cls, result: Any, chosen: Bin) -> BinModel:
        """Model of the bin of `result` that is nearest to a bin of the data.

        Raises ConfigurationError: If the fit has no such bin.
        """
        model = model_of(result.dataset)
        here = one_bin(result.dataset, q=chosen.q, phi=chosen.phi)
        contrast, offset = (float(result.dataset[name].isel(here.place)) for name in ("contrast", "offset"))
        values = np.array([result.values[name] for name in model.parameter_names])
        return cls(model, values, here.q, here.phi, contrast, offset, result.gap)

    def at(self, t1: np.ndarray, t2: np.ndarray) -> np.ndarray:
        """c2 at pairs of times (s) that broadcast."""
        m = self.model.correlation(self.values, t1, t2, q=self.q, phi=self.phi, gap=self.gap)
        return self.offset + self.contrast * np.asarray(m)

    def reduced(
        self, times: np.ndarray, used: np.ndarray, down: np.ndarray, across: np.ndarray, factor: int
    ) -> np.ndarray:
        """Block means over used frames, the diagonal left out, as :func:`read_map` makes them of data.

        ``times``, ``used`` (N,): Times of all frames in s, and whether each is used. ``down``, ``across`` (m,):
        Frames along t1 and t2, each without gaps. ``factor``: Block edge.

        Raises ConfigurationError: If the fit is of one-time data.
        """
        if self.model.one_time:
            raise ConfigurationError(
                f"a {self.model.name!r} fit describes g2 against lag, no two-time map", where="result"
            )
        if factor > 1 and isinstance(self.model, SeparableModel):
            return _separable(self, times, used, down, across, factor)

        def strip(first: int, last: int) -> np.ndarray:
            rows = down[first:last]
            values = self.at(times[rows, None], times[across])
            return blank(values, rows, across, used, diagonal=True)

        return reduce_strips(strip, down.size, across.size, factor, _COMPUTED_PIXELS)


def _separable(
    one: BinModel, times: np.ndarray, used: np.ndarray, down: np.ndarray, across: np.ndarray, factor: int
) -> np.ndarray:
    """Block means of a sum of products of curves are sums of products of the curves' block means.

    The decay from block to block is split at the blocks' ends, so that no factor grows; blocks that hold
    the diagonal are averaged pixel by pixel.
    """
    rows, columns = _Blocks(one, times, used, down, factor), _Blocks(one, times, used, across, factor)
    later = columns.first[None, :] > rows.last[:, None]
    earlier = rows.first[:, None] > columns.last[None, :]
    mean = np.where(later, rows.then(columns), columns.then(rows).T)
    for i, j in np.argwhere(~later & ~earlier):
        mean[i, j] = _mean_of_pixels(one, times, rows.frames(i), columns.frames(j))
    mean = one.offset + one.contrast * mean
    mean[~(rows.any[:, None] & columns.any)] = np.nan
    return mean


class _Blocks:
    """Curves of a bin averaged over the used frames of each block.

    Attributes: ``first``, ``last`` (k,): First and last frame of each block. ``any`` (k,): Whether it has a used
    frame.
    """

    def __init__(
        self, one: BinModel, times: np.ndarray, used: np.ndarray, frames: np.ndarray, factor: int
    ) -> None:
        starts = np.arange(0, frames.size, factor)
        stops = np.append(starts[1:], frames.size) - 1
        self.first, self.last = frames[starts], frames[stops]
        self._used, self._factor, self._all = used, factor, frames
        weight = used[frames].astype(float)
        count = np.add.reduceat(weight, starts)
        self.any = count > 0
        terms = one.model.terms(one.values, times, np.array([one.phi]), derivatives=False)
        decay = one.q**2 * terms.decay
        phase = one.q * np.einsum("km,mn->kn", terms.weight[:, :, 0], terms.displacement)
        block = np.arange(frames.size) // factor
        amplitude = weight * terms.amplitude[:, frames]
        to_end = np.exp(decay[:, frames] - decay[:, self.last][:, block])
        from_start = np.exp(decay[:, self.first][:, block] - decay[:, frames])
        waves = np.exp(1j * phase[:, frames])
        share = np.where(self.any, 1 / np.maximum(count, 1), 0.0)
        self._leaving = np.add.reduceat(amplitude * to_end * waves, starts, axis=1) * share
        self._arriving = np.add.reduceat(amplitude * from_start * waves, starts, axis=1) * share
        self._at_first, self._at_last = decay[:, self.first], decay[:, self.last]

    def then(self, later: _Blocks) -> np.ndarray:
        """Mean of M over (block of these, block of `later`), right where the latter is later; (k, l)."""
        total = np.zeros((self.first.size, later.first.size))
        for k in range(len(self._at_last)):
            between = np.maximum(later._at_first[k] - self._at_last[k][:, None], 0.0)
            total += np.exp(-between) * (np.conj(self._leaving[k])[:, None] * later._arriving[k]).real
        return total

    def frames(self, number: int) -> np.ndarray:
        """Used frames of one block."""
        frames = self._all[number * self._factor : (number + 1) * self._factor]
        return np.asarray(frames[self._used[frames]])


def _mean_of_pixels(one: BinModel, times: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean of M over pairs of frames, without the diagonal; NaN where there is no pair."""
    counted = rows[:, None] != columns
    if not counted.any():
        return float("nan")
    m = one.model.correlation(one.values, times[rows, None], times[columns], q=one.q, phi=one.phi)
    return float(np.asarray(m)[counted].mean())


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

    ``result`` (FitResult): One-time or two-time. ``chosen``: Bin of the data; the result's nearest bin gives contrast
    and offset. ``window``: Age None averages over all ages. ``tau`` (n,): Lags in s. ``times`` (N,): Frame times in
    s, which the window must not leave.
    """
    one = BinModel.of(result, chosen)
    normalised = _at_lags(one, tau) if one.model.one_time else _in_window(one, window, tau, times)

    def g2(parameters: np.ndarray) -> np.ndarray:
        return one.offset + one.contrast * normalised(parameters)

    middle, half = g2(one.values), np.full(tau.size, np.nan)
    if "covariance" in result.dataset:
        covariance = np.asarray(result.dataset["covariance"].values, dtype=float)
        half = NORMAL_95 * propagate(g2, one.values, covariance)
    return ModelCut(tau, middle, middle - half, middle + half)


def _at_lags(one: BinModel, tau: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda parameters: np.asarray(one.model.correlation(parameters, tau, q=one.q, phi=one.phi))


def _in_window(
    one: BinModel, window: Window, tau: np.ndarray, times: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """M at each lag, averaged over the pairs of times in the window, as a function of the parameters."""
    first, second = pairs_in_window(window, tau, times)
    inside = np.isfinite(first)
    t1, t2 = np.where(inside, first, times[0]), np.where(inside, second, times[0])

    def averaged(parameters: np.ndarray) -> np.ndarray:
        values = np.asarray(one.model.correlation(parameters, t1, t2, q=one.q, phi=one.phi, gap=one.gap))
        count = inside.sum(axis=0)
        total = np.where(inside, values, 0.0).sum(axis=0)
        return np.asarray(np.divide(total, count, out=np.full(tau.size, np.nan), where=count > 0))

    return averaged


def pairs_in_window(window: Window, tau: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time pairs (t1, t2) that a cut averages, shape (pairs, lags); NaN where a pair leaves the run.

    Along a row t1 is the age; across the diagonal the age is (t1 + t2) / 2. As in
    :func:`heterodyne_nb.data.prepare.g2_cuts`, t1 runs over the frames whose pair has an age from
    age - width/2 (in) to age + width/2 (out); of many frames some, evenly spread, stand for all.
    """
    lag = np.asarray(tau, dtype=float)
    step = frame_step(times)
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
    return np.asarray(values[np.unique(np.linspace(0, values.size - 1, _MOST_PAIRS).round().astype(int))])
