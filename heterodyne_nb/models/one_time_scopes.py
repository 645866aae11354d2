"""One-time parameters that differ from bin to bin, are shared, or follow a law in q and phi."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.model import OneTimeModel
from heterodyne_nb.models.parameters import PARAMETERS, ParameterSpec
from heterodyne_nb.models.symmetries import Swap, Symmetry

#: Ways in which values may be grouped over bins; laws are in :data:`LAWS`.
GROUPINGS = ("shared", "q", "phi", "each")
#: q closer than this share, and azimuths closer than this (degrees), are the same.
_SAME_Q, _SAME_PHI = 1e-6, 1e-3


@dataclass(frozen=True)
class Law:
    """How a parameter depends on q (1/Å) and phi (degrees)."""

    #: ``function(q, phi, *values)``; q over its geometric mean q0, or in 1/Å where ``relative`` is False.
    function: Callable[..., Any]
    #: ``parameters(spec)``: the numbers of the law for a parameter, as a tuple of ParameterSpec named by their ends;
    #: they are published as ``Gamma.n``.
    parameters: Callable[[ParameterSpec], tuple[ParameterSpec, ...]]
    #: ``start(q, phi, values)``: start values (n,) from a value of each bin.
    start: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
    relative: bool = True


def _power_start(q: FloatArray, phi: FloatArray, values: FloatArray) -> FloatArray:
    """``q`` over its reference, as in :attr:`Law.function`."""
    logs = np.log(np.maximum(values, 1e-300))
    n = np.polyfit(np.log(q), logs, 1)[0] if np.ptp(np.log(q)) > 1e-6 else 2.0
    return np.array([np.exp(np.median(logs - n * np.log(q))), n])


def _flow_start(q: FloatArray, phi: FloatArray, values: FloatArray) -> FloatArray:
    angles = np.arange(-90.0, 90.0, 3.0)
    shapes = q * np.abs(np.cos(np.radians(angles[:, None] - phi)))
    speed = (shapes @ values) / np.maximum((shapes**2).sum(axis=1), 1e-300)
    best = np.argmin(((values - speed[:, None] * shapes) ** 2).sum(axis=1))
    return np.array([speed[best], angles[best]])


def _linear_start(q: FloatArray, phi: FloatArray, values: FloatArray) -> FloatArray:
    if np.ptp(q) <= 0:
        return np.array([np.median(values), 0.0])
    return np.polyfit(q - 1.0, values, 1)[::-1]


_PHI0 = PARAMETERS["heterodyne_equilibrium"][-1]


def _mid(s: ParameterSpec) -> ParameterSpec:
    return replace(s, name="mid", description=f"{s.name} at the reference q")


#: The laws by name: ``"power"`` mid (q/q0)^n, ``"diffusive"`` D q², ``"flow"`` v q |cos(phi0 - phi)|, ``"linear"``
#: mid + slope (q/q0 - 1), with q0 the geometric mean of q (numbers at q = 1/Å would hang on the exponent). A law of one's
#: own is added to this table.
LAWS: dict[str, Law] = {
    "power": Law(
        lambda q, phi, mid, n: mid * q**n,
        lambda s: (
            _mid(s),
            ParameterSpec("n", "1", 2.0, -10.0, 10.0, f"exponent n of the law of {s.name}, q^n"),
        ),
        _power_start,
    ),
    "diffusive": Law(
        lambda q, phi, d: d * q**2,
        lambda s: (
            ParameterSpec(
                "D", "Å²/s" if s.unit == "1/s" else f"{s.unit}·Å²", 1e3, 1e-12, 1e18, f"{s.name} = D q²"
            ),
        ),
        lambda q, phi, values: np.array([np.median(values / q**2)]),
        relative=False,
    ),
    "flow": Law(
        lambda q, phi, v, phi0: q * v * np.abs(np.cos(np.radians(phi0 - phi))),
        lambda s: (
            ParameterSpec("v", "Å/s", 1e3, 0.0, 1e12, f"velocity: {s.name} = v q cos(phi0 - phi)"),
            replace(_PHI0, name="phi0"),
        ),
        _flow_start,
        relative=False,
    ),
    "linear": Law(
        lambda q, phi, mid, slope: mid + slope * (q - 1.0),
        lambda s: (
            _mid(s),
            ParameterSpec("slope", s.unit, 0.0, -1e6, 1e6, f"slope of {s.name} against q/q0"),
        ),
        _linear_start,
    ),
}


def law_numbers(scope: str, spec: ParameterSpec) -> tuple[ParameterSpec, ...]:
    """The numbers of the law that a parameter follows, named ``Gamma.n``."""
    return tuple(replace(one, name=f"{spec.name}.{one.name}") for one in LAWS[scope].parameters(spec))


def bin_groups(scope: str, q: FloatArray, phi: FloatArray) -> tuple[np.ndarray, list[str]]:
    """The group of each bin (B,), 0 … n-1, and a label of each group.

    Raises ConfigurationError: For an unknown scope.
    """
    if scope not in GROUPINGS:
        raise ConfigurationError(
            f"unknown scope {scope!r}", where="scope", expected=f"one of {known_scopes()}"
        )
    by_q = (
        np.zeros(len(q))
        if scope in ("shared", "phi")
        else _classes(q, _SAME_Q * np.max(np.abs(q), initial=0.0))
    )
    by_phi = np.zeros(len(q)) if scope in ("shared", "q") else _classes(phi, _SAME_PHI)
    pairs = np.stack([by_q, by_phi])
    _, first, group = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    labels = []
    for k in first:
        told = [f"q={q[k]:.6g}"] if scope in ("q", "each") else []
        told += (
            [f"phi={phi[k]:.6g}"] if scope == "phi" or (scope == "each" and np.ptp(phi) > _SAME_PHI) else []
        )
        labels.append(",".join(told))
    if len(set(labels)) < len(labels):
        labels = [f"{label},bin={k}" for label, k in zip(labels, first, strict=True)]
    return np.asarray(group).reshape(-1), labels


def _classes(values: FloatArray, apart: float) -> FloatArray:
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order], prepend=values[order][:1]) > apart
    out = np.empty(len(values))
    out[order] = np.cumsum(steps)
    return out


def known_scopes() -> str:
    """Every scope, in words."""
    return ", ".join([*GROUPINGS, *LAWS])


@dataclass(frozen=True)
class _Place:
    """Where the numbers of one parameter of the model stand among those of the fit."""

    first: int
    count: int
    scope: str
    group: np.ndarray

    @property
    def law(self) -> Law | None:
        return LAWS.get(self.scope)

    @property
    def numbers(self) -> slice:
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True)
class OnBins(Symmetry):
    """A symmetry of one curve for parameters on bins.

    It acts on every group of bins by itself where all that it changes is grouped alike; two components with shared
    parameters or laws are exchanged together, if that is so in most bins.
    """

    curve: Symmetry

    def image(self, model: ScopedModel, theta: FloatArray) -> FloatArray:
        if isinstance(self.curve, Swap):
            swapped = self._exchanged(model, theta, self.curve)
            return theta if swapped is None else swapped
        return self._grouped(
            model, theta, [self.curve.image(model.base, one) for one in model.local(theta).T]
        )

    def reported(self, model: ScopedModel, theta: FloatArray, middle: float) -> FloatArray | None:
        local = model.local(theta).T
        found = [self.curve.reported(model.base, one, middle) for one in local]
        if all(one is None for one in found):
            return None
        changed = np.array([old if new is None else new for new, old in zip(found, local, strict=True)])
        moved = [
            place for place, on in zip(model.places, np.any(changed != local, axis=0), strict=True) if on
        ]
        alike = all(place.law is None and np.array_equal(place.group, moved[0].group) for place in moved)
        if alike:
            return self._grouped(model, theta, changed)
        most = np.mean([one is not None for one in found]) > 0.5
        return self._exchanged(model, theta, self.curve) if most and isinstance(self.curve, Swap) else None

    @staticmethod
    def _grouped(model: ScopedModel, theta: FloatArray, local: Any) -> FloatArray:
        """Numbers of the fit from values of every bin (B, p), of parameters that follow no law."""
        out = theta.copy()
        for place, values in zip(model.places, np.transpose(local), strict=True):
            if place.law is None:
                out[place.first + place.group] = values
        return out

    @staticmethod
    def _exchanged(model: ScopedModel, theta: FloatArray, swap: Swap) -> FloatArray | None:
        out, places = theta.copy(), model.places
        for one, other in swap.curves(model.base):
            for i, j in zip(one.parameters, other.parameters, strict=True):
                if places[i].scope != places[j].scope:
                    return None
                out[places[i].numbers], out[places[j].numbers] = (
                    theta[places[j].numbers], theta[places[i].numbers]
                )  # fmt: skip
        for i in model.base.curve(swap.complement).parameters if swap.complement else ():
            if places[i].scope not in (*GROUPINGS, "linear"):
                return None
            own = places[i].numbers
            out[own] = np.array([1.0, 0.0]) - theta[own] if places[i].scope == "linear" else 1.0 - theta[own]
        return out


class ScopedModel(OneTimeModel):
    """A one-time model on given bins, each of its parameters shared, of its own in groups of bins, or following a law.

    ``scopes``: Parameter -> ``"shared"`` (the default), ``"q"``, ``"phi"``, ``"each"`` or a law of :data:`LAWS`.
    ``q``, ``phi`` (B,): The bins, 1/Å and degrees.

    Attributes: ``parameters``: ``Gamma`` where shared, ``Gamma[q=0.004]``, … where not, ``Gamma.n`` of a law. ``q0``:
    Reference q of laws, the geometric mean over bins.

    Raises ConfigurationError: For an unknown parameter or scope.
    """

    def __init__(self, base: OneTimeModel, scopes: Mapping[str, str], q: FloatArray, phi: FloatArray) -> None:
        self.base, self.name, self.scopes = base, base.name, dict(scopes)
        self.q, self.phi = np.asarray(q, float), np.asarray(phi, float)
        self.q0 = float(np.exp(np.mean(np.log(np.maximum(np.abs(self.q), 1e-300)))))
        unknown = sorted(set(scopes) - set(base.parameter_names))
        if unknown:
            raise ConfigurationError(f"no parameter {unknown[0]!r}", expected=", ".join(base.parameter_names))
        specs: list[ParameterSpec] = []
        self.places: list[_Place] = []
        for spec in base.parameters:
            scope = self.scopes.get(spec.name, "shared")
            if scope in LAWS:
                group, new = np.zeros(len(self.q), int), law_numbers(scope, spec)
            else:
                group, labels = bin_groups(scope, self.q, self.phi)
                new = tuple(
                    replace(spec, name=f"{spec.name}[{label}]" if label else spec.name) for label in labels
                )
            self.places.append(_Place(len(specs), len(new), scope, group))
            specs += new
        self.parameters = tuple(specs)
        self.symmetries = tuple(OnBins(symmetry) for symmetry in base.symmetries)

    def subset(self, keep: np.ndarray) -> ScopedModel:
        """The same parameters on some of the bins; ``keep`` (B,) bool."""
        other = copy(self)
        other.q, other.phi = self.q[keep], self.phi[keep]
        other.places = [replace(place, group=place.group[keep]) for place in self.places]
        return other

    def local(self, theta: Any) -> FloatArray:
        """Parameters of the base model in every bin, (p, B)."""
        theta = np.asarray(theta, float)
        return np.stack([self._value(place, theta, self.q, self.phi, place.group) for place in self.places])

    def _value(self, place: _Place, theta: FloatArray, q: Any, phi: Any, group: Any) -> Any:
        own = theta[place.numbers]
        if place.law is None:
            return own[group]
        return place.law.function(q / self.q0 if place.law.relative else q, phi, *own) + 0.0 * phi

    def chain(self, theta: Any) -> FloatArray:
        """Derivatives of :meth:`local` by the numbers of the fit, (p, B, P)."""
        theta = np.asarray(theta, float)
        out = np.zeros((len(self.places), len(self.q), len(theta)))
        bins = np.arange(len(self.q))
        for i, place in enumerate(self.places):
            if place.law is None:
                out[i, bins, place.first + place.group] = 1.0
                continue
            for k in range(place.first, place.first + place.count):
                step = 1e-6 * max(abs(theta[k]), 1e-6)
                high, low = theta.copy(), theta.copy()
                high[k], low[k] = theta[k] + step, theta[k] - step
                change = self._value(place, high, self.q, self.phi, None) - self._value(
                    place, low, self.q, self.phi, None
                )
                out[i, :, k] = change / (2 * step)
        return out

    def start(self, local: FloatArray) -> FloatArray:
        """Numbers of the fit (P,) from values of the base model in every bin (p, B)."""
        theta = np.empty(len(self.parameters))
        for i, place in enumerate(self.places):
            own = place.numbers
            if place.law:
                q = self.q / self.q0 if place.law.relative else self.q
                theta[own] = place.law.start(q, self.phi, local[i])
            else:
                theta[own] = [np.median(local[i][place.group == g]) for g in range(place.count)]
        return theta

    def correlation(self, params: Any, tau: Any, *, q: Any = 0.0, phi: Any = 0.0) -> Any:
        """See :meth:`OneTimeModel.correlation`; values of groups are those of the nearest bin."""
        theta = self.unpack(params)
        tau, q, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (np.abs(tau), q, phi)))
        turn = np.cos(np.radians(phi.ravel()[:, None] - self.phi))
        place = np.argmin(
            np.abs(q.ravel()[:, None] / np.maximum(self.q, 1e-300) - 1.0) + 1e-3 * (1.0 - turn), axis=1
        ).reshape(q.shape)
        values = [self._value(p, theta, q, phi, p.group[place]) for p in self.places]
        return np.broadcast_to(np.asarray(self.base.evaluate(values, tau, q, phi), float), tau.shape)
