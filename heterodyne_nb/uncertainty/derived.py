"""Numbers that follow from a fit: a parameter, a curve at a time, or a derived figure such as a displacement.

D = J/2: the intensity decays as exp(-2 q² D tau) for ordinary diffusion.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.curves import Curve
from heterodyne_nb.text.numbers import number
from heterodyne_nb.uncertainty.bands import jacobian

#: ``"v0"``, ``"v"`` (at mid-time), ``"v(12.5)"``, ``("v", 12.5)`` or ``"displacement"``.
TargetName = str | tuple[str, float]

_AT_TIME = re.compile(r"(\w+)\(\s*([-+.\deE]+)\s*\)")
#: Panels and nodes of the quadrature in time. On panels of constant ratio a power law integrates to rounding.
_PANELS, _NODES = 24, 10
#: By the role of a curve: what it is, what its integral over the run is, and in which unit.
_INTEGRALS = {"velocity": ("velocity", "displacement", "Å"), "shear_rate": ("shear rate", "strain", "1")}


@dataclass(frozen=True, eq=False)
class Quantity:
    """One number that follows from the parameters."""

    name: str  #: As it is shown, e.g. ``"v(50)"``.
    unit: str
    description: str
    compute: Callable[[FloatArray], float]  #: Published parameters (p,) to the number.

    def slopes(self, theta: FloatArray) -> FloatArray:
        """Derivatives by the published parameters, (p,)."""
        return np.asarray(jacobian(lambda p: np.array([self.compute(p)]), np.asarray(theta, float))[0])


def quantities_of(model: Any, t: FloatArray | None) -> list[Quantity]:
    """The figures that follow from a model's parameters.

    ``model`` (model of :class:`heterodyne_nb.models.ModelFactory`). ``t``: Times of the run in s; its first and last
    count. None for one-time models.
    """
    return _of_curves(model, t) if t is not None and model.curve_units else _of_parameters(model)


def has_fringes(model: Any, t: FloatArray | None) -> bool:
    """Whether the model has one velocity and its direction, so that every bin has a fringe rate."""
    flows = model.of_role("velocity")
    return t is not None and not model.one_time and len(flows) == 1 and flows[0].direction is not None


def fringe_rates(model: Any, t: FloatArray, bins: xr.Dataset) -> Callable[[FloatArray], FloatArray]:
    """Function from parameters (p,) to q cos(phi0 - phi) v at mid-time of every bin, rad/s, (B,)."""
    mid = np.array([middle_of(t)])
    velocity, along = _at(model, model.of_role("velocity")[0].name, mid), _projection(model, bins)
    return lambda p: along(p) * velocity(p)


def fringe_counts(model: Any, t: FloatArray, bins: xr.Dataset) -> Callable[[FloatArray], FloatArray]:
    """Function from parameters (p,) to the fringes q cos(phi0 - phi) ∫v dt / 2π of every bin, (B,)."""
    start, stop, along = float(np.min(t)), float(np.max(t)), _projection(model, bins)
    name = model.of_role("velocity")[0].name
    return lambda p: (
        along(p) * time_integral(lambda times: model.curves(p, times)[name], start, stop) / (2 * np.pi)
    )


def _projection(model: Any, bins: xr.Dataset) -> Callable[[FloatArray], FloatArray]:
    place = model.of_role("velocity")[0].direction
    q, phi = bins["q"].values, bins["phi"].values
    return lambda p: q * np.cos(np.radians(p[place] - phi))


def time_integral(curve: Callable[[FloatArray], FloatArray], start: float, stop: float) -> float:
    """Integrate a smooth function of time over [start, stop] in s, 0 < start < stop.

    Gauss-Legendre on panels of constant ratio, so power laws with exponents from -2 to 2 come out to
    rounding whatever the span.
    """
    edges = np.geomspace(start, stop, _PANELS + 1)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * np.diff(edges)[:, None]
    middle = 0.5 * (edges[1:] + edges[:-1])[:, None]
    return float(np.sum(half * weights * curve((middle + half * nodes).ravel()).reshape(_PANELS, _NODES)))


def _of_curves(model: Any, t: FloatArray) -> list[Quantity]:
    start, stop = float(np.min(t)), float(np.max(t))
    mid = np.array([middle_of(t)])
    two_components = len(model.of_role("fraction")) == 1
    found: list[Quantity] = []
    for curve in model.curve_specs:
        at_mid = _at(model, curve.name, mid)
        if curve.role == "transport":
            found.append(_diffusion(model, curve, at_mid, "at mid-time"))
        elif curve.role in _INTEGRALS and stop > start:
            found += _mean_and_integral(model, curve, start, stop)
        elif curve.role == "fraction" and two_components:
            found.append(_intensity_fraction(at_mid))
    return found


def _of_parameters(model: Any) -> list[Quantity]:
    constants = (curve for curve in model.of_role("transport") if curve.form == "constant")
    return [_diffusion(model, curve, partial(curve.at, t=1.0), "in equilibrium") for curve in constants]


def _diffusion(model: Any, curve: Curve, value: Callable[[FloatArray], float], when: str) -> Quantity:
    description = f"diffusion coefficient {curve.name}/2 {when}"
    return Quantity(f"D{_suffix(model, curve)}", "Å²/s", description, lambda p: 0.5 * value(p))


def _suffix(model: Any, curve: Curve) -> str:
    """What tells a figure of this curve from that of another of its role."""
    alike = [other.suffix for other in model.of_role(curve.role)]
    return curve.suffix if alike.count(curve.suffix) == 1 else f"_{curve.name}"


def _intensity_fraction(fraction: Callable[[FloatArray], float]) -> Quantity:
    def compute(p: FloatArray) -> float:
        x = fraction(p)
        return x**2 / (x**2 + (1 - x) ** 2)

    return Quantity("intensity_fraction", "1", "part of the intensity from the sample at mid-time", compute)


def _mean_and_integral(model: Any, curve: Curve, start: float, stop: float) -> list[Quantity]:
    def total(p: FloatArray) -> float:
        return time_integral(lambda times: model.curves(p, times)[curve.name], start, stop)

    def mean(p: FloatArray) -> float:
        return total(p) / (stop - start)

    what, whole, unit = _INTEGRALS[curve.role]
    return [
        Quantity(f"mean_{curve.name}", curve.unit, f"mean {what} over the run", mean),
        Quantity(f"{whole}{_suffix(model, curve)}", unit, f"{whole}, first to last frame", total),
    ]


def _at(model: Any, curve: str, when: FloatArray) -> Callable[[FloatArray], float]:
    return lambda p: float(np.asarray(model.curves(p, when)[curve]).ravel()[0])


def target(model: Any, name: TargetName, t: FloatArray | None) -> Quantity:
    """The number a name stands for.

    ``model`` (model of :class:`heterodyne_nb.models.ModelFactory`). ``name``: A published parameter, a curve (at
    mid-time), a curve at a time in s (``"v(12.5)"``), or a derived figure. ``t``: Times of the run in s.

    Raises ConfigurationError: Nothing of the mode has this name, or the time is outside the run.
    """
    if isinstance(name, tuple) and len(name) == 2:
        return _curve(model, str(name[0]), float(name[1]), t)
    match = _AT_TIME.fullmatch(str(name))
    if match:
        return _curve(model, match.group(1), _time(match.group(2), name), t)
    for i, spec in enumerate(model.parameters):
        if spec.name == name:
            return Quantity(spec.name, spec.unit, "published parameter", _component(i))
    if name in model.curve_units and t is not None:
        return _curve(model, str(name), middle_of(t), t)
    for quantity in quantities_of(model, t):
        if quantity.name == name:
            return quantity
    raise ConfigurationError(f"nothing of mode {model.name!r} is called {name!r}", expected=_offer(model, t))


def middle_targets(model: Any, t: FloatArray, moving: NDArray[np.int64]) -> list[Quantity]:
    """Every curve at mid-time, and the parameters that belong to no curve.

    ``model`` (model of :class:`heterodyne_nb.models.ModelFactory`). ``t``: Times of the run in s. ``moving``:
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


def _curve(model: Any, name: str, at: float, t: FloatArray | None) -> Quantity:
    if name not in model.curve_units:
        raise ConfigurationError(f"mode {model.name!r} has no curve {name!r}", expected=_offer(model, t))
    if not at > 0 or (t is not None and not np.min(t) * (1 - 1e-9) <= at <= np.max(t) * (1 + 1e-9)):
        run = "above 0 s" if t is None else f"from {np.min(t):g} to {np.max(t):g} s"
        raise ConfigurationError(f"{name} at {at:g} s is outside the run", expected=f"a time {run}")
    when = np.array([at])
    shown = f"{name}({number(at)})"
    return Quantity(
        shown,
        model.curve_units[name],
        f"{name} at {number(at)} s",
        _at(model, name, when),
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
