"""What every model is: published parameters, the curves they describe, symmetries, and a correlation.

A separable model gives the engine a few 1-D curves in time:

    M(t1, t2) = sum_k a_k(t1) a_k(t2) exp(-q² (F_k(t2) - F_k(t1))) cos(V_k(t2) - V_k(t1)),   t2 >= t1

with V_k(t) = q * sum_m w_km(phi) X_m(t). Every two-time model without a shear factor has this form
(He et al., PNAS (2025) 10.1073/pnas.2514216122, Eqs. S-94 and S-95).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models.coordinates import fitted_curves
from heterodyne_nb.models.curves import INTEGRALS, Curve, FrameSum, Rule
from heterodyne_nb.models.parameters import ParameterSpec
from heterodyne_nb.models.symmetries import Symmetry

#: A published parameter vector.
Parameters = Sequence[float] | NDArray[Any]


def numbers(values: Any, what: str) -> FloatArray:
    """An array of float64, or a ConfigurationError that says which argument holds none."""
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{what} = {values!r}", expected="numbers") from None


def ordered_times(t1: ArrayLike, t2: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The earlier and the later of two absolute times (s).

    Raises ConfigurationError: A time is not above zero: the first frame is at one frame time.
    """
    t1, t2 = numbers(t1, "t1"), numbers(t2, "t2")
    early, late = np.minimum(t1, t2), np.maximum(t1, t2)
    if not np.all(early > 0):
        raise ConfigurationError(
            f"time {np.min(early):g} s", expected="absolute times above 0 s: the first frame is at t = dt"
        )
    return early, late


#: Times at which limits of curves are checked that need not be monotonic.
_DENSE = 65


@dataclass(frozen=True)
class Part:
    """What a published parameter is."""

    curve: str  #: Name of its curve; its own name where it stands for itself.
    role: str = "other"  #: That of the curve (:data:`heterodyne_nb.models.curves.ROLES`), or ``"direction"``.
    #: ``"amplitude"``, ``"exponent"``, ``"offset"``, ``"rate"``, ``"shift"``, ``"direction"`` or ``"single"``.
    part: str = "single"


class Model(ABC):
    """A correlation model M with published parameters; c2 = offset + contrast * M.

    Attributes
    ----------
    name : str
    parameters : tuple of ParameterSpec
        Published order, units, defaults, bounds.
    one_time : bool
        True when M depends on the lag only.
    curve_specs : tuple of Curve
        What the parameters describe: curves in time (constants, in a one-time model) with unit, role and limits. A
        parameter in none of them stands for itself.
    symmetries : tuple of Symmetry
        Changes of the parameters that leave M as it is, and what decides between the equivalent vectors.
    field_components : tuple of str
        The components whose fields add up to the one that is scattered, by the ``component`` of their curves: J, and
        where they have them velocity and fraction; one without a fraction has the rest. Empty for a model that
        describes a relaxation and no field; see :func:`heterodyne_nb.simulate.speckle`.
    """

    name: str
    parameters: tuple[ParameterSpec, ...]
    one_time: bool = False
    needs_gap: bool = False
    curve_specs: tuple[Curve, ...] = ()
    symmetries: tuple[Symmetry, ...] = ()
    field_components: tuple[str, ...] = ()

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Published names, in order."""
        return tuple(spec.name for spec in self.parameters)

    def unpack(self, params: Parameters) -> FloatArray:
        """Return the parameters as an array of the right length and finite, or say what is wrong."""
        values = numbers(params, f"parameters of model {self.name!r}").ravel()
        if values.size != len(self.parameters):
            raise ConfigurationError(
                f"{values.size} parameters given to model {self.name!r}",
                expected=f"{len(self.parameters)}: {', '.join(self.parameter_names)}",
            )
        if not np.all(np.isfinite(values)):
            bad = [n for n, v in zip(self.parameter_names, values, strict=True) if not np.isfinite(v)]
            raise ConfigurationError(f"parameters {', '.join(bad)} of model {self.name!r} are not finite")
        return values

    @property
    def curve_units(self) -> dict[str, str]:
        """The curves in time with their units; a one-time model has none."""
        return {} if self.one_time else {curve.name: curve.unit for curve in self.curve_specs}

    @property
    def fitted_curves(self) -> tuple[Curve, ...]:
        """The curves that are fitted in coordinates of their own, in the order of their parameters."""
        return fitted_curves(self.curve_specs)

    @property
    def directions(self) -> tuple[int, ...]:
        """Places of the directions of flow."""
        return tuple(sorted({c.direction for c in self.curve_specs if c.direction is not None}))

    def of_role(self, *roles: str) -> tuple[Curve, ...]:
        """The curves that have one of these roles."""
        return tuple(curve for curve in self.curve_specs if curve.role in roles)

    def curve(self, name: str) -> Curve:
        """What is said of a curve; of one that is not declared, nothing but its name."""
        known = {curve.name: curve for curve in self.curve_specs}
        return known.get(name) or Curve(name, self.curve_units.get(name, "1"))

    def parts(self) -> dict[str, Part]:
        """What each published parameter is."""
        found = {name: Part(name) for name in self.parameter_names}
        for curve in self.curve_specs:
            for i, part in curve.parts.items():
                found[self.parameter_names[i]] = Part(curve.name, curve.role, part)
        for i in self.directions:
            found[self.parameter_names[i]] = Part(self.parameter_names[i], "direction", "direction")
        return found

    def curves(self, params: Parameters, t: ArrayLike) -> dict[str, FloatArray]:
        """Curves in time at ``t`` (s), in the units of ``curve_units``; to be written for a curve without a form."""
        theta = self.unpack(params)
        return {c.name: c.value(theta, t) for c in self.curve_specs if c.form and c.name in self.curve_units}

    def physical(self, theta: FloatArray, first: float, last: float) -> bool:
        """Whether every curve stays inside its limits from the first to the last time (s), to rounding."""
        monotonic = all(curve.form for curve in self.curve_specs)
        t = np.array([first, last]) if monotonic else np.linspace(first, last, _DENSE)
        every = self.curves(theta, t)
        for curve in self.curve_specs:
            if curve.name in every and curve.range != (-np.inf, np.inf):
                values, (lower, upper) = every[curve.name], curve.range
                near = 1e-9 * (1.0 if np.isfinite(upper) else 1.0 + float(np.max(np.abs(values))))
                if np.min(values) < lower - near or np.max(values) > upper + near:
                    return False
        return True


@dataclass(frozen=True)
class Terms:
    """Curves of a separable model at N times, for K terms, p parameters, m velocities and B azimuths.

    Attributes
    ----------
    amplitude : (K, N)
        a_k(t).
    decay : (K, N)
        F_k(t) in Å², zero at the first time; the decay of a bin is q² F_k.
    displacement : (m, N)
        X_m(t) in Å, zero at the first time.
    weight : (K, m, B)
        Direction factors w_km, for instance cos(phi0 - phi); all zero for a term without fringes.
    d_amplitude, d_decay : (K, p, N)
    d_displacement : (m, p, N)
    d_weight : (K, m, p, B)
        Derivatives by the published parameters.
    """

    amplitude: FloatArray
    decay: FloatArray
    displacement: FloatArray
    weight: FloatArray
    d_amplitude: FloatArray
    d_decay: FloatArray
    d_displacement: FloatArray
    d_weight: FloatArray

    def __post_init__(self) -> None:  # kernels are compiled for each layout of memory
        for name in ("weight", "d_weight"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name)))

    @classmethod
    def zeros(cls, terms: int, velocities: int, parameters: int, times: int, azimuths: int) -> Terms:
        """All-zero terms, to be filled in place by a model."""
        k, m, p, n, b = terms, velocities, parameters, times, azimuths
        shapes = [(k, n), (k, n), (m, n), (k, m, b), (k, p, n), (k, p, n), (m, p, n), (k, m, p, b)]
        return cls(*(np.zeros(shape) for shape in shapes))

    @property
    def has_fringes(self) -> NDArray[np.bool_]:
        """(K,) which terms carry a cosine."""
        return np.asarray(np.any(self.weight != 0, axis=(1, 2)) | np.any(self.d_weight != 0, axis=(1, 2, 3)))

    def correlation(
        self,
        first: NDArray[np.intp],
        second: NDArray[np.intp],
        q: FloatArray,
        azimuth: NDArray[np.intp],
    ) -> FloatArray:
        """Sum of the terms between two times.

        Parameters
        ----------
        first, second : array of int
            Places of the earlier and the later time among the N; these and the next two have one shape.
        q : array
            1/Å.
        azimuth : array of int
            Places among the B azimuths.
        """
        path = self.displacement[:, second] - self.displacement[:, first]
        total = np.zeros(np.shape(q))
        for a, decay, weight in zip(self.amplitude, self.decay, self.weight, strict=True):
            phase = q * np.sum(weight[:, azimuth] * path, axis=0)
            total += a[first] * a[second] * np.exp(-(q**2) * (decay[second] - decay[first])) * np.cos(phase)
        return total


class TwoTimeModel(Model):
    """A model of the two-time correlation.

    Attributes
    ----------
    rule : FrameSum or None
        How it integrates its curves over time; None: exactly.
    takes_rules : bool
        Whether it can integrate otherwise than exactly.
    """

    rule: Rule = None
    takes_rules: bool = False

    def integrating(self, integral: str, t: ArrayLike) -> Self:
        """The same model with its integrals taken ``"exact"``, by ``"trapezoid"`` or ``"rectangle"`` over frames.

        Parameters
        ----------
        integral : str
            See :class:`heterodyne_nb.models.curves.FrameSum`.
        t : (N,)
            Times of all frames in s, increasing.

        Raises
        ------
        ConfigurationError
            There is no such way to integrate, or the model has a way of its own.

        Examples
        --------
        >>> from heterodyne_nb.models import ModelFactory
        >>> t = np.arange(1.0, 6.0)
        >>> model = ModelFactory.create_model("static_isotropic").integrating("trapezoid", t)
        >>> law = 40.0 * t**-0.5 + 3.0
        >>> same = np.exp(-(0.1**2) * np.trapezoid(law[1:4], t[1:4]))
        >>> bool(np.isclose(model.correlation([40.0, -0.5, 3.0], 2.0, 4.0, q=0.1), same))
        True
        """
        if integral not in INTEGRALS:
            raise ConfigurationError(
                f"integral = {integral!r}", where="integral", expected=f"one of {', '.join(INTEGRALS)}"
            )
        if integral == "exact":
            return self
        if not self.takes_rules:
            raise ConfigurationError(
                f"model {self.name!r} integrates in a way of its own",
                where="integral",
                expected="'exact'; the others are for static_*, laminar_flow, heterodyne, multicomponent_*",
            )
        changed = copy.copy(self)
        changed.rule = FrameSum(integral, np.asarray(t, float))
        return changed

    def checked_gap(self, gap: float | None) -> float | None:
        """The gap of the shear cell in Å, or a ConfigurationError where the model needs one and has none."""
        if self.needs_gap and not (isinstance(gap, Real) and 0 < gap < np.inf):
            raise ConfigurationError(
                f"{self.name} needs the gap of the shear cell, got {gap!r}",
                where="gap",
                expected="a length in Å, greater than 0",
                hint="pass gap=, or set geometry.gap in a configuration",
            )
        return gap

    @abstractmethod
    def correlation(
        self,
        params: Parameters,
        t1: ArrayLike,
        t2: ArrayLike,
        *,
        q: ArrayLike,
        phi: ArrayLike = 0.0,
        gap: float | None = None,
    ) -> Any:
        """Normalised correlation M(t1, t2), 1 on the diagonal.

        Parameters
        ----------
        params : sequence of float
            Published order.
        t1, t2 : array_like
            Absolute times in s, > 0; either may be the later one.
        q, phi : array_like
            Wave vector in 1/Å and azimuth in degrees; all four arrays broadcast together.
        gap : float, optional
            Gap of the shear cell in Å (laminar flow only).
        """


class SeparableModel(TwoTimeModel):
    """A two-time model given by curves (see :class:`Terms`): the engine's fast kernels apply.

    A model of one's own sets ``name``, ``parameters`` and ``curve_specs`` and writes ``terms``; see
    :func:`heterodyne_nb.models.check_model` for its derivatives, and :meth:`ModelFactory.register`.
    """

    def correlation(
        self,
        params: Parameters,
        t1: ArrayLike,
        t2: ArrayLike,
        *,
        q: ArrayLike,
        phi: ArrayLike = 0.0,
        gap: float | None = None,
    ) -> Any:
        """See :meth:`TwoTimeModel.correlation`; ``gap`` is not used."""
        theta, times = self.unpack(params), ordered_times(t1, t2)
        return self.between(theta, *times, numbers(q, "q"), numbers(phi, "phi"))

    def between(
        self, theta: FloatArray, early: FloatArray, late: FloatArray, q: FloatArray, phi: FloatArray
    ) -> Any:
        """M between an earlier and a later time, summed up from the terms; a model may have a formula for it."""
        early, late, q, phi = np.broadcast_arrays(early, late, q, phi)
        times, at = np.unique(np.stack([early, late]), return_inverse=True)
        azimuths, place = np.unique(phi, return_inverse=True)
        terms = self.terms(theta, times, azimuths, derivatives=False)
        first, second = at.reshape(2, *early.shape)
        return terms.correlation(first, second, q, place.reshape(phi.shape))

    @abstractmethod
    def terms(self, params: Parameters, t: FloatArray, phi: FloatArray, *, derivatives: bool = True) -> Terms:
        """Curves at times ``t`` (s, increasing) and azimuths ``phi`` (degrees).

        Without ``derivatives`` those may be left zero; only then is χ² alone asked for.
        """


#: What a parameter of a one-time model is, by its unit, where the model does not say.
_ROLES = {"1/s": "relaxation_rate", "rad/s": "frequency", "Å²/s": "transport", "Å/s": "velocity"}


def curve_of(spec: ParameterSpec, place: int, role: str = "", direction: int | None = None) -> Curve:
    """A parameter of a one-time model as a curve: what it is as declared, or else by its unit."""
    role = role or _ROLES.get(spec.unit, "other")
    return Curve(
        spec.name, spec.unit, role, (place,), "constant", direction=direction if role == "velocity" else None
    )


class OneTimeModel(Model):
    """A model of the one-time correlation.

    A model of one's own sets ``name`` and ``parameters`` and writes ``evaluate``; sums of decays and fringes need no
    class (:class:`heterodyne_nb.models.one_time.FieldSum`).

    Attributes
    ----------
    uses_q : bool
        False where neither q nor phi enters the formula: all curves then share one set of shapes, which is faster.

    Examples
    --------
    >>> import numpy as np
    >>> from heterodyne_nb.models import ModelFactory, OneTimeModel, ParameterSpec
    >>> class Plateau(OneTimeModel):
    ...     name = "plateau"
    ...     parameters = (ParameterSpec("Gamma", "1/s", 1, 1e-9, 1e9, "rate"), ParameterSpec("p", "1", 0.1, 0, 1, "plateau"))
    ...     def evaluate(self, values, tau, q, phi):
    ...         return values[1] + (1 - values[1]) * np.exp(-2 * values[0] * tau)
    >>> ModelFactory.register(Plateau)
    'plateau'
    >>> ModelFactory.unregister("plateau")
    """

    one_time = True
    uses_q: bool = True

    def evaluate(self, values: Any, tau: Any, q: Any, phi: Any) -> Any:
        """M where the parameters differ from curve to curve.

        Parameters
        ----------
        values : (p, …)
            Published order; each entry broadcasts with the other arguments.
        tau, q, phi : array
            Lags in s (0 or more), 1/Å, degrees.
        """
        if type(self).correlation is OneTimeModel.correlation:
            raise ConfigurationError(f"model {self.name!r} has no formula", expected="a method evaluate")
        values, tau = np.asarray(values, float), np.asarray(tau, float)
        shape = np.broadcast_shapes(values.shape[1:], tau.shape, np.shape(q), np.shape(phi))
        tau, q, phi = (np.broadcast_to(a, shape) for a in (tau, q, phi))
        same = values.reshape(len(values), -1)
        if same.shape[1] == 1:
            return self.correlation(same[:, 0], tau, q=q, phi=phi)
        curves = np.broadcast_to(values, (len(values), *shape))[..., 0]  # alike along the lags
        out = np.empty(shape)
        for at in np.ndindex(*shape[:-1]):
            out[at] = self.correlation(curves[(slice(None), *at)], tau[at], q=q[at], phi=phi[at])
        return out

    def correlation(
        self, params: Parameters, tau: ArrayLike, *, q: ArrayLike = 0.0, phi: ArrayLike = 0.0
    ) -> Any:
        """Normalised correlation M(tau) on the broadcast of tau (s), q (1/Å) and phi (degrees)."""
        values = self.unpack(params)
        tau, q, phi = np.broadcast_arrays(*(np.asarray(a, float) for a in (np.abs(tau), q, phi)))
        return np.broadcast_to(np.asarray(self.evaluate(values, tau, q, phi), float), tau.shape)

    def with_derivatives(self, values: Any, tau: Any, q: Any, phi: Any) -> tuple[FloatArray, FloatArray]:
        """M and its derivatives by the parameters, the latter with a first axis of length p; by differences.

        ``values`` (p, …) broadcast as in :meth:`evaluate`; where a step would pass a parameter's default bound it is
        taken to the other side.
        """
        values = np.asarray(values, float)
        m = np.asarray(self.evaluate(values, tau, q, phi), float)
        slopes = np.empty((len(values), *m.shape))
        for i, spec in enumerate(self.parameters):
            size = 6e-6 * np.maximum(np.abs(values[i]), 1e-6 * min(spec.upper - spec.lower, 1e6))
            high, low = values.copy(), values.copy()
            high[i] = np.where(values[i] + size > spec.upper, values[i], values[i] + size)
            low[i] = np.where(values[i] - size < spec.lower, values[i], values[i] - size)
            change = np.asarray(self.evaluate(high, tau, q, phi)) - self.evaluate(low, tau, q, phi)
            slopes[i] = change / (high[i] - low[i])
        return m, slopes

    def start_range(self, place: int, first: float, last: float, q: float) -> tuple[float, float] | None:
        """Where start values of a parameter are looked for, for lags from ``first`` to ``last`` (s) at ``q`` (1/Å)."""
        if place in self.directions:
            return -90.0, 90.0
        declared = {curve.parameters[0]: curve for curve in self.curve_specs if curve.parameters}
        curve = declared.get(place) or curve_of(self.parameters[place], place)
        return curve.start_range(max(q, 1e-12), first, last)
