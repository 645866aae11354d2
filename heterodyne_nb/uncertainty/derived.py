"""Figures that follow from a fit: diffusion coefficients, mean velocities, displacements, fringe rates.

D = J/2: the intensity decays as exp(-2 q² D tau) for ordinary diffusion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Panels and nodes of the quadrature in time. On panels of constant ratio a power law integrates to rounding.
_PANELS, _NODES = 24, 10


@dataclass(frozen=True)
class Quantity:
    """One derived figure: how to compute it from the parameters, and what it is."""

    name: str
    unit: str
    description: str
    compute: Callable[[FloatArray], float]


def quantities_of(model: Any, t: FloatArray | None) -> list[Quantity]:
    """The figures that follow from a model's parameters.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    t : array, optional
        Times of the run in s; its first and last count. None for one-time models.
    """
    return _of_curves(model, t) if t is not None and model.curve_units else _of_parameters(model)


def has_fringes(model: Any, t: FloatArray | None) -> bool:
    """Whether the model has a velocity and one direction of flow, so that every bin has a fringe rate."""
    return t is not None and "v" in model.curve_units and "phi0" in _names(model)


def fringe_rates(model: Any, t: FloatArray, bins: xr.Dataset) -> Callable[[FloatArray], FloatArray]:
    """Function from parameters (p,) to q cos(phi0 - phi) v at mid-time of every bin, rad/s, (B,)."""
    mid = np.array([0.5 * (np.min(t) + np.max(t))])
    velocity, along = _at(model, "v", mid), _projection(model, bins)
    return lambda p: along(p) * velocity(p)


def fringe_counts(model: Any, t: FloatArray, bins: xr.Dataset) -> Callable[[FloatArray], FloatArray]:
    """Function from parameters (p,) to the fringes q cos(phi0 - phi) ∫v dt / 2π of every bin, (B,)."""
    start, stop, along = float(np.min(t)), float(np.max(t)), _projection(model, bins)
    return lambda p: (
        along(p) * time_integral(lambda times: model.curves(p, times)["v"], start, stop) / (2 * np.pi)
    )


def _projection(model: Any, bins: xr.Dataset) -> Callable[[FloatArray], FloatArray]:
    place = _names(model).index("phi0")
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
    mid = np.array([0.5 * (start + stop)])
    found: list[Quantity] = []
    for curve, unit in model.curve_units.items():
        at_mid = _at(model, curve, mid)
        if curve.startswith("J"):
            found.append(_diffusion(curve, at_mid, "at mid-time"))
        elif unit in ("Å/s", "1/s") and stop > start:
            found += _mean_and_integral(model, curve, unit, start, stop)
        elif curve == "x_sample":
            found.append(_intensity_fraction(at_mid))
    return found


def _of_parameters(model: Any) -> list[Quantity]:
    names = _names(model)
    return [
        _diffusion(name, partial(_component, i), "in equilibrium")
        for i, name in enumerate(names)
        if name.startswith("J")
    ]


def _component(i: int, p: FloatArray) -> float:
    return float(p[i])


def _diffusion(curve: str, value: Callable[[FloatArray], float], when: str) -> Quantity:
    description = f"diffusion coefficient {curve}/2 {when}"
    return Quantity("D" + curve[1:], "Å²/s", description, lambda p: 0.5 * value(p))


def _intensity_fraction(fraction: Callable[[FloatArray], float]) -> Quantity:
    def compute(p: FloatArray) -> float:
        x = fraction(p)
        return x**2 / (x**2 + (1 - x) ** 2)

    return Quantity("intensity_fraction", "1", "part of the intensity from the sample at mid-time", compute)


def _mean_and_integral(model: Any, curve: str, unit: str, start: float, stop: float) -> list[Quantity]:
    def total(p: FloatArray) -> float:
        return time_integral(lambda times: model.curves(p, times)[curve], start, stop)

    what, whole, whole_unit = {
        "Å/s": ("velocity", "displacement", "Å"),
        "1/s": ("shear rate", "strain", "1"),
    }[unit]
    tail = curve.removeprefix("gamma_dot").removeprefix("v")
    return [
        Quantity(f"mean_{curve}", unit, f"mean {what} over the run", lambda p: total(p) / (stop - start)),
        Quantity(f"{whole}{tail}", whole_unit, f"{whole}, first to last frame", total),
    ]


def _at(model: Any, curve: str, when: FloatArray) -> Callable[[FloatArray], float]:
    return lambda p: float(np.asarray(model.curves(p, when)[curve]).ravel()[0])


def _names(model: Any) -> list[str]:
    return [spec.name for spec in model.parameters]
