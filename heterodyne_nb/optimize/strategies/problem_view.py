"""One view for all optimisers: a plain callable and an objective with normal equations look alike.

Optimisers work in coordinates z that are free (no fixed entries) and of order one; they return
published parameters x through :meth:`ProblemView.to_x`. A plain callable's slopes are measured by differences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from scipy.optimize import Bounds

from heterodyne_nb.errors import ConfigurationError, FitWarning, warn

#: Relative steps: best for the gradient alone, and a compromise that also resolves the curvature (whose
#: own best, eps^1/4, would leave too large an error of third order in the gradient near a minimum).
GRADIENT_STEP = float(np.finfo(float).eps ** (1 / 3))
CURVATURE_STEP = float(np.finfo(float).eps ** 0.3)


class NormalEquations(Protocol):
    """χ² at a point with its gradient (n,) and Gauss-Newton matrix (n, n) in internal coordinates."""

    chi2: float
    gradient: np.ndarray
    hessian: np.ndarray


class Objective(Protocol):
    """What an objective may offer beyond being called with all published parameters."""

    parameter_names: Sequence[str]

    def __call__(self, theta: np.ndarray, /) -> float: ...

    def to_internal(self, theta: np.ndarray, /) -> np.ndarray: ...

    def from_internal(self, z: np.ndarray, /) -> np.ndarray: ...

    def internal_bounds(self, theta: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]: ...

    def normal_equations(self, theta: np.ndarray, /) -> NormalEquations: ...


class ProblemView(ABC):
    """A minimisation problem in free, scaled coordinates."""

    names: tuple[str, ...]  #: Published parameter names.
    z0: np.ndarray  #: (n,): Start point, inside the bounds.
    #: lower, upper (n,): Bounds of z, infinite where open.
    lower: np.ndarray
    upper: np.ndarray
    offers_normal_equations: bool = False

    @abstractmethod
    def to_x(self, z: np.ndarray) -> np.ndarray:
        """Published parameters, all of them, at z."""

    @abstractmethod
    def to_z(self, x: np.ndarray) -> np.ndarray:
        """Coordinates (n,) of published parameters (p,), of which fixed ones are not looked at."""

    @abstractmethod
    def fun(self, z: np.ndarray) -> float:
        """Objective at z."""

    def normal_equations(self, z: np.ndarray) -> NormalEquations | None:
        """χ², gradient and Gauss-Newton matrix at z, or None when the objective has none."""
        return None

    def gradient(self, z: np.ndarray) -> np.ndarray | None:
        """Gradient at z (n,), or None when the objective has none."""
        equations = self.normal_equations(z)
        return None if equations is None else np.asarray(equations.gradient, float)

    def hessian(self, z: np.ndarray) -> np.ndarray | None:
        """Gauss-Newton Hessian at z (n, n), or None when the objective has none."""
        equations = self.normal_equations(z)
        return None if equations is None else np.asarray(equations.hessian, float)

    @property
    def bounds(self) -> Bounds:
        """Bounds of z in SciPy's form."""
        return Bounds(self.lower, self.upper, keep_feasible=True)

    def settle(self, z: np.ndarray) -> np.ndarray:
        """Take the bounds that hold around z, and return the coordinates that z stands for.

        The internal box of an objective may depend on the point (an amplitude's bounds on the exponent),
        and a point beyond its bounds stands for the one the objective really evaluates.
        """
        return self.clip(z)

    def stands_for(self, z: np.ndarray) -> np.ndarray:
        """The coordinates of the point the objective really evaluates at z."""
        return z

    def clip(self, z: np.ndarray) -> np.ndarray:
        """The nearest point inside the bounds."""
        return np.asarray(np.clip(z, self.lower, self.upper))


class PlainView(ProblemView):
    """A plain callable: z = x / scale over the entries whose bounds leave room to move."""

    def __init__(
        self, objective: Callable[[np.ndarray], float], x0: np.ndarray, bounds: Any = None, scale: Any = None
    ) -> None:
        lower, upper = _read_bounds(bounds, x0.size)
        outside = np.flatnonzero((x0 < lower) | (x0 > upper))
        if outside.size:
            told = "; ".join(f"x{i} = {x0[i]:g} not in [{lower[i]:g}, {upper[i]:g}]" for i in outside)
            raise ConfigurationError(f"the start lies outside the bounds: {told}")
        self._objective, self._x0 = objective, x0
        self._free = lower < upper
        self._scale = _typical_size(x0, lower, upper, scale)[self._free]
        self.names = tuple(f"x{i}" for i in range(x0.size))
        self.lower, self.upper = (b[self._free] / self._scale for b in (lower, upper))
        self.z0 = self.clip(x0[self._free] / self._scale)
        self._box = lower, upper

    def to_x(self, z: np.ndarray) -> np.ndarray:
        x = self._x0.copy()
        x[self._free] = z * self._scale
        return np.asarray(np.clip(x, *self._box))

    def to_z(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x[self._free] / self._scale)

    def fun(self, z: np.ndarray) -> float:
        return _number(self._objective(self.to_x(z)))


class ObjectiveView(ProblemView):
    """An objective with internal coordinates; the box is that of the start until :meth:`settle` moves it.

    Those of a χ² that tells its noise are of order one; any others are taken in units of their start.
    """

    def __init__(self, objective: Any, x0: np.ndarray) -> None:
        self._objective = objective
        self.offers_normal_equations = hasattr(objective, "normal_equations")
        self.names = tuple(getattr(objective, "parameter_names", ()) or (f"x{i}" for i in range(x0.size)))
        start = np.asarray(objective.to_internal(x0), float)
        self._unit = np.ones_like(start)
        self._take_box(x0)
        if not hasattr(objective, "reduced"):
            self._unit = _typical_size(start, self.lower, self.upper, None)
            self._take_box(x0)
        start = start / self._unit
        self.z0 = self.clip(start)
        self._cached: tuple[bytes, NormalEquations] | None = None
        self._point: tuple[bytes, np.ndarray] | None = None
        moved = np.flatnonzero(np.abs(start - self.z0) > 1e-9 * (1.0 + np.abs(start)))
        if moved.size:
            text = f"the start lies outside the bounds in internal coordinates {moved.tolist()} "
            warn(f"{text}and was moved to the nearest bound", FitWarning)

    def to_x(self, z: np.ndarray) -> np.ndarray:
        key = z.tobytes()
        if self._point is None or self._point[0] != key:  # value, slopes, bounds are asked of one point
            self._point = key, np.array(self._objective.from_internal(z * self._unit), float)
        return self._point[1].copy()

    def to_z(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # what has no coordinates is NaN, and worth no point
            return np.asarray(np.asarray(self._objective.to_internal(x), float) / self._unit)

    def fun(self, z: np.ndarray) -> float:
        return _number(self._objective(self.to_x(z)))

    def normal_equations(self, z: np.ndarray) -> NormalEquations | None:
        if not self.offers_normal_equations:
            return None
        key = z.tobytes()
        if self._cached is None or self._cached[0] != key:
            self._cached = key, self._in_units(self._objective.normal_equations(self.to_x(z)))
        return self._cached[1]

    def settle(self, z: np.ndarray) -> np.ndarray:
        x = self.to_x(z)
        self._take_box(x)
        return self.clip(self.to_z(x))

    def stands_for(self, z: np.ndarray) -> np.ndarray:
        return self.to_z(self.to_x(z))

    def _take_box(self, x: np.ndarray) -> None:
        lower, upper = self._objective.internal_bounds(x)
        self.lower, self.upper = np.array(lower, float) / self._unit, np.array(upper, float) / self._unit

    def _in_units(self, equations: NormalEquations) -> NormalEquations:
        if (self._unit == 1.0).all():
            return equations
        return SimpleNamespace(
            chi2=equations.chi2,
            gradient=self._unit * equations.gradient,
            hessian=np.outer(self._unit, self._unit) * equations.hessian,
        )


def view_problem(
    objective: Any, initial_params: Any, *, bounds: Any = None, scale: Any = None
) -> ProblemView:
    """Choose the view an objective allows.

    ``objective`` (callable). ``initial_params`` (sequence of float): Start values of all published parameters.
    ``bounds``, ``scale``: For a plain callable only; see
    :class:`~heterodyne_nb.optimize.strategies.strategy.OptimizationStrategy`.

    Raises ConfigurationError: The start is not a vector of finite numbers or lies outside the bounds, or bounds were
    given for an objective that has its own.
    """
    x0 = _read_start(initial_params)
    if not callable(objective):
        raise ConfigurationError(f"the objective {objective!r} cannot be called", expected="f(x) -> float")
    if not all(hasattr(objective, a) for a in ("to_internal", "from_internal", "internal_bounds")):
        return PlainView(objective, x0, bounds, scale)
    for what, value in (("bounds", bounds), ("scale", scale)):
        if value is not None:
            raise ConfigurationError(
                f"{what} were given to the method, but the objective has its own",
                hint=f"set the {what} where the objective is made",
            )
    return ObjectiveView(objective, x0)


def _number(value: Any) -> float:
    array = np.asarray(value, dtype=float)
    if array.size != 1:
        raise ValueError(f"it returned an array of shape {array.shape} instead of one number")
    return float(array.reshape(()))


def _read_start(initial_params: Any) -> np.ndarray:
    """Start values as a new float vector; anything else is a ConfigurationError."""
    try:
        x0 = np.array(initial_params, dtype=float)
    except (TypeError, ValueError):
        raise ConfigurationError(f"start values {initial_params!r} are not numbers") from None
    if x0.ndim != 1 or x0.size == 0:
        raise ConfigurationError(f"start values have shape {x0.shape}", expected="one number per parameter")
    bad = np.flatnonzero(~np.isfinite(x0))
    if bad.size:
        raise ConfigurationError(f"start values {bad.tolist()} are not finite: {x0[bad].tolist()}")
    return x0


def _read_bounds(bounds: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds (n,) from pairs, an (n, 2) array, SciPy Bounds or None (all open)."""
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    if isinstance(bounds, Bounds):
        bounds = np.column_stack([np.broadcast_to(b, n) for b in (bounds.lb, bounds.ub)])
    try:
        opened = [(-np.inf if lo is None else lo, np.inf if hi is None else hi) for lo, hi in bounds]
        pairs = np.array(opened, dtype=float).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"bounds {bounds!r} cannot be read", expected="pairs (lower, upper)"
        ) from None
    if pairs.shape != (n, 2):
        raise ConfigurationError(f"bounds have shape {pairs.shape}", expected=f"{n} pairs (lower, upper)")
    lower, upper = pairs.T.copy()
    bad = np.flatnonzero(~(lower <= upper))
    if bad.size:
        raise ConfigurationError(
            f"bounds {bad.tolist()} are {pairs[bad].tolist()}", expected="lower <= upper"
        )
    return lower, upper


def _typical_size(x0: np.ndarray, lower: np.ndarray, upper: np.ndarray, scale: Any) -> np.ndarray:
    """Size of each parameter: as given, else its start, else a tenth of its range, else 1."""
    if scale is not None:
        given = np.array(scale, dtype=float)
        if given.shape != x0.shape or not (np.isfinite(given) & (given > 0)).all():
            raise ConfigurationError(f"scale is {scale!r}", expected=f"{x0.size} numbers above 0")
        return given
    width = np.where(np.isfinite(upper - lower) & (upper > lower), upper - lower, 0.0)
    small = np.abs(x0) <= 1e-3 * width
    size = np.where(small, 0.1 * width, np.abs(x0))
    return np.where(size > 0, size, 1.0)


def differences(
    fun: Callable[[np.ndarray], float],
    z: np.ndarray,
    f0: float,
    lower: np.ndarray,
    upper: np.ndarray,
    step: float = CURVATURE_STEP,
) -> tuple[np.ndarray, np.ndarray]:
    """Second-order differences of `fun` at z, two evaluations a coordinate.

    Central where the bounds allow, one-sided with two points at a bound. A coordinate with only one
    finite neighbour gets a one-sided slope and no curvature; with none, zero for both.

    ``fun``: May return NaN or infinity. ``z`` (n,). ``f0``: ``fun(z)``, finite. ``lower``, ``upper`` (n,): No point
    outside is evaluated. ``step``: Step relative to ``max(1, |z_i|)``. Returns ``gradient, curvature`` (n,):
    Curvature is the diagonal of the Hessian, NaN where it could not be measured.
    """
    gradient, curvature = np.zeros_like(z), np.full_like(z, np.nan)
    for i in range(z.size):
        a, b = _offsets(z[i], lower[i], upper[i], step)
        fa, fb = (_neighbour(fun, z, i, offset) for offset in (a, b))
        gradient[i], curvature[i] = _three_point(a, fa - f0, b, fb - f0)
    return gradient, curvature


def _offsets(z: float, lower: float, upper: float, step: float) -> tuple[float, float]:
    h = step * max(1.0, abs(z))
    up, down = upper - z, z - lower
    if up >= h and down >= h:
        return h, -h
    if max(up, down) >= 2 * h:
        return (h, 2 * h) if up > down else (-h, -2 * h)
    reach = max(up, down)
    return (reach, 0.5 * reach) if up > down else (-reach, -0.5 * reach)


def _neighbour(fun: Callable[[np.ndarray], float], z: np.ndarray, i: int, offset: float) -> float:
    moved = z.copy()
    moved[i] += offset
    return fun(moved)


def _three_point(a: float, da: float, b: float, db: float) -> tuple[float, float]:
    """Slope and curvature of the parabola through (0, 0), (a, da) and (b, db)."""
    if np.isfinite(da) and np.isfinite(db):
        span = a * b * (b - a)
        return (b * b * da - a * a * db) / span, 2.0 * (a * db - b * da) / span
    if np.isfinite(da):
        return da / a, np.nan
    if np.isfinite(db):
        return db / b, np.nan
    return 0.0, np.nan
