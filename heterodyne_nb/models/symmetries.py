"""Which of several equivalent parameter vectors is reported (THEORY: exact symmetries of the models).

(v, phi0) -> (-v, phi0) and phi0 -> phi0 + 180° leave the heterodyne model unchanged, and so does swapping the two
components. Reported: v >= 0 at mid-time, phi0 in (-90°, 90°], and the sample as the component with the larger J at
mid-time, halfway between the first and the last frame: there the data tell the two apart best. A rule is applied
only where no bound, fixed value, tie or prior speaks against it. Of several moving components only all velocities
together, or one with half a turn of its direction, may change sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
#: Angles closer than this (degrees) measure the same component of a velocity.
_SAME_ANGLE = 0.5
#: Directions of flow closer than this (degrees) are the same.
SAME_DIRECTION = 2.0


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
    middle = 0.5 * float(t[0] + t[-1])
    for change in (_swap, _turn_directions, _turn_velocities):
        candidate = change(model.name, names, theta, middle)
        if candidate is not None and _allowed(candidate, theta, table):
            theta = candidate
    return theta


def near_twin(model: Any, theta: Iterable[float], t: FloatArray, table: Any) -> FloatArray | None:
    """The two components swapped as far as fixed values allow: where they do not, another optimum may hide there.

    Parameters
    ----------
    model, theta, t, table
        As for :func:`canonical`.

    Returns
    -------
    (p,) or None
        Inside the bounds, fixed values kept. None where the swap is exact, or the model has none.
    """
    if model.name != "heterodyne":
        return None
    theta = np.array(theta, float)
    names, middle = list(model.parameter_names), 0.5 * float(t[0] + t[-1])
    swapped = _swapped(names, theta)
    if _allowed(swapped, theta, table):
        return None
    out = np.where(table.vary, swapped, theta)
    for at in (0, 3):  # J at mid-time is that of the other component whatever else is fixed
        if table.vary[at]:
            rest = _value(swapped, at, middle) - out[at + 2]
            out[at] = rest * middle ** -out[at + 1]
    return np.clip(out, table.lower, table.upper)


def _allowed(candidate: FloatArray, theta: FloatArray, table: Any) -> bool:
    changed = ~np.isclose(candidate, theta, rtol=1e-12, atol=0.0)
    tied = np.array([name is not None for name in table.tie])
    targets = np.array([name in table.tie for name in table.names])
    expected = np.array([prior is not None for prior in table.prior])
    free = table.vary & ~tied & ~targets & ~expected
    inside = (candidate >= table.lower) & (candidate <= table.upper)
    return bool(np.all(free[changed]) and np.all(inside))


def _value(theta: FloatArray, at: int, t: float) -> float:
    return float(theta[at] * t ** theta[at + 1] + theta[at + 2])


def _swap(mode: str, names: list[str], theta: FloatArray, middle: float) -> FloatArray | None:
    """Call the faster component the sample."""
    if mode == "heterodyne" and _value(theta, 3, middle) < _value(theta, 0, middle):
        return _swapped(names, theta)
    out = theta.copy()
    if mode == "heterodyne_equilibrium" and theta[2] < theta[1]:
        out[:3] = 1.0 - theta[0], theta[2], theta[1]
        return out
    return None


def _swapped(names: list[str], theta: FloatArray) -> FloatArray:
    out = theta.copy()
    out[0:3], out[3:6] = theta[3:6], theta[0:3]
    f0, f3 = names.index("f0"), names.index("f3")
    out[f0], out[f3] = -theta[f0], 1.0 - theta[f3]
    return out


def _turn_directions(mode: str, names: list[str], theta: FloatArray, middle: float) -> FloatArray | None:
    """Half turns; of several moving components each must then change the sign of its velocity."""
    directions = [i for i, name in enumerate(names) if name.startswith("phi0")]
    speeds = _speeds(names)
    out = theta.copy()
    for k, i in enumerate(directions):
        out[i] = 90.0 - (90.0 - theta[i]) % 180.0
        if len(directions) > 1 and round((theta[i] - out[i]) / 180.0) % 2:
            out[[speeds[k], speeds[k] + 2]] *= -1.0
    return out


def _turn_velocities(mode: str, names: list[str], theta: FloatArray, middle: float) -> FloatArray | None:
    """All at once, so that the first one is positive."""
    speeds = _speeds(names)
    if not speeds or _value(theta, speeds[0], middle) >= 0:
        return None
    out = theta.copy()
    for at in speeds:
        out[[at, at + 2]] *= -1.0
    return out


def _speeds(names: list[str]) -> list[int]:
    """Where the velocity power laws begin."""
    return [i for i, name in enumerate(names) if name.startswith(("v0", "gamma_dot_0"))]


def distinct_angles(phi: FloatArray) -> FloatArray:
    """Azimuths (degrees) that measure different components of a velocity: modulo half a turn."""
    folded = np.sort(np.mod(phi, 180.0))
    kept = [folded[0]]
    for angle in folded[1:]:
        if angle - kept[-1] > _SAME_ANGLE and kept[0] + 180.0 - angle > _SAME_ANGLE:
            kept.append(angle)
    return np.array(kept)
