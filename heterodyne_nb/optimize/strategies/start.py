"""Start values, bounds and scales of a plain callable, read and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import Bounds

from heterodyne_nb.errors import ConfigurationError


def read_start(initial_params: Any) -> np.ndarray:
    """Start values as a new float vector; anything else is a ConfigurationError."""
    try:
        x0 = np.array(initial_params, dtype=float)
    except (TypeError, ValueError):
        raise ConfigurationError(f"start values {initial_params!r} are not numbers") from None
    if x0.ndim != 1 or x0.size == 0:
        raise ConfigurationError(f"start values have shape {x0.shape}", expected="one number per parameter")
    bad = np.flatnonzero(~np.isfinite(x0))
    if bad.size:
        raise ConfigurationError(f"start values {bad.tolist()} are not finite: {x0[bad].tolist()}")
    return x0


def read_bounds(bounds: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds (n,) from pairs, an (n, 2) array, SciPy Bounds or None (all open)."""
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    if isinstance(bounds, Bounds):
        pairs = np.column_stack([np.broadcast_to(b, n) for b in (bounds.lb, bounds.ub)]).astype(float)
    else:
        pairs = _pairs(bounds)
    if pairs.shape != (n, 2):
        raise ConfigurationError(f"bounds have shape {pairs.shape}", expected=f"{n} pairs (lower, upper)")
    lower, upper = pairs.T.copy()
    bad = np.flatnonzero(~(lower <= upper))
    if bad.size:
        raise ConfigurationError(
            f"bounds {bad.tolist()} are {pairs[bad].tolist()}", expected="lower <= upper"
        )
    return lower, upper


def _pairs(bounds: Any) -> np.ndarray:
    try:
        opened = [(-np.inf if lo is None else lo, np.inf if hi is None else hi) for lo, hi in bounds]
        return np.array(opened, dtype=float).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"bounds {bounds!r} cannot be read", expected="pairs (lower, upper)"
        ) from None


def require_inside(x0: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    """Raise a ConfigurationError that names every start value outside its bounds."""
    outside = np.flatnonzero((x0 < lower) | (x0 > upper))
    if outside.size:
        told = "; ".join(f"x{i} = {x0[i]:g} not in [{lower[i]:g}, {upper[i]:g}]" for i in outside)
        raise ConfigurationError(f"the start lies outside the bounds: {told}")


def typical_size(x0: np.ndarray, lower: np.ndarray, upper: np.ndarray, scale: Any) -> np.ndarray:
    """Size of each parameter: as given, else its start, else a tenth of its range, else 1."""
    if scale is not None:
        given = np.array(scale, dtype=float)
        if given.shape != x0.shape or not (np.isfinite(given) & (given > 0)).all():
            raise ConfigurationError(f"scale is {scale!r}", expected=f"{x0.size} numbers above 0")
        return given
    width = np.where(np.isfinite(upper - lower) & (upper > lower), upper - lower, 0.0)
    small = np.abs(x0) <= 1e-3 * width
    size = np.where(small, 0.1 * width, np.abs(x0))
    return np.where(size > 0, size, 1.0)
