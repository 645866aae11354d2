"""One view for all optimisers: a plain callable and an objective with normal equations look alike.

Optimisers work in coordinates z that are free (no fixed entries) and of order one; they return
published parameters x through :meth:`ProblemView.to_x`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from scipy.optimize import Bounds

from heterodyne_nb.errors import ConfigurationError, FitWarning, warn
from heterodyne_nb.optimize.strategies.start import read_bounds, read_start, require_inside, typical_size


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
    """A minimisation problem in free, scaled coordinates.

    Attributes
    ----------
    names : tuple of str
        Published parameter names.
    z0 : ndarray (n,)
        Start point, inside the bounds.
    lower, upper : ndarray (n,)
        Bounds of z, infinite where open.
    offers_normal_equations : bool
    """

    names: tuple[str, ...]
    z0: np.ndarray
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
        return np.clip(z, self.lower, self.upper)


class PlainView(ProblemView):
    """A plain callable: z = x / scale over the entries whose bounds leave room to move."""

    def __init__(
        self, objective: Callable[[np.ndarray], float], x0: np.ndarray, bounds: Any = None, scale: Any = None
    ) -> None:
        lower, upper = read_bounds(bounds, x0.size)
        require_inside(x0, lower, upper)
        self._objective, self._x0 = objective, x0
        self._free = lower < upper
        self._scale = typical_size(x0, lower, upper, scale)[self._free]
        self.names = tuple(f"x{i}" for i in range(x0.size))
        self.lower, self.upper = (b[self._free] / self._scale for b in (lower, upper))
        self.z0 = self.clip(x0[self._free] / self._scale)
        self._box = lower, upper

    def to_x(self, z: np.ndarray) -> np.ndarray:
        x = self._x0.copy()
        x[self._free] = z * self._scale
        return np.clip(x, *self._box)

    def to_z(self, x: np.ndarray) -> np.ndarray:
        return x[self._free] / self._scale

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
            self._unit = typical_size(start, self.lower, self.upper, None)
            self._take_box(x0)
        start = start / self._unit
        self.z0 = self.clip(start)
        self._warn_if_moved(start)
        self._cached: tuple[bytes, NormalEquations] | None = None

    def to_x(self, z: np.ndarray) -> np.ndarray:
        return np.array(self._objective.from_internal(z * self._unit), float)

    def to_z(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # what has no coordinates is NaN, and worth no point
            return np.asarray(self._objective.to_internal(x), float) / self._unit

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

    def _warn_if_moved(self, start: np.ndarray) -> None:
        moved = np.flatnonzero(np.abs(start - self.z0) > 1e-9 * (1.0 + np.abs(start)))
        if moved.size:
            warn(
                f"the start lies outside the bounds in internal coordinates {moved.tolist()} "
                "and was moved to the nearest bound",
                FitWarning,
            )


def view_problem(
    objective: Any, initial_params: Any, *, bounds: Any = None, scale: Any = None
) -> ProblemView:
    """Choose the view an objective allows.

    Parameters
    ----------
    objective : callable
    initial_params : sequence of float
        Start values of all published parameters.
    bounds, scale : optional
        For a plain callable only; see :class:`~heterodyne_nb.optimize.strategies.strategy.OptimizationStrategy`.

    Raises
    ------
    ConfigurationError
        The start is not a vector of finite numbers or lies outside the bounds, or bounds were given
        for an objective that has its own.
    """
    x0 = read_start(initial_params)
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
