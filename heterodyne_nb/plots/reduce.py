"""Maps on their way to the browser: block means that forget no frame and trip over no gap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from heterodyne_nb.errors import ConfigurationError

#: Pixels read from a file at once, about 64 MB of float32.
_STRIP_PIXELS = 16_000_000
#: Pixels averaged at once: they and what is made of them stay in the processor's cache.
_CACHED_PIXELS = 1 << 18

ReadStrip = Callable[[int, int], np.ndarray]


def reduction_factor(shape: tuple[int, ...], max_size: int) -> int:
    """Smallest whole block edge that brings both sides of a (rows, columns) map to `max_size` or less.

    Raises
    ------
    ConfigurationError
        If `max_size` is below 1.
    """
    if max_size < 1:
        raise ConfigurationError(
            f"a map cannot be reduced to {max_size} pixels",
            where="max_size",
            expected="1 or more",
        )
    return max(1, -(-max(shape[-2:], default=1) // int(max_size)))


def reduce_map(values: np.ndarray, max_size: int = 500) -> tuple[np.ndarray, int]:
    """Reduce a map by the mean over square blocks, leaving NaN pixels out of each mean.

    Parameters
    ----------
    values : array, shape (rows, columns)
        Any unit; NaN where there is nothing.
    max_size : int
        Longest side wanted.

    Returns
    -------
    reduced : float32 array
        Shape (ceil(rows / factor), ceil(columns / factor)); the last blocks may be smaller, and a
        block without any value is NaN.
    factor : int
        Block edge in pixels; 1 means `values` came back unreduced.

    Raises
    ------
    ConfigurationError
        If `values` is not a map or `max_size` is below 1.
    """
    values = np.asarray(values)
    if values.ndim != 2:
        raise ConfigurationError(f"a map has two axes, not {values.ndim}", where="values")
    factor = reduction_factor(values.shape, max_size)
    return block_mean(values, factor), factor


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor × factor blocks of the last two axes, NaN left out, as float32."""
    if factor == 1:
        return values.astype(np.float32)
    step = max(factor, _CACHED_PIXELS // max(values.shape[-1], 1) // factor * factor)
    parts = [_mean(values[..., low : low + step, :], factor) for low in range(0, values.shape[-2], step)]
    return np.concatenate(parts, axis=-2).astype(np.float32)


def _mean(values: np.ndarray, factor: int) -> np.ndarray:
    total = _block_sum(values, factor)
    if np.isfinite(total).all():
        down, across = (_sizes(length, factor) for length in values.shape[-2:])
        return total / (down[:, None] * across)
    finite = np.isfinite(values)
    total = _block_sum(np.where(finite, values, values.dtype.type(0)), factor)
    count = _block_sum(finite.view(np.uint8), factor)
    mean = np.full(total.shape, np.nan)
    return np.divide(total, count, out=mean, where=count > 0)


def _block_sum(values: np.ndarray, factor: int) -> np.ndarray:
    """Sum over blocks: down the rows first, where neighbours in memory stay neighbours."""
    rows = values.shape[-2]
    whole = rows // factor * factor
    dtype = np.uint32 if values.dtype == np.uint8 else None
    blocks = values[..., :whole, :].reshape(*values.shape[:-2], -1, factor, values.shape[-1])
    down = blocks.sum(axis=-2, dtype=dtype)
    if whole < rows:
        rest = values[..., whole:, :].sum(axis=-2, keepdims=True, dtype=dtype)
        down = np.concatenate([down, rest], axis=-2)
    starts = np.arange(0, values.shape[-1], factor)
    return np.add.reduceat(down, starts, axis=-1, dtype=np.float64)


def _sizes(length: int, factor: int) -> np.ndarray:
    """Pixels of each block along an axis; the last may be short."""
    return np.minimum(factor, length - np.arange(0, length, factor))


def reduced_curve(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean of each block of `factor` points of a curve or coordinate; the last block may be short."""
    values = np.asarray(values, dtype=float)
    return np.add.reduceat(values, np.arange(0, values.size, factor)) / _sizes(values.size, factor)


def reduce_strips(
    read: ReadStrip, rows: int, columns: int, factor: int, pixels: int | None = None
) -> np.ndarray:
    """Block means of a map that is read strip by strip, so that it never has to be in memory.

    Parameters
    ----------
    read : callable
        ``read(first, last)`` returns rows first..last-1, shape (..., last - first, columns).
    rows, columns : int
        Size of the whole map.
    factor : int
        Block edge.
    pixels : int, optional
        Pixels read at once, about.
    """
    step = max(factor, (pixels or _STRIP_PIXELS) // max(columns, 1) // factor * factor)
    strips = [block_mean(read(low, min(low + step, rows)), factor) for low in range(0, rows, step)]
    return np.concatenate(strips, axis=-2)
