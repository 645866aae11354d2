"""Scattering components from published parameters, for the speckle simulation.

A component is an ensemble of scatterers that diffuses and drifts as one: its share of the field, the
spread ∫J it gains from frame to frame and its displacement ∫v since the first frame. The power laws and
the fraction are those of THEORY.md; nothing here is shared with `heterodyne_nb.models`: the time integrals
are taken by Gauss-Legendre quadrature inside every frame interval instead of in closed form, so that
agreement of simulated and modelled correlations tests both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.simulate.inputs import Array, Axes, Parameters, parameter_vector, published_names

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

    Parameters
    ----------
    mode : str
        static_isotropic, static_anisotropic, heterodyne, heterodyne_equilibrium, laminar_flow or
        multicomponent.
    params : sequence or mapping
        Published parameters of the mode.
    axes : Axes
        Times of the frames; the largest q fixes how finely a sheared gap is divided.
    gap : float, optional
        Gap of the shear cell in Å, needed by laminar_flow.

    Raises
    ------
    ConfigurationError
        For an unknown or one-time-only mode, a negative J or a fraction outside [0, 1].
    """
    names = published_names(mode, params)
    values = dict(zip(names, map(float, parameter_vector(names, params)), strict=True))
    family = "multicomponent" if mode.startswith("multicomponent") else mode
    if family == "laminar_flow":
        return _laminar(values, axes, gap)
    if family not in _BUILDERS:
        raise ConfigurationError(
            f"{mode!r} describes a relaxation, not a field",
            where="mode",
            expected=f"one of {', '.join(sorted([*_BUILDERS, 'laminar_flow']))}",
        )
    return _BUILDERS[family](values, axes.t)


def _static(p: Mapping[str, float], t: Array) -> list[Component]:
    return [Component(np.ones(t.size), _spread(p, "", t), np.zeros(t.size))]


def _heterodyne(p: Mapping[str, float], t: Array) -> list[Component]:
    x = _fraction(p["f0"] * np.exp(p["f1"] * (t - p["f2"])) + p["f3"], t)
    drift = _displacement(p["v0"], p["beta"], p["v_offset"], t)
    return [
        Component(1 - x, _spread(p, "_ref", t), np.zeros(t.size)),
        Component(x, _spread(p, "_sample", t), drift, p["phi0"]),
    ]


def _equilibrium(p: Mapping[str, float], t: Array) -> list[Component]:
    share = _fraction(np.full(t.size, p["fraction"]), t)  # of the intensity, so fields take its root
    step = np.diff(t)
    return [
        Component(np.sqrt(1 - share), p["J_ref"] * step, np.zeros(t.size)),
        Component(np.sqrt(share), p["J_sample"] * step, p["v"] * (t - t[0]), p["phi0"]),
    ]


def _multicomponent(p: Mapping[str, float], t: Array) -> list[Component]:
    count = sum(name.startswith("D0_") for name in p)
    rest = np.ones(t.size)
    moving = []
    for k in range(2, count + 1):
        x = p[f"f0_{k}"] * np.exp(p[f"f1_{k}"] * t) + p[f"f3_{k}"]
        rest -= x
        drift = _displacement(p[f"v0_{k}"], p[f"beta_{k}"], p[f"v_offset_{k}"], t)
        moving.append(Component(_fraction(x, t), _spread(p, f"_{k}", t), drift, p[f"phi0_{k}"]))
    return [Component(_fraction(rest, t), _spread(p, "_1", t), np.zeros(t.size)), *moving]


def _laminar(p: Mapping[str, float], axes: Axes, gap: float | None) -> list[Component]:
    """A sheared gap as thin layers, each drifting at its own height: Gauss-Legendre over the gap."""
    if gap is None or not gap > 0:
        raise ConfigurationError(
            f"gap = {gap!r}", where="gap", expected="the gap of the shear cell in Å, for laminar_flow"
        )
    strain = _displacement(p["gamma_dot_0"], p["beta"], p["gamma_dot_offset"], axes.t)
    steepest = 0.5 * axes.q.max() * gap * np.ptp(strain)
    heights, weights = np.polynomial.legendre.leggauss(10 + int(np.ceil(0.6 * steepest)))
    spread = _spread(p, "", axes.t)
    return [
        Component(np.full(axes.t.size, np.sqrt(w / 2)), spread, 0.5 * gap * h * strain, p["phi0"])
        for h, w in zip(heights, weights, strict=True)
    ]


_BUILDERS: dict[str, Callable[[Mapping[str, float], Array], list[Component]]] = {
    "static_isotropic": _static,
    "static_anisotropic": _static,
    "heterodyne": _heterodyne,
    "heterodyne_equilibrium": _equilibrium,
    "multicomponent": _multicomponent,
}


def _spread(p: Mapping[str, float], suffix: str, t: Array) -> Array:
    gained, lowest = _power_law(p[f"D0{suffix}"], p[f"alpha{suffix}"], p[f"D_offset{suffix}"], t)
    if lowest < 0:
        raise ConfigurationError(
            f"J(t) falls to {lowest:.4g} Å²/s",
            where=f"D0{suffix}, alpha{suffix}, D_offset{suffix}",
            expected="J(t) >= 0 over the whole run: no field loses spread",
        )
    return gained


def _displacement(scale: float, exponent: float, offset: float, t: Array) -> Array:
    steps, _ = _power_law(scale, exponent, offset, t)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _power_law(scale: float, exponent: float, offset: float, t: Array) -> tuple[Array, float]:
    """Integral of scale·t^exponent + offset over every frame interval, and its lowest value met."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    middle, half = 0.5 * (t[1:] + t[:-1]), 0.5 * np.diff(t)
    rate = scale * (middle[:, None] + half[:, None] * nodes) ** exponent + offset
    return half * (rate @ weights), float(rate.min())


def _fraction(x: Array, t: Array) -> Array:
    wrong = ~((x >= 0) & (x <= 1))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ConfigurationError(
            f"a fraction is {x[k]:.4g} at t = {t[k]:g} s",
            where="f0, f1, f2, f3",
            expected="fractions between 0 and 1 over the whole run",
        )
    return x
