"""Choose q and φ: nearest values, lists of them, or ranges; φ ranges may cross ±180°."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.bins import levels
from heterodyne_nb.errors import ConfigurationError

__all__ = ["select"]

Choice = float | Sequence[float] | tuple[float, float] | None

_SINGLE_PHI_TOLERANCE = 10.0
"""How far (degrees) a wanted φ may be from the only φ there is."""


def select(ds: xr.Dataset, *, q: Choice = None, phi: Choice = None) -> xr.Dataset:
    """Keep some q and φ, reading nothing.

    Parameters
    ----------
    ds : xarray.Dataset
        A dataset with dims ``q``, ``phi`` or with dim ``bin``.
    q : float, list of float, or (lo, hi), optional
        In 1/Å. A number keeps the nearest q, a list the nearest of each, a tuple of two the inclusive range.
    phi : float, list of float, or (lo, hi), optional
        In degrees, equal modulo 360. ``(170, -170)`` and ``(170, 190)`` are the same range across the cut.

    Returns
    -------
    xarray.Dataset
        With all its dimensions, in the order of ``ds`` (a list of numbers: in the order of the list).

    Raises
    ------
    ConfigurationError
        Nothing matches, or a number is further from every value than these are from each other.
    """
    if "bin" in ds.dims:
        return _select_bins(ds, q, phi)
    for name, choice in (("q", q), ("phi", phi)):
        if choice is not None:
            ds = ds.isel({name: _matching(name, np.atleast_1d(ds[name].values), choice)})
    return ds


def _select_bins(ds: xr.Dataset, q: Choice, phi: Choice) -> xr.Dataset:
    """Keep the bins that satisfy q first, then those of them that satisfy phi (ring by ring for numbers)."""
    if q is not None:
        rings, ring_of_bin = levels(ds["q"].values)
        ds = ds.isel(bin=_bins_of(ring_of_bin, _matching("q", rings, q)))
    if phi is None:
        return ds
    if isinstance(phi, tuple):
        return ds.isel(bin=_matching("phi", ds["phi"].values, phi))
    _, ring_of_bin = levels(ds["q"].values)
    kept = []
    for ring in dict.fromkeys(ring_of_bin.tolist()):
        members = np.flatnonzero(ring_of_bin == ring)
        kept.append(members[_matching("phi", ds["phi"].values[members], phi)])
    return ds.isel(bin=np.concatenate(kept))


def _bins_of(ring_of_bin: np.ndarray, rings: np.ndarray) -> np.ndarray:
    return np.concatenate([np.flatnonzero(ring_of_bin == ring) for ring in rings])


def _matching(name: str, values: np.ndarray, choice: Any) -> np.ndarray:
    """Return the indices of ``values`` that ``choice`` asks for."""
    numbers = _numbers(name, choice)
    if isinstance(choice, tuple):
        return _in_range(name, values, numbers)
    found = [_nearest(name, values, wanted) for wanted in numbers]
    return np.array(list(dict.fromkeys(found)), dtype=int)


def _numbers(name: str, choice: Any) -> np.ndarray:
    expected = "a number, a list of numbers, or a (lo, hi) tuple"
    try:
        numbers = np.atleast_1d(np.asarray(choice, dtype=float))
    except (TypeError, ValueError):
        numbers = np.array([])
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ConfigurationError(f"cannot select {choice!r}", where=name, expected=expected)
    if isinstance(choice, tuple) and numbers.size != 2:
        raise ConfigurationError(
            f"the range {choice!r} has {numbers.size} numbers",
            where=name,
            expected=expected,
            hint="write a list, [..], to ask for single values",
        )
    return numbers


def _in_range(name: str, values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    lo, hi = limits
    inside = _RANGE[name](values, lo, hi)
    if not inside.any():
        raise ConfigurationError(f"no {name} in [{lo:g}, {hi:g}]", where=name, expected=_offer(name, values))
    return np.flatnonzero(inside)


def _q_inside(values: np.ndarray, lo: float, hi: float) -> np.ndarray:
    slack = 1e-9 * max(abs(lo), abs(hi))
    return (values >= lo - slack) & (values <= hi + slack)


def _phi_inside(values: np.ndarray, lo: float, hi: float) -> np.ndarray:
    if hi - lo >= 360:
        return np.isfinite(values)
    slack = 1e-9 * 360
    return (values - lo + slack) % 360 <= (hi - lo) % 360 + 2 * slack


def _q_distance(values: np.ndarray, wanted: float) -> np.ndarray:
    return np.abs(values - wanted)


def _phi_distance(values: np.ndarray, wanted: float) -> np.ndarray:
    return np.abs((values - wanted + 180) % 360 - 180)


_RANGE: dict[str, Callable[..., np.ndarray]] = {"q": _q_inside, "phi": _phi_inside}
_DISTANCE: dict[str, Callable[..., np.ndarray]] = {"q": _q_distance, "phi": _phi_distance}


def _nearest(name: str, values: np.ndarray, wanted: float) -> int:
    distance = np.where(np.isfinite(values), _DISTANCE[name](values, wanted), np.inf)
    best = int(np.argmin(distance))
    if distance[best] > _tolerance(name, values):
        raise ConfigurationError(
            f"no {name} near {wanted:g}; the nearest, {values[best]:g}, is too far to be meant",
            where=name,
            expected=_offer(name, values),
            hint="q is in 1/Å (0.1 nm⁻¹ is 0.01 1/Å), phi in degrees",
        )
    return best


def _tolerance(name: str, values: np.ndarray) -> float:
    """Return the widest spacing of the values: a number further away than that is a mistake."""
    distinct = np.unique(values[np.isfinite(values)])
    if distinct.size > 1:
        return float(np.diff(distinct).max())
    return _SINGLE_PHI_TOLERANCE if name == "phi" else 0.5 * float(np.abs(distinct).max(initial=0))


def _offer(name: str, values: np.ndarray) -> str:
    distinct = np.unique(values[np.isfinite(values)])
    shown = [f"{v:.6g}" for v in distinct]
    if len(shown) > 24:
        shown = [*shown[:12], "…", *shown[-12:]]
    return f"one of the {distinct.size} {name} in the data: {', '.join(shown)}"
