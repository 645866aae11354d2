"""Figures that follow from a fit: diffusion coefficients, mean velocities, displacements, fringe rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.results.delta import propagate

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


def derived_quantities(
    model: Any,
    parameters: FloatArray,
    covariance: FloatArray | None,
    t: FloatArray | None,
    bins: xr.Dataset | None = None,
) -> xr.Dataset:
    """Compute derived figures with delta-method errors.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    parameters : array, shape (p,)
        Published values.
    covariance : array, shape (p, p), optional
        Without it the errors are NaN.
    t : array, optional
        Times of the run in s; its first and last count. None for one-time models.
    bins : xarray.Dataset, optional
        With coordinates ``q`` (1/Å) and ``phi`` (degrees) on ``bin``: fringe rates are added.

    Returns
    -------
    xarray.Dataset
        ``value``, ``stderr``, ``unit``, ``description`` on dimension ``quantity``; where the model has
        a velocity and a flow direction also ``fringe_rate(bin)`` = q cos(phi0 - phi) v at mid-time
        (rad/s) and ``fringe_rate_stderr(bin)``.

    Notes
    -----
    D = J/2: the intensity decays as exp(-2 q² D tau) for ordinary diffusion.
    """
    quantities = _of_curves(model, t) if t is not None and model.curve_units else _of_parameters(model)

    def all_of(p: FloatArray) -> FloatArray:
        return np.array([quantity.compute(p) for quantity in quantities], dtype=float)

    table = xr.Dataset(
        {
            "value": ("quantity", all_of(parameters)),
            "stderr": ("quantity", _stderr(all_of, parameters, covariance)),
            "unit": ("quantity", [quantity.unit for quantity in quantities]),
            "description": ("quantity", [quantity.description for quantity in quantities]),
        },
        coords={"quantity": [quantity.name for quantity in quantities]},
    )
    if bins is None or t is None or "v" not in model.curve_units or "phi0" not in _names(model):
        return table
    return table.merge(_fringes(model, parameters, covariance, t, bins))


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


def _stderr(
    function: Callable[[FloatArray], FloatArray], parameters: FloatArray, covariance: FloatArray | None
) -> FloatArray:
    if covariance is None:
        return np.full(function(parameters).shape, np.nan)
    return propagate(function, parameters, covariance)


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


def _fringes(
    model: Any, parameters: FloatArray, covariance: FloatArray | None, t: FloatArray, bins: xr.Dataset
) -> xr.Dataset:
    mid = np.array([0.5 * (np.min(t) + np.max(t))])
    velocity, place = _at(model, "v", mid), _names(model).index("phi0")
    q, phi = bins["q"].values, bins["phi"].values

    def rates(p: FloatArray) -> FloatArray:
        return q * np.cos(np.radians(p[place] - phi)) * velocity(p)

    attrs = {"units": "rad/s", "long_name": "fringe rate q cos(phi0 - phi) v at mid-time"}
    errors = {"units": "rad/s", "long_name": "standard error of the fringe rate"}
    return xr.Dataset(
        {
            "fringe_rate": ("bin", rates(parameters), attrs),
            "fringe_rate_stderr": ("bin", _stderr(rates, parameters, covariance), errors),
        },
        coords={name: bins[name] for name in ("bin", "q", "phi") if name in bins.coords},
    )


def _at(model: Any, curve: str, when: FloatArray) -> Callable[[FloatArray], float]:
    return lambda p: float(np.asarray(model.curves(p, when)[curve]).ravel()[0])


def _names(model: Any) -> list[str]:
    return [spec.name for spec in model.parameters]
