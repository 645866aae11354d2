"""Scattering components from published parameters, for the speckle simulation.

A component is an ensemble of scatterers that diffuses and drifts as one: its share of the field, the
spread ∫J it gains from frame to frame and its displacement ∫v since the first frame. A model says which
components there are and which parameter is what; the formulas are those of THEORY.md, and none of the model's
own are used: the time integrals are taken by Gauss-Legendre quadrature inside every frame interval instead of in
closed form, so that agreement of simulated and modelled correlations tests both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import Curve, ModelFactory
from heterodyne_nb.simulate.inputs import Array, Axes, Parameters, model_and_vector

_NODES = 12  # t^a over [dt, 2 dt], the worst interval, is then exact to rounding


@dataclass(frozen=True)
class Component:
    """One population of scatterers, sampled at N frames."""

    amplitude: Array  #: (N,) share of the field at each frame
    spread: Array  #: (N-1,) ∫J dt from each frame to the next, Å²
    displacement: Array  #: (N,) ∫v dt since the first frame, Å
    direction: float = 0.0  #: degrees


def components(mode: str, params: Parameters, axes: Axes, gap: float | None = None) -> list[Component]:
    """Scattering components of an analysis mode.

    ``mode``: A mode that `ModelFactory` knows and whose model names its ``field_components``. ``params``: Published
    parameters of the mode. ``axes``: Times of the frames; the largest q fixes how finely a sheared gap is divided.
    ``gap``: Gap of the shear cell in Å, needed by laminar_flow.

    Raises ConfigurationError: For an unknown or one-time-only mode, a negative J or a fraction outside [0, 1].
    """
    model, theta = model_and_vector(mode, params)
    curves = [
        {curve.role: curve for curve in model.curve_specs if curve.component == name}
        for name in model.field_components
    ]
    if not curves:
        known = (n for n in ModelFactory.names() if ModelFactory.create_model(n).field_components)
        raise ConfigurationError(
            f"{mode!r} describes a relaxation, not a field",
            where="mode",
            expected=f"one of {', '.join(known)}",
        )
    if "shear_rate" in curves[0]:
        return _layers(model, theta, curves[0], axes, gap)
    shares = _shares(model, theta, curves, axes.t)
    return [
        Component(
            share,
            _spread(model, theta, own["transport"], axes.t),
            *_drift(model, theta, own.get("velocity"), axes.t),
        )
        for share, own in zip(shares, curves, strict=True)
    ]


def _shares(model: Any, theta: Array, curves: list[dict[str, Curve]], t: Array) -> list[Array]:
    """Of the field; those of the intensity are their squares. The component without a fraction has the rest."""
    rest, found = np.ones(t.size), dict[int, Array]()
    for k, own in enumerate(curves):
        curve = own.get("fraction") or own.get("intensity_fraction")
        if curve is not None and curve.form is not None:
            found[k] = _fraction(_exponential(model, theta, curve, t), t, _names(model, curve))
            rest = rest - found[k]
    every = [found[k] if k in found else _fraction(rest, t, "fractions") for k in range(len(curves))]
    return [np.sqrt(x) for x in every] if any("intensity_fraction" in own for own in curves) else every


def _drift(model: Any, theta: Array, curve: Curve | None, t: Array) -> tuple[Array, float]:
    """Displacement and direction."""
    if curve is None:
        return np.zeros(t.size), 0.0
    assert curve.direction is not None
    return _displacement(model, theta, curve, t), float(theta[curve.direction])


def _layers(
    model: Any, theta: Array, curves: dict[str, Curve], axes: Axes, gap: float | None
) -> list[Component]:
    """A sheared gap as thin layers, each drifting at its own height: Gauss-Legendre over the gap."""
    if gap is None or not gap > 0:
        raise ConfigurationError(
            f"gap = {gap!r}", where="gap", expected=f"the gap of the shear cell in Å, for {model.name}"
        )
    strain, phi0 = _drift(model, theta, curves["shear_rate"], axes.t)
    steepest = 0.5 * axes.q.max() * gap * np.ptp(strain)
    heights, weights = np.polynomial.legendre.leggauss(10 + int(np.ceil(0.6 * steepest)))
    spread = _spread(model, theta, curves["transport"], axes.t)
    return [
        Component(np.full(axes.t.size, np.sqrt(w / 2)), spread, 0.5 * gap * h * strain, phi0)
        for h, w in zip(heights, weights, strict=True)
    ]


def _spread(model: Any, theta: Array, curve: Curve, t: Array) -> Array:
    gained, lowest = _steps(model, theta, curve, t)
    if lowest < 0:
        raise ConfigurationError(
            f"J(t) falls to {lowest:.4g} Å²/s",
            where=_names(model, curve),
            expected="J(t) >= 0 over the whole run: no field loses spread",
        )
    return gained


def _displacement(model: Any, theta: Array, curve: Curve, t: Array) -> Array:
    steps, _ = _steps(model, theta, curve, t)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _steps(model: Any, theta: Array, curve: Curve, t: Array) -> tuple[Array, float]:
    """Integral of a curve over every frame interval, and the lowest value met."""
    values = [float(theta[i]) for i in curve.parameters]
    if curve.form == "constant":
        return values[0] * np.diff(t), values[0]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    middle, half = 0.5 * (t[1:] + t[:-1]), 0.5 * np.diff(t)
    inside = middle[:, None] + half[:, None] * nodes
    if curve.form == "spline":
        rate = model.curves(theta, inside)[curve.name]
    else:
        scale, exponent, offset = values
        rate = scale * inside**exponent + offset
    return half * (rate @ weights), float(rate.min())


def _exponential(model: Any, theta: Array, curve: Curve, t: Array) -> Array:
    if curve.form == "spline":
        return np.asarray(model.curves(theta, t)[curve.name])
    values = [float(theta[i]) for i in curve.parameters]
    if curve.form == "constant":
        return np.full(t.size, values[0])
    f0, f1, f3, f2 = (*values, 0.0)[:4]
    return f0 * np.exp(f1 * (t - f2)) + f3


def _fraction(x: Array, t: Array, names: str) -> Array:
    wrong = ~((x >= 0) & (x <= 1))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ConfigurationError(
            f"a fraction is {x[k]:.4g} at t = {t[k]:g} s",
            where=names,
            expected="fractions between 0 and 1 over the whole run",
        )
    return x


def _names(model: Any, curve: Curve) -> str:
    return ", ".join(model.parameter_names[i] for i in sorted(curve.parameters))
