"""Numbers that a question about a fit can be put to: a parameter, a curve at a time, a derived figure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.text.numbers import number
from heterodyne_nb.uncertainty.delta import jacobian
from heterodyne_nb.uncertainty.derived import quantities_of

FloatArray = NDArray[np.float64]
#: ``"v0"``, ``"v"`` (at mid-time), ``"v(12.5)"``, ``("v", 12.5)`` or ``"displacement"``.
TargetName = str | tuple[str, float]

_AT_TIME = re.compile(r"(\w+)\(\s*([-+.\deE]+)\s*\)")


@dataclass(frozen=True, eq=False)
class Target:
    """One number that follows from the parameters.

    Attributes
    ----------
    name : str
        As it is shown, e.g. ``"v(50)"``.
    unit : str
    description : str
    compute : callable
        Published parameters (p,) to the number.
    """

    name: str
    unit: str
    description: str
    compute: Callable[[FloatArray], float]

    def slopes(self, theta: FloatArray) -> FloatArray:
        """Derivatives by the published parameters, (p,)."""
        return jacobian(lambda p: np.array([self.compute(p)]), np.asarray(theta, float))[0]


def target(model: Any, name: TargetName, t: FloatArray | None) -> Target:
    """The number a name stands for.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    name : str or (str, float)
        A published parameter, a curve (at mid-time), a curve at a time in s (``"v(12.5)"``), or a derived figure.
    t : array or None
        Times of the run in s.

    Raises
    ------
    ConfigurationError
        Nothing of the mode has this name, or the time is outside the run.
    """
    if isinstance(name, tuple) and len(name) == 2:
        return _curve(model, str(name[0]), float(name[1]), t)
    match = _AT_TIME.fullmatch(str(name))
    if match:
        return _curve(model, match.group(1), _time(match.group(2), name), t)
    for i, spec in enumerate(model.parameters):
        if spec.name == name:
            return Target(spec.name, spec.unit, "published parameter", _component(i))
    if name in model.curve_units and t is not None:
        return _curve(model, str(name), middle_of(t), t)
    for quantity in quantities_of(model, t):
        if quantity.name == name:
            return Target(quantity.name, quantity.unit, quantity.description, quantity.compute)
    raise ConfigurationError(f"nothing of mode {model.name!r} is called {name!r}", expected=_offer(model, t))


def middle_targets(model: Any, t: FloatArray, moving: NDArray[np.int64]) -> list[Target]:
    """Every curve at mid-time, and the parameters that belong to no curve.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    t : array
        Times of the run in s.
    moving : array of int
        Parameters that the fit moves.
    """
    middle = np.array([middle_of(t)])
    values = np.array([spec.default for spec in model.parameters])

    def curves(p: FloatArray) -> FloatArray:
        return np.array([float(np.ravel(c)[0]) for c in model.curves(p, middle).values()])

    felt = np.any(jacobian(curves, values) != 0, axis=0) if model.curve_units else np.zeros(len(values), bool)
    declared = {i for curve in model.curve_specs for i in curve.parameters}
    alone = [model.parameters[i].name for i in moving if not felt[i] and i not in declared]
    return [target(model, name, t) for name in (*model.curve_units, *alone)]


def middle_of(t: FloatArray) -> float:
    """Mid-time of a run in s."""
    return 0.5 * (float(np.min(t)) + float(np.max(t)))


def _component(i: int) -> Callable[[FloatArray], float]:
    return lambda p: float(p[i])


def _curve(model: Any, name: str, at: float, t: FloatArray | None) -> Target:
    if name not in model.curve_units:
        raise ConfigurationError(f"mode {model.name!r} has no curve {name!r}", expected=_offer(model, t))
    if not at > 0 or (t is not None and not np.min(t) * (1 - 1e-9) <= at <= np.max(t) * (1 + 1e-9)):
        run = "above 0 s" if t is None else f"from {np.min(t):g} to {np.max(t):g} s"
        raise ConfigurationError(f"{name} at {at:g} s is outside the run", expected=f"a time {run}")
    when = np.array([at])
    shown = f"{name}({number(at)})"
    return Target(
        shown,
        model.curve_units[name],
        f"{name} at {number(at)} s",
        lambda p: float(np.ravel(model.curves(p, when)[name])[0]),
    )


def _time(text: str, name: TargetName) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{name!r}: {text!r} is not a time", expected="e.g. 'v(12.5)'") from None


def _offer(model: Any, t: FloatArray | None) -> str:
    curves = ", ".join(model.curve_units)
    parts = [f"parameters {', '.join(model.parameter_names)}"]
    if curves:
        parts.append(f"curves {curves} (at mid-time, or at a time: '{next(iter(model.curve_units))}(12.5)')")
    derived = [q.name for q in quantities_of(model, t)]
    if derived:
        parts.append(f"derived {', '.join(derived)}")
    return "; ".join(parts)
