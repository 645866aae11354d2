"""Scattering components from published parameters, for the speckle simulation.

A component is an ensemble of scatterers that diffuses and drifts as one: its share of the field, the
spread ∫J it gains from frame to frame and its displacement ∫v since the first frame. A model says which
components there are and which parameter is what; the formulas are those of THEORY.md, and none of the model's
own are used: the time integrals are taken by Gauss-Legendre quadrature inside every frame interval instead of in
closed form, so that agreement of simulated and modelled correlations tests both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.config.parameters import MULTICOMPONENT
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import Curve, ModelFactory

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


Array = NDArray[np.float64]
Parameters = Sequence[float] | NDArray[np.float64] | Mapping[str, float]

_PER_COMPONENT = 10  # published parameters of every component after the reference, which has 3


@dataclass(frozen=True)
class Axes:
    """The grid of a simulation: q (1/Å), phi (degrees), times t (s) of frames 1..N, dt (s)."""

    q: Array
    phi: Array
    t: Array
    dt: float

    @property
    def bins(self) -> tuple[int, int]:
        return self.q.size, self.phi.size


def check_axes(q: ArrayLike, phi: ArrayLike, n_frames: int, dt: float) -> Axes:
    """Axes of a simulation, or a ConfigurationError that says which is impossible."""
    q_axis, phi_axis = _axis(q, "q"), _axis(phi, "phi")
    if (q_axis <= 0).any():
        raise ConfigurationError(f"q = {q_axis.min():g} 1/Å is not positive", where="q")
    if not (np.isfinite(dt) and dt > 0):
        raise ConfigurationError(f"dt = {dt!r} s", where="dt", expected="a positive frame time in seconds")
    if int(n_frames) != n_frames or n_frames < 2:
        raise ConfigurationError(f"n_frames = {n_frames!r}", where="n_frames", expected="a whole number >= 2")
    return Axes(q_axis, phi_axis, _frame_times(int(n_frames), float(dt)), float(dt))


def _frame_times(n_frames: int, dt: float) -> Array:
    return dt * np.arange(1, n_frames + 1, dtype=np.float64)


def _axis(values: ArrayLike, name: str) -> Array:
    axis = np.atleast_1d(np.asarray(values, dtype=float))
    if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
        raise ConfigurationError(
            f"{values!r} is not an axis", where=name, expected="one number or a list of finite numbers"
        )
    if np.unique(axis).size != axis.size:
        raise ConfigurationError(f"{axis.tolist()} repeats a value", where=name, expected="distinct values")
    return axis


def model_and_vector(mode: str, params: Parameters) -> tuple[Any, Array]:
    """The model of a mode and its checked parameters; "multicomponent" has as many components as `params` describe."""
    count = None
    if mode == MULTICOMPONENT:
        count, rest = divmod(len(params) - 3, _PER_COMPONENT)
        count += 1
        if rest or count < 2:
            raise ConfigurationError(
                f"{len(params)} parameters do not make a {mode} model",
                where="params",
                expected="3 for the reference and 10 for each further component: 13, 23, 33, ...",
            )
    model = ModelFactory.create_model(mode, n_components=count)
    return model, parameter_vector(model.parameter_names, params)


def parameter_vector(names: Sequence[str], params: Parameters) -> Array:
    """`params`, a sequence in published order or a mapping by name, as a finite vector."""
    if isinstance(params, Mapping):
        _check_names(names, params)
        params = [params[name] for name in names]
    vector = np.asarray(params, dtype=float)
    if vector.shape != (len(names),):
        raise ConfigurationError(
            f"{vector.size} values for {len(names)} parameters", where="params", expected=", ".join(names)
        )
    if not np.isfinite(vector).all():
        bad = [name for name, value in zip(names, vector, strict=True) if not np.isfinite(value)]
        raise ConfigurationError(f"{', '.join(bad)}: not a finite number", where="params")
    return vector


def _check_names(names: Sequence[str], params: Mapping[str, float]) -> None:
    unknown = [name for name in params if name not in names]
    missing = [name for name in names if name not in params]
    if not unknown and not missing:
        return
    found = [f"unknown {name!r}" for name in unknown] + [f"missing {name!r}" for name in missing]
    near = [match for name in unknown for match in get_close_matches(name, names, n=1)]
    raise ConfigurationError(
        "; ".join(found),
        where="params",
        expected=", ".join(names),
        hint=f"did you mean {', '.join(map(repr, near))}?" if near else None,
    )


def per_bin(value: ArrayLike, axes: Axes, name: str) -> Array:
    """A setting for every bin, shape (n_q, n_phi): one number, one per q, or the full grid."""
    given = np.asarray(value, dtype=float)
    if given.shape not in {(), axes.q.shape, axes.bins}:
        raise ConfigurationError(
            f"shape {given.shape} does not fit {axes.bins[0]} q × {axes.bins[1]} phi",
            where=name,
            expected="one number, one number per q, or an array (q, phi)",
        )
    return np.array(np.broadcast_to(given[:, None] if given.ndim == 1 else given, axes.bins))


def check_range(values: Array, name: str, low: float, high: float, *, unit: str = "") -> None:
    """ConfigurationError unless every value lies in [low, high]."""
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        raise ConfigurationError(
            f"{values[wrong].flat[0]:g} is out of range",
            where=name,
            expected=f"between {low:g} and {high:g}{' ' + unit if unit else ''}",
        )


def frame_mask(frames: Iterable[int], n_frames: int, name: str) -> NDArray[np.bool_]:
    """True at the named 1-based frames."""
    numbers = np.array(sorted(set(frames)), dtype=int)
    if numbers.size and (numbers[0] < 1 or numbers[-1] > n_frames):
        raise ConfigurationError(
            f"frames {numbers.tolist()} leave the run", where=name, expected=f"1-based frames 1 to {n_frames}"
        )
    mask = np.zeros(n_frames, dtype=bool)
    mask[numbers - 1] = True
    return mask
