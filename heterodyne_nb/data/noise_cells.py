"""What a two-time map shows of its noise: mean squares of second differences, and stripes of single frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from heterodyne_nb.data.speckle_noise import SpeckleCovariance

__all__ = [
    "AGE_BLOCKS",
    "FEWEST_CELLS",
    "LAG_GROUPS",
    "SQUARED",
    "Cells",
    "cells_of_map",
    "diagonal",
    "stripes",
]

LAG_GROUPS, AGE_BLOCKS = 10, 4
FEWEST_CELLS = 8
SQUARED = (6.0, -8.0, 2.0)  #: ⟨(e_i − 2 e_{i+s} + e_{i+2s})²⟩ in terms of Γ(0), Γ(s), Γ(2s)
_MAD_TO_STD = 1.4826
_CLIP = 4.0
_STEPS = 12
_POSITIONS = 12  # places a cell at which the covariance is looked up


def diagonal(c2: np.ndarray, used: np.ndarray, lag: int) -> np.ndarray:
    """Return c2[i, i+lag] as float64, NaN where a frame is not used or the pixel not measured."""
    values = np.diagonal(c2, lag).astype(float)
    values[~(used[: len(used) - lag] & used[lag:] & np.isfinite(values))] = np.nan
    return values


@dataclass(frozen=True)
class Cells:
    """Mean squares of second differences, what speckle of S = 1 gives, steps, pixels and place of each cell."""

    measured: np.ndarray
    speckle: np.ndarray
    step: np.ndarray
    count: np.ndarray
    place: np.ndarray


def cells_of_map(c2: np.ndarray, used: np.ndarray, covariance: SpeckleCovariance) -> Cells:
    """Return the cells of (lag, age, step) in which enough is measured."""
    n = len(used)
    steps = np.unique(np.geomspace(1, max(n // 6, 1), _STEPS).round().astype(int))
    edges = np.linspace(1, max(3 * n // 4, 2), LAG_GROUPS + 1).astype(int)
    per_group = int(np.clip(6000 // n, 4, 15))
    rows = []
    for group, (first, stop) in enumerate(pairwise(edges)):
        lags = np.unique(np.linspace(first, max(stop - 1, first), per_group).astype(int))
        for *cell, block in _of_group(c2, used, covariance, lags, steps):
            rows.append((*cell, AGE_BLOCKS * group + block))
    table = np.array(rows).reshape(-1, 5)
    table = table[np.isfinite(table).all(1) & (table[:, 0] > 0)]
    return Cells(table[:, 0], np.maximum(table[:, 1], 0.0), table[:, 2], table[:, 3], table[:, 4].astype(int))


def _of_group(
    c2: np.ndarray, used: np.ndarray, covariance: SpeckleCovariance, lags: np.ndarray, steps: np.ndarray
) -> list[tuple[float, float, float, float, int]]:
    pixels = np.full((len(lags), max(len(used) - lags[0], 1)), np.nan)
    for row, lag in zip(pixels, lags, strict=True):
        row[: max(len(used) - lag, 0)] = diagonal(c2, used, lag)
    cells, wanted = [], []
    for step in steps:
        length = pixels.shape[1] - 2 * step
        if length < 4 * AGE_BLOCKS:
            break
        d = pixels[:, :length] - 2 * pixels[:, step : step + length] + pixels[:, 2 * step :]
        edges = np.linspace(0, length, AGE_BLOCKS + 1).astype(int)
        for block, (first, stop) in enumerate(pairwise(edges)):
            cells.append((*_mean_square(d[:, first:stop]), step, block))
            wanted.append((first, stop - 1, step))
    if not cells:
        return []
    predicted = _predicted(covariance, len(used), lags, np.array(wanted))
    return [
        (square, p, step, 3 * size / len(lags), block)  # neighbouring lags are no independent pixels
        for (square, size, step, block), p in zip(cells, predicted, strict=True)
    ]


def _mean_square(values: np.ndarray) -> tuple[float, int]:
    size = np.abs(values[np.isfinite(values)])
    if size.size < 2:
        return np.nan, 0
    limit = _CLIP * _MAD_TO_STD * np.partition(size, size.size // 2)[size.size // 2]
    return float(np.mean(np.minimum(size, limit) ** 2)), size.size


def _predicted(covariance: SpeckleCovariance, n: int, lags: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return D for S = 1 in each wanted cell (first, last, step), averaged over places in it."""
    few = lags[:: max(len(lags) // 5, 1)]
    share = np.linspace(0, 1, _POSITIONS)
    first = (wanted[:, :1] + share * (wanted[:, 1:2] - wanted[:, :1])).astype(int)[:, :, None]
    step = wanted[:, 2][:, None, None]
    inside = first + few + 2 * step < n
    i = np.where(inside, first, 0)
    j, step = np.minimum(i + few, n - 1), np.where(inside, step, 0)
    total = sum(
        weight * covariance(i, j, i + times * step, j + times * step) for times, weight in enumerate(SQUARED)
    )
    good = inside & np.isfinite(total)
    count = good.sum((1, 2))
    return np.where(count > 0, np.where(good, total, 0).sum((1, 2)) / np.maximum(count, 1), np.nan)


def stripes(c2: np.ndarray, used: np.ndarray) -> float:
    """Return the variance of the level of single frames; 0 unless it is significant."""
    n = len(used)
    if n < 3 * FEWEST_CELLS:
        return 0.0
    frames = np.unique(np.linspace(1, n - 2, min(n - 2, 256)).astype(int))
    halves = np.array([_row_halves(c2, used, f) for f in frames])
    halves = halves[np.isfinite(halves).all(1)]
    if len(halves) < 2 * FEWEST_CELLS:
        return 0.0
    scale = _MAD_TO_STD * np.median(np.abs(halves), axis=0)
    products = np.prod(np.clip(halves, -_CLIP * scale, _CLIP * scale), axis=1)
    mean, error = products.mean(), products.std() / np.sqrt(len(products))
    return float(mean / 1.5) if mean > 3 * error else 0.0


def _row_halves(c2: np.ndarray, used: np.ndarray, frame: int) -> tuple[float, float]:
    """Return the mean of a row's second differences along the diagonals, its left half and its right half."""
    n = len(used)
    if not used[frame - 1 : frame + 2].all():
        return np.nan, np.nan
    j = np.arange(1, n - 1)
    below = j < frame - 1
    total = np.zeros(n - 2)
    for shift, weight in ((-1, -0.5), (0, 1.0), (1, -0.5)):
        total += weight * np.where(below, c2[j + shift, frame + shift], c2[frame + shift, j + shift])
    good = np.isfinite(total) & used[j - 1] & used[j] & used[j + 1] & (np.abs(j - frame) > 1)
    left, right = good & (j < n // 2), good & (j >= n // 2)
    if min(left.sum(), right.sum()) < FEWEST_CELLS:
        return np.nan, np.nan
    return float(total[left].mean()), float(total[right].mean())
