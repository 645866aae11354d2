"""Which of several equivalent parameter vectors is reported (THEORY: exact symmetries of the models).

(v, phi0) -> (-v, phi0) and phi0 -> phi0 + 180° leave the heterodyne model unchanged, and so does swapping the two
components. Reported: v >= 0 at mid-time, phi0 in (-90°, 90°], and the sample as the component with the larger J at
mid-time. A rule is applied only where no bound, fixed value or tie speaks against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def canonical(model: Any, theta: Iterable[float], t: FloatArray, table: Any) -> FloatArray:
    """The reported form of a published vector.

    Parameters
    ----------
    model : Model
    theta : (p,)
    t : (N,)
        Frame times in s.
    table : ParameterTable
        Bounds and roles, which an equivalent vector must respect.
    """
    theta = np.array(theta, float)
    names = list(model.parameter_names)
    middle = float(np.sqrt(t[0] * t[-1]))
    for change in (_swap, _turn_velocity, _turn_direction):
        candidate = change(model.name, names, theta, middle)
        if candidate is not None and _allowed(candidate, theta, table):
            theta = candidate
    return theta


def _allowed(candidate: FloatArray, theta: FloatArray, table: Any) -> bool:
    changed = ~np.isclose(candidate, theta, rtol=1e-12, atol=0.0)
    tied = np.array([name is not None for name in table.tie])
    targets = np.array([name in table.tie for name in table.names])
    free = table.vary & ~tied & ~targets
    inside = (candidate >= table.lower) & (candidate <= table.upper)
    return bool(np.all(free[changed]) and np.all(inside))


def _value(theta: FloatArray, at: int, t: float) -> float:
    return float(theta[at] * t ** theta[at + 1] + theta[at + 2])


def _swap(mode: str, names: list[str], theta: FloatArray, middle: float) -> FloatArray | None:
    if mode != "heterodyne" or _value(theta, 3, middle) >= _value(theta, 0, middle):
        return None
    out = theta.copy()
    out[0:3], out[3:6] = theta[3:6], theta[0:3]
    f0, f3 = names.index("f0"), names.index("f3")
    out[f0], out[f3] = -theta[f0], 1.0 - theta[f3]
    return out


def _turn_velocity(mode: str, names: list[str], theta: FloatArray, middle: float) -> FloatArray | None:
    first = {"heterodyne": "v0", "laminar_flow": "gamma_dot_0"}.get(mode)
    if first is None:
        return None
    at = names.index(first)
    if _value(theta, at, middle) >= 0:
        return None
    out = theta.copy()
    out[at], out[at + 2] = -theta[at], -theta[at + 2]
    return out


def _turn_direction(mode: str, names: list[str], theta: FloatArray, middle: float) -> FloatArray | None:
    if mode not in ("heterodyne", "laminar_flow", "heterodyne_equilibrium"):
        return None
    at = names.index("phi0")
    out = theta.copy()
    out[at] = 90.0 - (90.0 - theta[at]) % 180.0
    return out
